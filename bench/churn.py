"""Publish, break and prune versions of a store while it is served. Knows the folder's layout, not the server."""

import json
import shutil
from pathlib import Path

KEPT = 3  # versions; older ones are pruned
MANIFEST = Path("assets.extra") / "manifest.json"


class Store:
    """The folder of one model. Every version has the weights of the first."""

    def __init__(self, first: Path) -> None:
        """`first` is the folder of the existing version."""
        self._folder, self._latest = first.parent, int(first.name)
        self._source = Path(shutil.copytree(first, self._folder / ".source"))

    @property
    def versions(self) -> list[int]:
        """The published versions, oldest first."""
        return sorted(int(child.name) for child in self._folder.iterdir() if child.name.isdigit())

    def publish(self, *, broken: bool = False) -> int:
        """Publish the next version, valid or with half of its weights; returns its number."""
        self._latest += 1
        partial = self._folder / f".partial-{self._latest}"
        shutil.copytree(self._source, partial)
        manifest = json.loads((partial / MANIFEST).read_text(encoding="utf-8"))
        text = json.dumps(manifest | {"version": self._latest}, ensure_ascii=False)
        (partial / MANIFEST).write_text(text, encoding="utf-8")
        if broken:
            weights = next((partial / "variables").glob("*.data-*"))
            weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
        partial.rename(self._folder / str(self._latest))
        return self._latest

    def prune(self) -> None:
        """Remove the older versions. A rename hides each of them before its files are deleted."""
        for version in self.versions[:-KEPT]:
            removed = self._folder / f".removed-{version}"
            (self._folder / str(version)).rename(removed)
            shutil.rmtree(removed)

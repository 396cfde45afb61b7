"""A store whose versions come, break and go while it is served. Knows the folder's layout and nothing of servers."""

import json
import shutil
from pathlib import Path

KEPT = 3  # versions; older ones are pruned
MANIFEST = Path("assets.extra") / "manifest.json"


class Store:
    """One model's folder, in which every version has the weights of the first."""

    def __init__(self, first: Path) -> None:
        """`first` is the version that is there already."""
        self._folder, self._latest = first.parent, int(first.name)
        self._source = Path(shutil.copytree(first, self._folder / ".source"))

    @property
    def versions(self) -> list[int]:
        """What is there, oldest first."""
        return sorted(int(child.name) for child in self._folder.iterdir() if child.name.isdigit())

    def publish(self, *, broken: bool = False) -> int:
        """Put the next version there, whole or with half of its weights; returns its number."""
        self._latest += 1
        aside = self._folder / f".partial-{self._latest}"
        shutil.copytree(self._source, aside)
        manifest = json.loads((aside / MANIFEST).read_text(encoding="utf-8"))
        text = json.dumps(manifest | {"version": self._latest}, ensure_ascii=False)
        (aside / MANIFEST).write_text(text, encoding="utf-8")
        if broken:
            weights = next((aside / "variables").glob("*.data-*"))
            weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
        aside.rename(self._folder / str(self._latest))
        return self._latest

    def prune(self) -> None:
        """Remove the older versions: out of sight first, whole, then from the disk."""
        for version in self.versions[:-KEPT]:
            aside = self._folder / f".removed-{version}"
            (self._folder / str(version)).rename(aside)
            shutil.rmtree(aside)

"""Publishing copies of the tiny model as further versions."""

import json
import shutil
from pathlib import Path


def publish_copy(tiny: Path, models: Path, version: int, *, broken: bool = False) -> None:
    """Publish the tiny model under another version number with one rename, as training does."""
    partial = models / "tiny" / f".partial-{version}"
    shutil.copytree(tiny / "models/tiny/1", partial)
    path = partial / "assets.extra/manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(manifest | {"version": version}), encoding="utf-8")
    if broken:
        weights = next((partial / "variables").glob("*.data-*"))
        weights.write_bytes(weights.read_bytes()[:100])
    partial.rename(models / "tiny" / str(version))

"""A valid manifest, and functions that write and read one."""

import json
from pathlib import Path

from service.model.manifest import Manifest

GOOD = {
    "format": 1,
    "name": "tale",
    "version": 2,
    "unit": "char",
    "normalization": "NFC",
    "vocabulary": [None, "a", "é", "\n"],
    "cell": "lstm",
    "dtype": "float32",
    "layers": 2,
    "units": 8,
    "probe": {"prompt": "a", "seed": 1, "symbols": [1, 2], "logprobs": [-1.0, -2.0]},
}


def write(folder: Path, fields: object) -> Path:
    """Write the manifest of the version in `folder`: a text as it is, anything else as JSON."""
    path = folder / "assets.extra/manifest.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(fields if isinstance(fields, str) else json.dumps(fields))
    return path


def read(folder: Path, fields: object) -> Manifest:
    """The manifest that the service parses from these fields."""
    write(folder, fields)
    return Manifest.read(folder)

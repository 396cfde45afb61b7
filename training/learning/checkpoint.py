"""Checkpoints: the arrays and values that a bit-exact resume needs, in one file that is complete or absent.

Knows no framework, and nothing about the arrays.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import DamagedRun
from training.files import writing


@dataclass
class Checkpoint:
    """The arrays of a run in named groups, and its other values as plain JSON."""

    arrays: Mapping[str, Iterable[NDArray[Any]]]
    values: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write an .npz file aside, flush and rename it: a kill at any moment leaves the last good checkpoint.

        np.savez would need all arrays in memory at once; here an iterable of arrays is written one by one.
        """
        with writing(path) as file, zipfile.ZipFile(file, "w") as archive:
            _write(archive, "json", np.array(json.dumps(self.values)))
            for group, arrays in self.arrays.items():
                for number, array in enumerate(arrays):
                    _write(archive, f"{group}/{number}", array)

    @classmethod
    def values_of(cls, path: Path) -> dict[str, Any]:
        """The values, without reading the arrays.

        Raises:
            DamagedRun: the file is damaged.
        """
        with _opened(path) as file:
            values: dict[str, Any] = json.loads(str(file["json"]))
            return values

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint that `save` wrote.

        Raises:
            DamagedRun: the file is damaged.
        """
        with _opened(path) as file:
            arrays: dict[str, list[NDArray[Any]]] = {}
            for key in file.files:  # in the order in which they were saved
                if key != "json":
                    arrays.setdefault(key.split("/")[0], []).append(file[key])
            return cls(arrays, json.loads(str(file["json"])))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            yield file
    except (zipfile.BadZipFile, EOFError, ValueError, KeyError) as error:
        raise DamagedRun(f"{path} is damaged, or another program wrote it ({error})") from error


def _write(archive: zipfile.ZipFile, key: str, array: NDArray[Any]) -> None:
    with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.asarray(array))

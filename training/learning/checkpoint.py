"""Everything a run needs to go on as if it had never stopped, in one file that is whole or absent."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.files import write_atomically

Arrays = list[NDArray[Any]]


@dataclass
class Checkpoint:
    """The arrays of a run by what they are for, and the rest of it as plain values for JSON."""

    arrays: dict[str, Arrays]
    values: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write aside, flush, rename: a kill at any moment leaves the last good checkpoint."""
        flat: dict[str, Any] = {
            f"{group}/{i}": array for group, arrays in self.arrays.items() for i, array in enumerate(arrays)
        }
        content = io.BytesIO()
        np.savez(content, json=np.array(json.dumps(self.values)), **flat)
        write_atomically(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read what `save` wrote."""
        with np.load(path) as file:
            arrays: dict[str, Arrays] = {}
            for key in file.files:  # in the order in which they were saved
                if key != "json":
                    arrays.setdefault(key.split("/")[0], []).append(file[key])
            return cls(arrays, json.loads(str(file["json"])))

"""The ids of encoded parts as one array, which is read by ranges from a folder or a bucket.

Training reads each of its streams from one place on. Therefore the array is read in blocks, and the blocks of the last
access are kept: each stream fetches its share of the text once, except for one block.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.parts import REQUESTS, Part
from training.data.storage import Storage
from training.data.vocabulary import Vocabulary

BLOCK_SYMBOLS = 1 << 18


class PartsReader:
    """Reads ranges of the joined text of all parts, in the ids of a vocabulary."""

    def __init__(self, storage: Storage, parts: Sequence[Part], vocabulary: Vocabulary) -> None:
        self.dtype = vocabulary.dtype
        self._storage = storage
        self._parts = parts
        self._ends = list(accumulate(part.symbols for part in parts))
        # For each part, [its ids] the id of the same symbol in the vocabulary.
        self._tables = [vocabulary.encode_points(np.array(part.points, np.uint32)).astype(self.dtype) for part in parts]

    def __len__(self) -> int:
        """Symbols of the text."""
        return self._ends[-1]

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The ids of the range [start, stop).

        Raises:
            DamagedError: A file of ids is missing, or shorter than recorded.
            StorageError: The bucket does not answer.
        """
        ids = np.empty(stop - start, self.dtype)
        for part, table, end in zip(self._parts, self._tables, self._ends, strict=True):
            begin = end - part.symbols
            first, last = max(start, begin), min(stop, end)
            if first < last:
                size = part.dtype.itemsize
                content = self._storage.read_range(part.file, size * (first - begin), size * (last - begin))
                ids[first - start : last - start] = table[np.frombuffer(content, part.dtype)]
        return ids


class EncodedParts:
    """A range of the ids, for the places where an array of ids is sliced, indexed with positions, or converted.

    A slice is another `EncodedParts` and fetches nothing. An array of positions fetches the blocks that it needs and
    are not kept. `np.asarray` fetches all.
    """

    def __init__(self, reader: PartsReader, start: int, stop: int) -> None:
        self._reader, self._start, self._stop = reader, start, stop
        self._slots: dict[int, int] = {}  # number of a block -> its row in `_blocks`
        self._free: list[int] = []
        self._blocks = np.empty((0, BLOCK_SYMBOLS), reader.dtype)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the ids."""
        return self._reader.dtype

    def __len__(self) -> int:
        """Symbols of the range."""
        return self._stop - self._start

    def __getitem__(self, key: Any) -> Any:
        """Another range for a slice, or the ids at positions, which are not negative, of any shape."""
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            assert step == 1
            return EncodedParts(self._reader, self._start + start, self._start + max(start, stop))
        positions = np.asarray(key)
        numbers, offsets = np.divmod(positions, BLOCK_SYMBOLS)
        needed, index = np.unique(numbers, return_inverse=True)
        self._keep(needed.tolist())
        slots = np.array([self._slots[number] for number in needed.tolist()])
        return self._blocks[slots[index.reshape(positions.shape)], offsets]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All ids of the range, for numpy."""
        ids = self._reader.read(self._start, self._stop)
        return ids if dtype is None else ids.astype(dtype)

    def _keep(self, needed: Sequence[int]) -> None:
        """Keep these blocks, and no others."""
        missing = [number for number in needed if number not in self._slots]
        self._free += [self._slots.pop(number) for number in self._slots.keys() - set(needed)]
        if more := max(len(missing) - len(self._free), 0):
            self._free += range(len(self._blocks), len(self._blocks) + more)
            self._blocks = np.concatenate([self._blocks, np.empty((more, BLOCK_SYMBOLS), self.dtype)])
        for number, ids in zip(missing, self._fetched(missing), strict=True):
            slot = self._free.pop()
            self._blocks[slot, : len(ids)] = ids
            self._slots[number] = slot

    def _fetched(self, numbers: Sequence[int]) -> Iterable[NDArray[Any]]:
        if len(numbers) <= 1:
            return map(self._block, numbers)
        with ThreadPoolExecutor(min(REQUESTS, len(numbers))) as pool:
            return list(pool.map(self._block, numbers))

    def _block(self, number: int) -> NDArray[Any]:
        start = self._start + number * BLOCK_SYMBOLS
        return self._reader.read(start, min(start + BLOCK_SYMBOLS, self._stop))

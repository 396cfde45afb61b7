"""The share of a corpus that one of several processes encodes: files, and ranges of large files.

The shares are of about equal sizes. A border lies behind a newline or before a file whose first character does not
compose with an earlier one, so the shares, encoded one by one, are the encoding of the text. Such a border is found by
reading a few bytes behind the place where the share should end. Encodes nothing.
"""

import re
from bisect import bisect_right
from codecs import lookup
from collections.abc import Sequence
from itertools import accumulate

from training.config import TrainConfig
from training.data.archives import DECOMPRESSORS, ZIP
from training.data.encodings import AUTO
from training.data.kinds import HEAD_BYTES, is_tar
from training.data.normalize import changes_with_text_before
from training.data.reader import UNREADABLE, Source, SourceReader, unreadable
from training.data.selection import Selection
from training.errors import InputError

SCAN_BYTES = 1 << 16

# Encodings in which the byte 0x0A is always a newline, and no state reaches beyond it.
_CUTTABLE = re.compile(r"utf-8|ascii|iso8859-\d+|cp125\d|koi8-[rtu]|mac-.*")
_PACKED = (*DECOMPRESSORS, *ZIP)

Border = tuple[int, int]  # the index of a source, and a byte of it


def share_of(
    sources: Sequence[Source], part: int, parts: int, config: TrainConfig, selection: Selection
) -> list[Source]:
    """The sources of share `part` of `parts`, counted from 0; it may be empty.

    Every process finds the same borders, because they depend on the files only. A file in an archive and a compressed
    file belong to one share.

    Raises:
        StorageError: The bucket of a source does not answer.
    """
    borders = _Borders(sources, config, selection)
    (first, start), (last, stop) = borders.at(part, parts), borders.at(part + 1, parts)
    share = []
    for index, source in enumerate(sources[first : last + 1], start=first):
        begin, end = start if index == first else 0, stop if index == last else source.size
        if index == last and begin == end:
            continue
        share.append(source if end - begin == source.size else source.between(begin, end))
    return share


class _Borders:
    """Places where a text can be cut."""

    def __init__(self, sources: Sequence[Source], config: TrainConfig, selection: Selection) -> None:
        self._sources = sources
        self._ends = list(accumulate(source.size for source in sources))
        self._config = config
        # The encoding of a file with unreadable bytes, or whether it is left out, depends on all of it.
        self._cuts_files = not selection.skip_unreadable and (
            config.unit == "byte"
            or (config.encoding != AUTO and bool(_CUTTABLE.fullmatch(lookup(config.encoding).name)))
        )

    def at(self, part: int, parts: int) -> Border:
        """The first border at or behind the start of this share, if all had the same size."""
        if part == 0:
            return 0, 0
        if part == parts or not self._ends:
            return len(self._sources), 0
        position = self._ends[-1] * part // parts
        index = bisect_right(self._ends, position)
        if index == len(self._sources):
            return index, 0
        return self._from(index, position - self._ends[index] + self._sources[index].size)

    def _from(self, index: int, offset: int) -> Border:
        """The first border at or behind this byte of a source."""
        for number, source in enumerate(self._sources[index:], start=index):
            if offset == 0 and self._begins_apart(source):
                return number, 0
            if self._cuts_files and _is_plain(source):
                cut = self._cut(source, offset)
                if cut is not None:
                    return (number, cut) if cut < source.size else (number + 1, 0)
            offset = 0
        return len(self._sources), 0

    def _cut(self, source: Source, offset: int) -> int | None:
        """The first byte from `offset` on that begins a line; any byte where bytes are symbols."""
        if self._config.unit == "byte":
            return offset
        assert source.open_range is not None
        position = max(offset - 1, 0)
        with source.open_range(position, source.size) as stream:
            while block := stream.read(SCAN_BYTES):
                if (newline := block.find(b"\n")) >= 0:
                    return position + newline + 1
                position += len(block)
        return None

    def _begins_apart(self, source: Source) -> bool:
        """Whether the source certainly begins with a character that no earlier text changes."""
        if self._config.unit == "byte" or self._config.normalization != "NFC":
            return True
        encoding = "utf-8" if self._config.encoding == AUTO else self._config.encoding
        try:
            first = next((text[0] for text in SourceReader(source).text(encoding) if text), None)
        except InputError:
            return False
        return first is not None and not changes_with_text_before(first)


def _is_plain(source: Source) -> bool:
    """Whether any range of the source can be read, and is not compressed."""
    if source.open_range is None or not source.size:
        return False
    try:
        with source.open_range(0, min(HEAD_BYTES, source.size)) as stream:
            head = stream.read(HEAD_BYTES)
    except UNREADABLE as error:
        raise unreadable(source.display_path, error) from error
    return not (head.startswith(_PACKED) or is_tar(head))

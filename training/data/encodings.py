"""Decoders, and a guess in which encoding a text that is not UTF-8 is written: charset-normalizer makes it.

A guess is shown to the person, with a line of the text as it would be read. Latin-1 is never guessed: what its bytes
0x80 to 0x9F mean in a text is what they mean in cp1252.
"""

import codecs
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import AnyStr

from training.errors import InputError

AUTO = "auto"

UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Codecs that take the mark away before it can be seen in the text.
MARKS = {
    "utf-8-sig": (codecs.BOM_UTF8,),
    "utf-16": UTF_16_MARKS,
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}

LANGUAGES = {
    "cp1252": "Western European, Windows",
    "cp1250": "Central European, Windows",
    "cp1251": "Cyrillic, Windows",
    "cp1253": "Greek, Windows",
    "cp1254": "Turkish, Windows",
    "cp1255": "Hebrew, Windows",
    "cp1256": "Arabic, Windows",
    "koi8_r": "Cyrillic, Unix",
    "cp866": "Cyrillic, DOS",
    "iso8859_2": "Central European, Unix",
    "mac_roman": "Western European, old Macs",
    "cp932": "Japanese, Shift_JIS",
    "euc_jp": "Japanese, EUC",
    "gb18030": "Chinese, GBK",
    "big5": "Chinese, Big5",
    "cp949": "Korean, EUC-KR",
    "utf-16": "Unicode",
    "utf-16-le": "Unicode without a byte order mark",
    "utf-16-be": "Unicode without a byte order mark",
}
"""The encodings that are guessed, and for whom."""

SAMPLE_BYTES = 16_384
SHOWN_CHARS = 50
COHERENCE_MARGIN = 0.1
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")


@dataclass(frozen=True)
class Guess:
    """An encoding that a text may be written in, and one of its lines read so."""

    encoding: str
    line_number: int
    line: str

    @property
    def sentence(self) -> str:
        """For the person who decides."""
        return (
            f"it looks like {self.encoding} ({LANGUAGES[self.encoding]}): --encoding {self.encoding} would read its "
            f"line {self.line_number} as '{self.line}'"
        )


def decoder_of(encoding: str) -> codecs.IncrementalDecoder:
    """A strict decoder.

    Raises:
        InputError: Python knows no such encoding.
    """
    try:
        b"a".decode(encoding)  # refuses codecs from bytes to bytes, which the next line does not
    except LookupError:
        raise InputError(f"--encoding {encoding} is not an encoding that Python knows.") from None
    except UnicodeError:
        pass  # known, and one byte is not a text in it
    return codecs.getincrementaldecoder(encoding)()


def utf_16_of(head: bytes) -> str | None:
    """The UTF-16 that a text begins with, by its mark or because every second byte of most of it is 0."""
    if head.startswith(UTF_16_MARKS):
        return "utf-16"
    zeros = [head[start::2].count(0) for start in (0, 1)]
    if sum(zeros) < len(head) / 5 or min(zeros) > max(zeros) / 50:
        return None
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"


def with_end(pieces: Iterator[AnyStr], end: AnyStr) -> Iterator[tuple[AnyStr, bool]]:
    """Each piece with False, then `end` with True."""
    for piece in pieces:
        yield piece, False
    yield end, True


def guess(blocks: Iterable[bytes]) -> Guess | None:
    """The likeliest encoding of a text, None where none of `LANGUAGES` fits it."""
    blocks = iter(blocks)
    head = next(blocks, b"")
    if encoding := utf_16_of(head[:SAMPLE_BYTES]):
        text = head[:SAMPLE_BYTES].decode(encoding, "replace").removeprefix("\ufeff")
        return Guess(encoding, 1, _shown(text.partition("\n")[0]))
    sample: list[tuple[int, bytes]] = []
    for number, line in _lines_beyond_ascii(itertools.chain([head], blocks)):
        sample.append((number, line))
        if sum(len(line) for _, line in sample) > SAMPLE_BYTES:
            break
    encoding = _likeliest(b"\n".join(line for _, line in sample))
    return Guess(encoding, sample[0][0], _shown(sample[0][1].decode(encoding, "replace"))) if encoding else None


def _lines_beyond_ascii(blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that hold more than ASCII, each with its number; of a long one the part that begins with that."""
    begun, ended = b"", 0
    for block, final in with_end(iter(blocks), b""):
        lines = (begun + block).split(b"\n")
        begun = b"" if final else lines.pop()
        for number, line in enumerate(lines, start=ended + 1):
            if found := _BEYOND_ASCII.search(line):
                yield number, _shortened(line[max(0, found.start() - SHOWN_CHARS) :])
        ended += len(lines)


def _shortened(line: bytes) -> bytes:
    """At most `SAMPLE_BYTES`, cut behind a space or another byte that no encoding uses inside a character."""
    if len(line) <= SAMPLE_BYTES:
        return line
    places = [found.end() for found in re.finditer(rb"[\t -/]", line[:SAMPLE_BYTES])]
    return line[: places[-1] if places else SAMPLE_BYTES]


def _likeliest(sample: bytes) -> str | None:
    from charset_normalizer import from_bytes  # takes 50 ms, and most corpora need no guess

    candidates = [name for name in LANGUAGES if not name.startswith("utf")]
    matches = list(from_bytes(sample, cp_isolation=candidates))
    if not matches:
        return None
    best = matches[0]
    # Where two encodings read a text alike, or equally well, the common one is meant.
    for match in matches:
        if match.encoding == "cp1252" and match.coherence >= best.coherence - COHERENCE_MARGIN:
            return "cp1252"
    if str(best) == sample.decode("cp1252", "replace"):
        return "cp1252"
    return best.encoding


def _shown(line: str) -> str:
    """The part of a line around its first character that is not ASCII."""
    line = "".join(character if character.isprintable() else " " for character in line.strip())
    place = next((index for index, character in enumerate(line) if not character.isascii()), 0)
    start = max(0, min(place - SHOWN_CHARS // 2, len(line) - SHOWN_CHARS))
    stop = start + SHOWN_CHARS
    return ("…" if start else "") + line[start:stop] + ("…" if stop < len(line) else "")

"""Character encodings: decoders, and a guess for a text that is not UTF-8, which charset-normalizer makes.

The user sees a guess with a line of the text decoded by it. Latin-1 is never guessed, because text with bytes from
0x80 to 0x9F is cp1252.
"""

import codecs
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import AnyStr

from training.errors import InputError

AUTO = "auto"

# Codecs that remove the byte order mark, so that it does not appear in the decoded text.
MARKS = {
    "utf-8-sig": (codecs.BOM_UTF8,),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
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
    "utf-8": "Unicode and ASCII",
    "utf-16": "Unicode",
    "utf-16-le": "Unicode without a byte order mark",
    "utf-16-be": "Unicode without a byte order mark",
    "utf-32": "Unicode",
}
"""The encodings that are guessed -> languages and systems that use them."""

SAMPLE_BYTES = 16_384
SHOWN_CHARS = 50
COHERENCE_MARGIN = 0.1
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")


@dataclass(frozen=True)
class Guess:
    """An encoding that a text may be written in, and one of its lines decoded by it."""

    encoding: str
    line_number: int
    line: str

    @property
    def sentence(self) -> str:
        """The guess as a suggestion to the user."""
        return (
            f"it looks like {self.encoding} ({LANGUAGES[self.encoding]}): --encoding {self.encoding} would read its "
            f"line {self.line_number} as '{self.line}'"
        )


def decoder_of(encoding: str) -> codecs.IncrementalDecoder:
    """A strict decoder.

    Raises:
        InputError: Python does not know the encoding.
    """
    try:
        b"a".decode(encoding)  # also raises LookupError for codecs from bytes to bytes
    except (LookupError, UnicodeEncodeError):  # the second: the name itself is no text
        name = encoding.encode("ascii", "backslashreplace").decode()
        raise InputError(f"--encoding {name} is not an encoding that Python knows.") from None
    except UnicodeError:
        pass  # a known encoding, in which one byte is not a text
    return codecs.getincrementaldecoder(encoding)()


def wide_encoding_of(head: bytes) -> str | None:
    """UTF-16 or UTF-32, if the text has its byte order mark or many zeros as every second byte; else None."""
    for encoding in ("utf-32", "utf-16"):  # in this order: a mark of UTF-32 begins with one of UTF-16
        if head.startswith(MARKS[encoding]):
            return encoding
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
    """The most likely encoding of a text; None if none of `LANGUAGES` fits."""
    blocks = iter(blocks)
    head = next(blocks, b"")
    if encoding := wide_encoding_of(head[:SAMPLE_BYTES]):
        text = head[:SAMPLE_BYTES].decode(encoding, "replace").removeprefix("\ufeff")
        return Guess(encoding, 1, _shown(text.partition("\n")[0]))
    sample: list[tuple[int, bytes]] = []
    for number, line in _lines_beyond_ascii(itertools.chain([head], blocks)):
        sample.append((number, line))
        if sum(len(line) for _, line in sample) > SAMPLE_BYTES:
            break
    if not sample:  # all ASCII, which UTF-8 contains
        return Guess("utf-8", 1, _shown(head[:SAMPLE_BYTES].decode().partition("\n")[0]))
    encoding = _most_likely(b"\n".join(line for _, line in sample))
    return Guess(encoding, sample[0][0], _shown(sample[0][1].decode(encoding, "replace"))) if encoding else None


def _lines_beyond_ascii(blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not ASCII, with their numbers; a long line is cut around its first byte beyond ASCII."""
    begun, ended = b"", 0
    for block, final in with_end(iter(blocks), b""):
        lines = (begun + block).split(b"\n")
        begun = b"" if final else lines.pop()
        for number, line in enumerate(lines, start=ended + 1):
            if found := _BEYOND_ASCII.search(line):
                yield number, _shortened(line[max(0, found.start() - SHOWN_CHARS) :])
        ended += len(lines)


def _shortened(line: bytes) -> bytes:
    """At most `SAMPLE_BYTES`, cut behind a space or another byte that is never part of a multi-byte character."""
    if len(line) <= SAMPLE_BYTES:
        return line
    cuts = [found.end() for found in re.finditer(rb"[\t -/]", line[:SAMPLE_BYTES])]
    return line[: cuts[-1] if cuts else SAMPLE_BYTES]


def _most_likely(sample: bytes) -> str | None:
    from charset_normalizer import from_bytes  # the import takes 50 ms, and most corpora need no guess

    candidates = [name for name in LANGUAGES if not name.startswith("utf")]
    matches = list(from_bytes(sample, cp_isolation=candidates))
    if not matches:
        return None
    best = matches[0]
    # If two encodings decode the text equally, or equally well, prefer the common one.
    for match in matches:
        if match.encoding == "cp1252" and match.coherence >= best.coherence - COHERENCE_MARGIN:
            return "cp1252"
    if str(best) == sample.decode("cp1252", "replace"):
        return "cp1252"
    return best.encoding


def _shown(line: str) -> str:
    """The part of a line around its first character that is not ASCII."""
    line = "".join(character if character.isprintable() else " " for character in line.strip())
    first = next((index for index, character in enumerate(line) if not character.isascii()), 0)
    start = max(0, min(first - SHOWN_CHARS // 2, len(line) - SHOWN_CHARS))
    stop = start + SHOWN_CHARS
    return ("…" if start else "") + line[start:stop] + ("…" if stop < len(line) else "")

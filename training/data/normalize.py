"""Normalizes text in pieces: line ends become LF, characters are composed to Unicode's NFC.

Collects notes about the changes for the user. Knows no files on disk and no symbols.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

from training.data.encodings import with_end
from training.data.reader import SourceReader


class Normalizer:
    """Normalizes the text of one file after another and counts the changes."""

    def __init__(self, normalization: str) -> None:
        """`normalization` is NFC or none; line ends become LF in either case."""
        self._composer = Composer(normalization)
        self._marked: list[str] = []  # names of files that began with a byte order mark
        self._line_ends: Counter[str] = Counter()  # replaced ones, by kind
        self._nuls: Counter[str] = Counter()  # NUL characters by file name

    def pieces(self, reader: SourceReader, encoding: str, *, separate: bool) -> Iterator[str]:
        """The normalized text of one file, in pieces.

        Unless the file is a `separate` text, its last characters may come with the next file's, which may begin with
        an accent on them.
        """
        for text in self._with_line_feeds(reader.text(encoding)):
            if nuls := text.count("\0"):
                self._nuls[reader.source.name] += nuls
            yield self._composer.compose(text)
        if reader.marked:
            self._marked.append(reader.source.name)
        if separate:
            yield self._composer.rest()

    def notes(self) -> tuple[str, ...]:
        """A sentence for each kind of change, and for NUL characters."""
        notes = [
            f"{name} holds {count:,} NUL characters and looks like a binary file (read it with --unit byte) "
            f"or like UTF-16 (--encoding utf-16)."
            for name, count in self._nuls.items()
        ]
        if self._marked:
            notes.append(f"The byte order mark at the start of {_first_of(self._marked)} was dropped.")
        if self._line_ends:
            kinds = " and ".join(f"{count:,} {kind}" for kind, count in sorted(self._line_ends.items()))
            notes.append(f"Line ends became LF: {kinds}.")
        if self._composer.changed:
            notes.append("Characters were composed to Unicode's normal form NFC (--normalization none keeps them).")
        return tuple(notes)

    def _with_line_feeds(self, texts: Iterator[str]) -> Iterator[str]:
        """Every CR LF and lone CR as LF. A CR at the end of a piece waits for the next piece."""
        waiting = ""
        for text, final in with_end(texts, ""):
            text = waiting + text
            waiting = "\r" if text.endswith("\r") and not final else ""
            text = text.removesuffix(waiting)
            if "\r" in text:
                pairs = text.count("\r\n")
                self._line_ends += Counter({"CR LF": pairs, "CR": text.count("\r") - pairs})
                text = text.replace("\r\n", "\n").replace("\r", "\n")
            yield text


class Composer:
    """Unicode's NFC of a text that comes in pieces, cut where no character composes across the cut."""

    def __init__(self, normalization: str) -> None:
        self.changed = False
        self._active = normalization == "NFC"
        self._waiting: list[str] = []

    def compose(self, text: str) -> str:
        """The normal form of the waiting text and of `text`, up to the last safe cut; the rest waits."""
        if not self._active:
            return text
        cut = next((index for index in range(len(text) - 1, -1, -1) if never_composes(text[index])), None)
        if cut is None:
            self._waiting.append(text)
            return ""
        before = "".join([*self._waiting, text[:cut]])
        self._waiting = [text[cut:]]
        return self._normal(before)

    def rest(self) -> str:
        """The normal form of the waiting text, as the end of a text."""
        text, self._waiting = "".join(self._waiting), []
        return self._normal(text) if self._active else text

    def _normal(self, text: str) -> str:
        if unicodedata.is_normalized("NFC", text):
            return text
        self.changed = True
        return unicodedata.normalize("NFC", text)


def never_composes(character: str) -> bool:
    """Whether it never composes with the character before it: below U+0300, CJK ideographs, Hangul syllables."""
    return character < "\u0300" or "\u3400" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7a3"


def changes_with_text_before(character: str) -> bool:
    """Whether NFC may join it to the characters before it, or reorder them: never if `never_composes`."""
    if never_composes(character):
        return False
    first = unicodedata.normalize("NFD", character)[0]
    is_jamo = "\u1161" <= first <= "\u11c2"  # a vowel or final consonant of a Hangul syllable
    return unicodedata.combining(first) > 0 or is_jamo or first in _last_of_pairs()


@cache
def _last_of_pairs() -> frozenset[str]:
    """The second character of every pair that composes."""
    found = (unicodedata.decomposition(chr(point)).split() for point in range(0x110000))
    return frozenset(chr(int(pair[1], 16)) for pair in found if len(pair) == 2 and not pair[0].startswith("<"))


def _first_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names):,} files ({names[0]} is the first)"

"""Line ends and Unicode's NFC, for texts that come in pieces."""

import itertools
import random
import unicodedata

import pytest

from tests.training.data.texts import hard_text, plain_text
from training.data.normalize import Composer, Normalizer, changes_with_text_before, never_composes
from training.data.reader import Source, SourceReader


class Chunks:
    """A stream that returns one chunk at a time."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = iter(chunks)

    def __enter__(self) -> "Chunks":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def read(self, size: int, /) -> bytes:
        return next(self._chunks, b"")


def reader_of(name: str, *chunks: str) -> SourceReader:
    return SourceReader(Source(name, name, True, lambda: Chunks([chunk.encode() for chunk in chunks])))


def normalized(normalizer: Normalizer, *readers: SourceReader, separate: bool = True) -> str:
    """The text of all files; the last one is always a separate text."""
    return "".join(
        piece
        for reader in readers
        for piece in normalizer.pieces(reader, "utf-8", separate=separate or reader is readers[-1])
    )


@pytest.mark.parametrize("normalization", ["NFC", "none"])
@pytest.mark.parametrize("seed", range(20))
def test_pieces_are_normalized_like_the_complete_text(seed: int, normalization: str) -> None:
    generator = random.Random(seed)
    text = hard_text(generator, 300)
    cuts = sorted(generator.choices(range(1, 300), k=generator.choice([1, 10, 150])))
    chunks = [text[start:stop] for start, stop in itertools.pairwise([0, *cuts, len(text)])]
    reader = reader_of("a", *[chunk for chunk in chunks if chunk])
    assert normalized(Normalizer(normalization), reader) == plain_text(text, normalization=normalization)


def test_an_accent_composes_with_the_file_before_unless_texts_are_separate() -> None:
    assert normalized(Normalizer("NFC"), reader_of("a", "cafe"), reader_of("b", "\u0301!"), separate=False) == "café!"
    assert normalized(Normalizer("NFC"), reader_of("a", "cafe"), reader_of("b", "\u0301!")) == "cafe\u0301!"


def test_a_carriage_return_at_the_end_of_a_piece_belongs_to_the_next_line_feed() -> None:
    normalizer = Normalizer("none")
    assert normalized(normalizer, reader_of("a", "a\r", "\nb\r", "c\r\nd\r")) == "a\nb\nc\nd\n"
    assert normalizer.notes() == ("Line ends became LF: 2 CR and 2 CR LF.",)


def test_changes_are_noted() -> None:
    normalizer = Normalizer("NFC")
    normalized(normalizer, reader_of("a", "\ufeffa"), reader_of("b", "\ufeffe\u0301"), reader_of("c", "\0\0"))
    nuls, marks, composed = normalizer.notes()
    assert nuls.startswith("c holds 2 NUL characters and looks like a binary file")
    assert marks == "The byte order mark at the start of 2 files (a is the first) was dropped."
    assert "NFC" in composed


def test_a_text_without_changes_has_no_notes() -> None:
    normalizer = Normalizer("NFC")
    assert normalized(normalizer, reader_of("a", "nothing é 각 漢\n")) == "nothing é 각 漢\n"
    assert normalizer.notes() == ()


def test_the_last_character_waits_for_an_accent() -> None:
    composer = Composer("NFC")
    assert composer.compose("cafe") == "caf"
    assert composer.compose("\u0301\u0323") == ""
    assert composer.compose("!") == unicodedata.normalize("NFC", "e\u0301\u0323")
    assert composer.rest() == "!"
    assert composer.rest() == ""


def test_a_text_is_cut_only_before_characters_that_never_compose() -> None:
    characters = [chr(point) for point in itertools.chain(range(0xD800), range(0xE000, 0x110000))]
    decompositions = [unicodedata.decomposition(character).split() for character in characters]
    joining = {chr(int(parts[1], 16)) for parts in decompositions if len(parts) == 2 and not parts[0].startswith("<")}
    for character in filter(never_composes, characters):
        first = unicodedata.normalize("NFD", character)[0]
        assert not unicodedata.combining(first)
        assert first not in joining
    assert not any(map(never_composes, "\u1161\u11a8"))  # Hangul vowels and finals compose by rule, not by that table


def test_every_character_that_composes_with_an_earlier_one_is_known() -> None:
    """A share of a text does not begin with one."""
    for point in range(0x110000):
        parts = unicodedata.normalize("NFD", chr(point))
        if len(parts) > 1 and unicodedata.normalize("NFC", parts) == chr(point):
            assert changes_with_text_before(parts[-1]), hex(point)
        if unicodedata.combining(chr(point)):
            assert changes_with_text_before(chr(point)), hex(point)
    assert changes_with_text_before("\u0f73")  # not composed, and decomposed into two accents
    assert not any(map(changes_with_text_before, "aéД가漢かع\u0915\u2028\ufeff\U0001f600"))

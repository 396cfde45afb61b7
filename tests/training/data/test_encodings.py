"""Character encodings: which ones are known, and how a text's encoding is guessed."""

import codecs

import pytest

from training.data.encodings import SAMPLE_BYTES, decoder_of, guess, wide_encoding_of, with_end
from training.errors import InputError

FRENCH = "Plain first line\n" * 11 + "Les élèves étaient là… l’école « où » il pleuvait, 10 €.\n" * 4
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n" * 20
RUSSIAN = "Кот сидел на ковре и смотрел в окно.\n" * 20


@pytest.mark.parametrize(
    ("text", "encoding", "guessed", "line_number"),
    [
        (FRENCH, "cp1252", "cp1252", 12),
        ("naïve", "latin-1", "cp1252", 1),
        ("“Quotes” – and dashes…", "cp1252", "cp1252", 1),
        (JAPANESE, "shift_jis", "cp932", 1),
        (JAPANESE, "euc_jp", "euc_jp", 1),
        (RUSSIAN, "cp1251", "cp1251", 1),
        (RUSSIAN, "koi8_r", "koi8_r", 1),
        ("plain text\n" * 20, "ascii", "utf-8", 1),
        ("plain text\n" * 20, "utf-16", "utf-16", 1),
        ("plain text\n" * 20, "utf-16-le", "utf-16-le", 1),
        ("plain text\n" * 20, "utf-16-be", "utf-16-be", 1),
        ("plain text\n" * 20, "utf-32", "utf-32", 1),
    ],
)
def test_an_encoding_is_guessed_with_a_line(text: str, encoding: str, guessed: str, line_number: int) -> None:
    found = guess([text.encode(encoding)])
    assert found
    assert (found.encoding, found.line_number) == (guessed, line_number)
    assert found.line.rstrip("…") in text
    assert f"--encoding {guessed} would read its line {line_number} as '{found.line}'" in found.sentence


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_guess_does_not_depend_on_blocks(size: int) -> None:
    data = FRENCH.encode("cp1252")
    assert guess(data[start : start + size] for start in range(0, len(data), size)) == guess([data])


def test_a_long_line_is_shown_around_its_first_character_beyond_ascii() -> None:
    found = guess([b"a" * 2 * SAMPLE_BYTES + b" caf\xe9 au lait, na\xefve " + b"b " * SAMPLE_BYTES])
    assert found
    assert found.line.startswith("…")
    assert "café au lait" in found.line


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("text".encode("utf-16"), "utf-16"),
        ("text".encode("utf-32"), "utf-32"),
        (codecs.BOM_UTF32_BE + "text".encode("utf-32-be"), "utf-32"),
        ("some text".encode("utf-16-le"), "utf-16-le"),
        ("some text".encode("utf-16-be"), "utf-16-be"),
        (b"some text", None),
        (b"some text\0", None),
        (bytes(range(256)), None),
        (bytes(64), None),
    ],
)
def test_utf_16_and_utf_32_are_recognised_by_mark_or_by_zeros(head: bytes, encoding: str | None) -> None:
    assert wide_encoding_of(head) == encoding


@pytest.mark.parametrize("encoding", ["klingon", "hex", "rot13", ""])
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(InputError, match=f"--encoding {encoding} is not an encoding"):
        decoder_of(encoding)


def test_the_end_follows_the_last_piece() -> None:
    assert list(with_end(iter(["a", "b"]), "")) == [("a", False), ("b", False), ("", True)]

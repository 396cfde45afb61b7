"""Normalising, encoding and decoding by a vocabulary, of characters and of bytes."""

import itertools
import random
from functools import partial

import numpy as np
import pytest

from service.model.codec import Decoder, TextCodec
from service.model.guesses import GUESS
from service.model.manifest import Manifest, Probe
from tests.service.fakes import manifest, whole_characters

CHARS = TextCodec(manifest("char", (None, "a", "é", "\n")))
EVERY_BYTE = TextCodec(manifest("byte", (None, *range(256))))
SOME_BYTES = TextCodec(manifest("byte", (None, *"\naé😀".encode())))

BROKEN = [
    b"\xf0\x9f\x98a",  # cut short: one replacement and the letter
    b"\xe2\x82\xe2\x82\xac",  # cut short by the beginning of another
    b"\xf0\x9f\xff",  # cut short by a byte that never occurs in UTF-8
    b"\x80\xbf",  # continuation bytes without a first byte
    b"\xc0\x80\xe0\x80\x80\xf0\x80\x80\x80",  # overlong
    b"\xed\xa0\x80\xed\xb0\x80",  # surrogates
    b"\xf4\x90\x80\x80\xf5",  # past the last code point
    b"\xef\xbb\xbf",  # a byte order mark is a character like any other
    b"\xef\xbf\xbd",  # U+FFFD itself
]


def read_in_pieces(decoder: Decoder, data: bytes, cuts: list[int]) -> tuple[str, list[float]]:
    """Text and logprobs of `data`, cut at `cuts`: byte b has id b + 1 and logprob -b."""
    text, logprobs = "", []
    for start, end in itertools.pairwise([0, *cuts, len(data)]):
        symbols = np.frombuffer(data[start:end], np.uint8).astype(np.int32)
        piece, nats, _ = decoder.read(symbols + 1, -symbols.astype(np.float32))
        assert nats.dtype == np.float32
        assert len(nats) == len(piece)
        text, logprobs = text + piece, logprobs + nats.tolist()
    return text, logprobs


def check(data: bytes, cuts: list[int]) -> None:
    """The decoder gives complete characters only, and holds a sequence that the next bytes decide."""
    expected = whole_characters(data)
    assert "".join(character for character, _ in expected) == data.decode(errors="replace")
    text, logprobs = read_in_pieces(EVERY_BYTE.decoder(), data, cuts)
    ended, _ = read_in_pieces(EVERY_BYTE.decoder(), data + b"\n", cuts)
    assert ended == (data + b"\n").decode(errors="replace")
    assert data.decode(errors="replace").removeprefix(text) in ("", "\ufffd", "\ufffd\ufffd")
    starts = np.cumsum([0, *(size for _, size in expected)])
    sums = [-float(sum(data[start : start + size])) for start, (_, size) in zip(starts, expected, strict=False)]
    assert logprobs == sums[: len(text)]


@pytest.mark.parametrize("data", BROKEN, ids=repr)
def test_invalid_bytes_are_decoded_alike_in_any_pieces(data: bytes) -> None:
    for count in range(len(data)):
        for cuts in itertools.combinations(range(1, len(data)), count):
            check(data, list(cuts))


def test_random_bytes_are_decoded_alike_in_any_pieces() -> None:
    generator = random.Random(3)
    likely = [0x0A, 0x61, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80, 0xED, 0xA0, 0xE0, 0xF4, 0x90]
    for round_ in range(3000):
        choices = likely if round_ % 2 else range(256)
        data = bytes(generator.choices(choices, k=generator.randrange(40)))
        cuts = sorted(generator.choices(range(len(data) + 1), k=generator.randrange(8)))  # some pieces are empty
        check(data, cuts)


def test_the_ends_of_characters_are_counted_in_symbols() -> None:
    text = "aé😀\ud800\u0301\n"
    assert CHARS.char_ends(text).tolist() == [1, 2, 3, 4, 5, 6]
    sizes = [len(character.encode(errors="surrogatepass")) for character in text]
    assert EVERY_BYTE.char_ends(text).tolist() == np.cumsum(sizes).tolist() == [1, 3, 7, 10, 12, 13]
    assert int(EVERY_BYTE.char_ends(text)[-1]) == len(EVERY_BYTE.encode(text))
    assert CHARS.char_ends("").tolist() == EVERY_BYTE.char_ends("").tolist() == []


def test_a_symbol_is_shown_as_text() -> None:
    assert [CHARS.symbol_text(id_) for id_ in range(4)] == ["\ufffd", "a", "é", "\n"]
    assert [EVERY_BYTE.symbol_text(byte + 1) for byte in (0x61, 0x0A, 0xC3, 0xFF)] == ["a", "\n", "\\xc3", "\\xff"]
    assert EVERY_BYTE.symbol_text(0) == "\ufffd"


def test_a_byte_model_changes_no_text() -> None:
    text = "aé😀\n\u0000\u2028\ufeff\ufffd e\u0301"
    for codec in (EVERY_BYTE, SOME_BYTES):
        assert codec.normalize(text) == text
    assert EVERY_BYTE.decode(EVERY_BYTE.encode(text).tolist()) == text
    assert EVERY_BYTE.encode("é\n").tolist() == [0xC3 + 1, 0xA9 + 1, 0x0A + 1]


def test_characters_are_normalised_encoded_and_decoded_by_the_manifest() -> None:
    assert CHARS.normalize("e\u0301") == "é"
    assert CHARS.encode("aé\n?").tolist() == [1, 2, 3, 0]
    assert CHARS.decode([2, 1]) == "éa"
    plain = Manifest("fake", 1, "char", "none", (None, "a"), "lstm", 1, 2, Probe("", 0, (), ()), {})
    assert TextCodec(plain).normalize("e\u0301") == "e\u0301"


def test_each_symbol_of_a_char_model_is_one_character() -> None:
    nats = np.array([-1, -2], np.float32)
    text, logprobs, _ = CHARS.decoder().read(np.array([2, 1], np.int32), nats)
    assert text == "éa"
    np.testing.assert_array_equal(logprobs, nats)
    assert (CHARS.max_symbols_per_char, SOME_BYTES.max_symbols_per_char) == (1, 4)


@pytest.mark.parametrize(
    ("codec", "text", "unknown"),
    [
        (CHARS, "aéa\n", 0),
        (CHARS, "xaxé😀", 3),
        (SOME_BYTES, "aé😀\n", 0),
        (SOME_BYTES, "aè😀b😁è", 4),  # only the last byte of è and 😁 is unknown
        (SOME_BYTES, "aжaж", 2),  # both bytes of ж are
        (SOME_BYTES, "", 0),
        (EVERY_BYTE, "\u0000\U0010ffff", 0),
        (EVERY_BYTE, "\ud800", 0),  # encoded as three bytes
    ],
)
def test_a_character_with_any_unknown_symbol_is_one_unknown_character(
    codec: TextCodec, text: str, unknown: int
) -> None:
    assert codec.unknown_chars(text) == unknown
    assert (0 in codec.encode(text).tolist()) == bool(unknown)


def test_the_reserved_id_is_decoded_to_a_replacement_character() -> None:
    for codec in (CHARS, EVERY_BYTE):
        text, logprobs, _ = codec.decoder().read(np.array([0, 2], np.int32), np.zeros(2, np.float32))
        assert text == codec.decode([0, 2]) == "\ufffd" + codec.decode([2])
        assert len(logprobs) == 2


@pytest.mark.parametrize(("unit", "symbols"), [("char", tuple("ab\n\r")), ("byte", tuple(b"ab\n\r"))])
def test_line_ends_become_those_of_the_corpus(unit: str, symbols: tuple[str | int, ...]) -> None:
    kept, unified = (TextCodec(manifest(unit, (None, *known))) for known in (symbols, symbols[:-1]))
    assert unified.normalize("a\r\nb\rb\n\r\r\n") == "a\nb\nb\n\n\n"
    assert kept.normalize("a\r\nb\rb\n\r\r\n") == "a\r\nb\rb\n\r\r\n"


def test_the_characters_in_the_first_symbols_are_counted() -> None:
    assert [CHARS.chars_in("aé\n", symbols) for symbols in range(4)] == [0, 1, 2, 3]
    assert [EVERY_BYTE.chars_in("aé😀", symbols) for symbols in range(8)] == [0, 1, 1, 2, 2, 2, 2, 3]


def test_a_prompt_keeps_its_characters_and_each_gets_the_sum_of_its_logprobs() -> None:
    text = "a\u0000é\ud800😀?\n"
    for codec, sizes in ((CHARS, [1] * 7), (EVERY_BYTE, [1, 1, 2, 3, 4, 1, 1]), (SOME_BYTES, [1, 1, 2, 3, 4, 1, 1])):
        ids = codec.encode(text)
        ends = np.cumsum(sizes)
        assert codec.char_ends(text).tolist() == ends.tolist()
        logprobs = -np.arange(len(ids), dtype=np.float32)
        expected = [float(logprobs[end - size : end].sum()) for end, size in zip(ends, sizes, strict=True)]
        for step in (1, 2, 3, 5, 100):
            decoder = codec.prompt_decoder(text)
            pieces = [decoder.read(ids[i : i + step], logprobs[i : i + step]) for i in range(0, len(ids), step)]
            assert "".join(piece.text for piece in pieces) == text
            assert [len(piece.text) for piece in pieces] == [len(piece.logprobs) for piece in pieces]
            assert np.concatenate([piece.logprobs for piece in pieces]).tolist() == expected


def test_an_empty_prompt_has_no_character() -> None:
    assert CHARS.char_ends("").tolist() == EVERY_BYTE.char_ends("").tolist() == []


def test_a_character_has_the_guesses_before_its_first_symbol_in_any_pieces() -> None:
    text = "aé😀é\n"
    firsts = {CHARS: [0, 1, 2, 3, 4], EVERY_BYTE: [0, 1, 3, 7, 9]}
    for codec, expected in firsts.items():
        ids = codec.encode(text)
        numbered = np.array([[(symbol, -symbol), (symbol, -9)] for symbol in range(len(ids))], GUESS)
        for decoder_of in (codec.decoder, partial(codec.prompt_decoder, text)):
            for step in (1, 2, 3, 100):
                decoder = decoder_of()
                found: list[list[tuple[int, float]]] = []
                for i in range(0, len(ids), step):
                    piece = decoder.read(
                        ids[i : i + step], np.zeros(len(ids[i : i + step]), np.float32), numbered[i : i + step]
                    )
                    assert len(piece.guesses) == len(piece.text)
                    found += piece.guesses.tolist()
                assert found == [[(symbol, -symbol), (symbol, -9)] for symbol in expected]


def test_an_invalid_sequence_has_the_guesses_before_its_first_byte() -> None:
    data = b"\xf0\x9fa\xff\xffb"  # an incomplete character and bytes that are never valid
    ids = np.array([byte + 1 for byte in data], np.int32)
    guesses = np.array([[(symbol, 0)] for symbol in range(len(ids))], GUESS)
    text, _, found = EVERY_BYTE.decoder().read(ids, np.zeros(len(ids), np.float32), guesses)
    assert text == "\ufffda\ufffd\ufffdb"
    assert [before[0][0] for before in found.tolist()] == [0, 2, 3, 4, 5]


def test_every_symbol_has_a_text() -> None:
    assert CHARS.symbol_texts[:3] == ("\ufffd", "a", "é")
    assert len(EVERY_BYTE.symbol_texts) == 257
    assert (EVERY_BYTE.symbol_texts[0], EVERY_BYTE.symbol_texts[ord("a") + 1], EVERY_BYTE.symbol_texts[256]) == (
        "\ufffd",
        "a",
        "\\xff",
    )

"""Symbols and their ids."""

import json
import random
import unicodedata

import numpy as np
import pytest

from training.data.vocabulary import MAX_SYMBOLS, REPLACEMENT, RESERVED, Vocabulary, vocabulary_of
from training.errors import InputError


def of(text: str) -> Vocabulary:
    return Vocabulary("char", tuple(sorted(map(ord, set(text)))))


def test_encoded_text_is_decoded_to_itself() -> None:
    text = "héllo wörld \U0001f600漢字"
    vocabulary = of(text)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int32
    assert RESERVED not in ids
    assert ids.max() == len(vocabulary) - 1
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode(iter(ids.tolist())) == text


def test_ids_are_those_of_a_plain_dictionary() -> None:
    generator = random.Random(3)
    known = generator.sample(range(0x20, 0x11000), 500)
    vocabulary = Vocabulary("char", tuple(known))
    ids = {point: number for number, point in enumerate(known, start=1)}
    text = "".join(
        chr(generator.choice([generator.choice(known), generator.randrange(0x12000, 0x30000)])) for _ in range(5000)
    )
    assert vocabulary.encode(text).tolist() == [ids.get(ord(character), RESERVED) for character in text]
    points = np.array(list(map(ord, text)), np.uint32)
    assert vocabulary.encode_points(points).tolist() == vocabulary.encode(text).tolist()


def test_unknown_characters_become_the_reserved_id_and_its_replacement() -> None:
    vocabulary = of("bdf")
    assert vocabulary.encode("abcdefg\U0010ffff").tolist() == [0, 1, 0, 2, 0, 3, 0, 0]
    assert vocabulary.encode("").tolist() == []
    assert vocabulary.decode([1, RESERVED, 3]) == f"b{REPLACEMENT}f"
    assert vocabulary.decode([]) == ""


def test_bytes_are_utf_8_and_invalid_ones_become_the_replacement() -> None:
    text = "naïve 漢"
    vocabulary = Vocabulary("byte", tuple(range(256)))
    ids = vocabulary.encode(text)
    assert ids.tolist() == [byte + 1 for byte in text.encode()]
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode(ids[:-1]) == f"naïve {REPLACEMENT}"
    assert vocabulary.decode([ord("a") + 1, RESERVED, ord("b") + 1]) == f"a{REPLACEMENT}b"


def test_json_keeps_the_order() -> None:
    vocabulary = Vocabulary.from_json([None, "z", "a", "m"])
    assert vocabulary.to_json() == [None, "z", "a", "m"]
    assert vocabulary.encode("amz?").tolist() == [2, 3, 1, 0]
    of_bytes = Vocabulary.from_json(json.loads("[null, 10, 32, 255]"), "byte")
    assert of_bytes.to_json() == [None, 10, 32, 255]
    assert of_bytes.encode_points(np.array([255, 10, 9], np.uint8)).tolist() == [3, 1, 0]


@pytest.mark.parametrize(
    ("symbols", "unit", "words"),
    [
        (["a", "b"], "char", "null"),
        ([], "char", "null"),
        ([None, "a", "a"], "char", "twice"),
        ([None, "ab"], "char", "'ab'"),
        ([None, 7], "char", "7"),
        ([None, "a"], "byte", "'a'"),
        ([None, 256], "byte", "256"),
        ([None, "a"], "word", "word"),
    ],
)
def test_an_invalid_list_is_refused(symbols, unit, words) -> None:
    with pytest.raises(InputError, match=words):
        Vocabulary.from_json(symbols, unit)


def test_an_extension_keeps_the_known_ids_and_appends_in_code_point_order() -> None:
    vocabulary = Vocabulary("char", (ord("z"), ord("a")))
    extended = vocabulary.extended(map(ord, "yabzß"))
    assert extended.to_json() == [None, "z", "a", "b", "y", "ß"]
    assert len(vocabulary) == 3


def test_ids_of_a_byte_fit_until_the_vocabulary_has_256() -> None:
    assert Vocabulary("byte", tuple(range(255))).dtype == np.uint8
    assert Vocabulary("byte", tuple(range(256))).dtype == np.uint16


def test_rare_symbols_are_left_out_and_known_ones_kept() -> None:
    counts = {ord("a"): 5, ord("b"): 1, ord("c"): 2, ord("B"): 2}
    assert vocabulary_of("char", counts, min_count=2).to_json() == [None, "B", "a", "c"]
    assert vocabulary_of("char", counts).to_json() == [None, "B", "a", "b", "c"]
    known = Vocabulary("char", (ord("b"), ord("q")))
    assert vocabulary_of("char", counts, min_count=2, known=known).to_json() == [None, "b", "q", "B", "a", "c"]


@pytest.mark.parametrize(
    ("unit", "counts", "min_count", "words"),
    [
        ("char", {97: 4}, 1, ["one distinct character", "'a'", "at least 2"]),
        ("byte", {97: 4}, 1, ["one distinct byte", "0x61"]),
        ("char", {97: 4, 98: 3}, 9, ["--min-count 9", "leaves 0 of 2", "'a'", "4 times"]),
        ("char", {97: 4, 98: 3}, 4, ["--min-count 4", "leaves 1 of 2"]),
    ],
)
def test_too_few_symbols_are_refused(unit, counts, min_count, words) -> None:
    with pytest.raises(InputError) as refusal:
        vocabulary_of(unit, counts, min_count=min_count)
    for word in words:
        assert word in str(refusal.value)


def test_too_many_symbols_are_refused_with_advice() -> None:
    common, rare = dict.fromkeys(range(100, 15_100), 99), dict.fromkeys(range(30_000, 40_000), 1)
    with pytest.raises(InputError, match=r"25,000 distinct.*20,000.*--unit byte.*--min-count 2 keeps 15,000"):
        vocabulary_of("char", common | rare)
    assert len(vocabulary_of("char", common | rare, min_count=2)) == 15_001
    for no_help in (dict.fromkeys(range(MAX_SYMBOLS + 1), 1), {**dict.fromkeys(range(30_000), 1), 7: 500}):
        with pytest.raises(InputError) as refusal:
            vocabulary_of("char", no_help)
        assert "--min-count" not in str(refusal.value)
    assert len(vocabulary_of("char", dict.fromkeys(range(MAX_SYMBOLS), 1))) == MAX_SYMBOLS + 1


def test_a_vocabulary_does_not_normalize() -> None:
    decomposed = unicodedata.normalize("NFD", "é")
    assert len(of("é").encode(decomposed)) == 2


def test_ids_are_translated_to_those_of_another_vocabulary() -> None:
    one, other = of("abcd"), Vocabulary("char", tuple(map(ord, "dxb")))
    ids = one.ids_in(other)[one.encode("abcd?")]
    assert ids.tolist() == [RESERVED, 3, RESERVED, 1, RESERVED]
    assert other.decode(ids[[1, 3]]) == "bd"

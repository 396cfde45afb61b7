import pytest

from training.data.vocabulary import RESERVED, Vocabulary
from training.errors import InputError


def test_every_character_has_an_id_and_comes_back() -> None:
    text = "héllo wörld \U0001f600漢字"
    vocabulary = Vocabulary.of(text)
    ids = vocabulary.encode(text)
    assert RESERVED not in ids
    assert ids.max() == len(vocabulary) - 1
    assert vocabulary.decode(ids) == text


def test_unknown_characters_become_the_reserved_id() -> None:
    vocabulary = Vocabulary.of("bdf")
    assert vocabulary.encode("abcdefg").tolist() == [0, 1, 0, 2, 0, 3, 0]
    assert vocabulary.encode("").tolist() == []


def test_json_keeps_the_order_whatever_it_is() -> None:
    vocabulary = Vocabulary.from_json([None, "z", "a", "m"])
    assert vocabulary.to_json() == [None, "z", "a", "m"]
    assert vocabulary.encode("amz?").tolist() == [2, 3, 1, 0]


def test_one_distinct_character_is_nothing_to_learn_from() -> None:
    with pytest.raises(InputError, match="one distinct character"):
        Vocabulary.of("aaaa")

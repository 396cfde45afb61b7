"""Held-out text is found again by its content."""

import random
import string

import numpy as np
import pytest

from training.data.held_out import PASSAGE, HeldOut

POINTS = np.array([0, *range(32, 127)], np.uint32)


def letters(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices(string.ascii_lowercase, k=length))


def points(text: str) -> np.ndarray:
    return np.array(list(map(ord, text)), np.uint32)


def held_out(training: str, validation: str, test: str = "") -> HeldOut:
    parts = [np.searchsorted(POINTS[1:], points(text)).astype(np.uint8) + 1 for text in (training, validation, test)]
    return HeldOut(*parts, POINTS)


TRAINING, VALIDATION, TEST = letters(1, 900), letters(2, 300), letters(3, 200)


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_text_is_found_where_it_was_moved_to(size: int) -> None:
    text = points(letters(4, 77) + TEST + TRAINING + VALIDATION + letters(5, 50))
    blocks = (text[start : start + size] for start in range(0, len(text), size))
    found = held_out(TRAINING, VALIDATION, TEST).ranges(blocks)
    assert found == ([(1177, 1477)], [(77, 277)])


def test_an_edit_within_held_out_text_stays_held_out() -> None:
    edited = VALIDATION[:100] + "EDIT" + VALIDATION[105:]
    assert held_out(TRAINING, VALIDATION).ranges([points(edited)])[0] == [(0, 299)]


def test_a_gap_of_a_passage_is_new_text() -> None:
    text = VALIDATION[:100] + letters(6, PASSAGE) + VALIDATION[100:]
    assert held_out(TRAINING, VALIDATION).ranges([points(text)])[0] == [(0, 100), (132, 332)]


def test_text_that_the_training_part_also_has_is_not_held_out() -> None:
    assert held_out(TRAINING + VALIDATION, VALIDATION, TEST).ranges([points(VALIDATION + TEST)]) == ([], [(300, 500)])


def test_pieces_shorter_than_a_passage_are_not_found() -> None:
    assert held_out(TRAINING, VALIDATION[: PASSAGE - 1]).ranges([points(VALIDATION)]) == ([], [])
    assert held_out(TRAINING, VALIDATION[:PASSAGE]).ranges([points(VALIDATION)]) == ([(0, PASSAGE)], [])

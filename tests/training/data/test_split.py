"""Cuts of a text into training, validation and test."""

import pytest

from training.data.split import Split, file_cuts, parts_of_file
from training.errors import InputError


def test_a_split_is_contiguous_and_covers_the_text() -> None:
    assert Split.contiguous(1000, (0.9, 0.05, 0.05)) == Split((0, 900), (900, 950), (950, 1000))
    # The split of tinyshakespeare that others publish.
    others = Split((0, 1_003_854), (1_003_854, 1_115_394), (1_115_394, 1_115_394))
    assert Split.contiguous(1_115_394, (0.9, 0.1, 0.0)) == others


def test_an_empty_validation_part_is_refused() -> None:
    split = Split.at(9, 10, 10)
    assert split.require_validation(10, "lines") is split
    with pytest.raises(InputError, match=r"^The validation part of 10 lines is empty: use a longer corpus\.$"):
        Split.at(10, 10, 10).require_validation(10, "lines")


def test_a_file_without_held_out_text_is_cut_by_the_fractions() -> None:
    assert parts_of_file(100, ([], []), (0.8, 0.1, 0.1)) == ([(0, 80)], [(80, 90)], [(90, 100)])


def test_held_out_text_stays_held_out_and_is_enough_if_the_file_has_not_grown() -> None:
    train, validation, test = parts_of_file(1000, ([(300, 500)], [(500, 600)]), (0.8, 0.1, 0.1))
    assert (train, validation, test) == ([(0, 300), (600, 1000)], [(300, 500)], [(500, 600)])


def test_the_end_of_a_file_that_has_grown_is_held_out() -> None:
    train, validation, test = parts_of_file(2000, ([(900, 950)], [(950, 1000)]), (0.8, 0.1, 0.1))
    assert train == [(0, 900), (1000, 1700)]
    assert validation == [(900, 950), (1700, 1850)]
    assert test == [(950, 1000), (1850, 2000)]


def test_a_short_addition_is_not_held_out() -> None:
    train, validation, _ = parts_of_file(1100, ([(800, 1000)], []), (0.8, 0.2, 0.0))
    assert (train, validation) == ([(0, 800), (1000, 1100)], [(800, 1000)])


def test_every_part_has_a_file_and_ends_where_its_share_is_reached() -> None:
    assert file_cuts([10, 10, 10, 10], [0.5, 0.25, 0.25]) == [20, 30, 40]
    assert file_cuts([5, 90, 5], [0.9, 0.1]) == [95, 100]
    assert file_cuts([100, 1, 1], [0.4, 0.3, 0.3]) == [100, 101, 102]
    assert file_cuts([1, 1, 100], [0.8, 0.1, 0.1]) == [1, 2, 102]


def test_shares_have_no_rounding_errors() -> None:
    assert 0.9 + 0.05 > 0.95
    assert file_cuts([100] * 40, [0.9, 0.05, 0.05]) == [3600, 3800, 4000]
    assert 0.7 + 0.1 < 0.8
    assert Split.contiguous(100, (0.7, 0.1, 0.2)) == Split((0, 70), (70, 80), (80, 100))

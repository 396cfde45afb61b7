"""The samples of a run on its page."""

from pathlib import Path

import pytest

from tests.training.report.pages import Page
from tests.training.report.runs import NASTY, evaluation, write_run
from training.report.recorded import read_run
from training.report.samples import samples_section, summary, until_a_word_ends


def test_samples_are_shown_as_text_by_ascending_temperature(tmp_path: Path) -> None:
    found = Page(samples_section(read_run(write_run(tmp_path))))
    pictured = NASTY.translate({0: "\u2400", 7: "\u2407", 0x7F: "\u2421", 0x9F: "\ufffd", 0xD800: "\ufffd"})
    assert found.of("pre") == [
        f"\n{text}" for number in range(1, 6) for text in (f"cool {number} {pictured}", f"hot {number}")
    ]
    assert found.of("script") == []
    assert [text for text in found.of("button") if "temperature" in text] == ["temperature 0.5", "temperature 1.0"]


def test_only_the_last_evaluation_is_open(tmp_path: Path) -> None:
    source = samples_section(read_run(write_run(tmp_path)))
    assert (source.count("<details>"), source.count("<details open>")) == (4, 1)
    assert source.rindex("<details>") < source.index("<details open>")


def test_a_run_without_samples_has_no_section(tmp_path: Path) -> None:
    assert samples_section(read_run(write_run(tmp_path, [evaluation(1, 2.0, samples={})]))) == ""


def test_an_evaluation_is_summarised_in_one_line(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path))
    assert summary(run, run.evaluations[2]) == "epoch 1.5 · 3k characters seen · 1.400 nats (2.020 bits)"


@pytest.mark.parametrize(
    ("text", "shortened"),
    [
        ("to be, or not to b", "to be, or not to"),
        ("the end.\n\nKI", "the end."),
        ("one\n", "one\n"),
        ("oneword", "oneword"),
        (" begun", " begun"),
        ("一行目\n" + "吾輩は猫である" * 6, "一行目\n" + "吾輩は猫である" * 6),
    ],
)
def test_a_sample_ends_with_a_complete_word(text: str, shortened: str) -> None:
    assert until_a_word_ends(text) == shortened

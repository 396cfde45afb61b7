"""Windows over the text of teachers, and over a corpus and such a text together."""

import json
from pathlib import Path

import numpy as np
import pytest

from training.config import TrainConfig
from training.data.teacher_text import IDS, PROBABILITIES, TeacherText, windows_of
from training.data.windows import Windows
from training.errors import InputError

PASSAGES, LENGTH, SYMBOLS = 6, 23, 12


def teacher_text() -> TeacherText:
    """The first id of a passage is its number + 1, and every probability is unique."""
    ids = np.random.Generator(np.random.PCG64(5)).integers(1, SYMBOLS, (PASSAGES, LENGTH)).astype(np.uint8)
    ids[:, 0] = np.arange(PASSAGES) + 1
    places = np.arange(PASSAGES * LENGTH * SYMBOLS, dtype=np.float64)
    return TeacherText(ids, (places.reshape(PASSAGES, LENGTH, SYMBOLS) / 2048).astype(np.float16))


def test_a_stream_reads_passages_from_their_starts_window_after_window() -> None:
    text = teacher_text()
    before = text.window(0, rows=4, window=5)
    assert before.reset.all()
    for number in range(1, 40):
        after = text.window(number, rows=4, window=5)
        for row in range(4):
            previous, targets = after.previous[row], after.targets[row]
            passage, place = np.argwhere((text.probabilities == targets[0]).all(axis=-1))[0]
            assert (targets == text.probabilities[passage, place : place + 5]).all()
            assert (previous[1:] == text.ids[passage, place : place + 4]).all()
            assert after.reset[row] == (place == 0)
            assert previous[0] == (text.ids[passage, place - 1] if place else 0)
            if place:
                assert (before.targets[row] == text.probabilities[passage, place - 5 : place]).all()
        before = after


def test_all_passages_are_read_and_the_streams_start_them_at_other_times() -> None:
    text = teacher_text()
    windows = [text.window(number, rows=2, window=5) for number in range(1, 4 * PASSAGES)]
    read = {tuple(targets[0]) for window in windows for targets in window.targets}
    assert read == {tuple(text.probabilities[passage, 5 * i]) for passage in range(PASSAGES) for i in range(4)}
    assert all(window.reset.sum() <= 1 for window in windows)


CONFIG = TrainConfig(batch_size=4, window=5, teacher_share=0.5, cold_start=0.1)
CORPUS = np.random.Generator(np.random.PCG64(3)).integers(1, SYMBOLS, 103).astype(np.uint8)


def test_the_first_rows_read_the_corpus_and_its_symbols_have_probability_1() -> None:
    text = teacher_text()
    mixed = windows_of(CORPUS, CONFIG, text)
    alone = Windows(CORPUS, batch_size=2, window=5, cold_start=0.1, seed=CONFIG.seed)
    assert mixed.per_epoch == alone.per_epoch
    for number in range(30):
        found, read, written = mixed.next(), alone.next(), text.window(number, rows=2, window=5)
        assert (found.previous == np.concatenate([read.previous, written.previous])).all()
        assert (found.reset == np.concatenate([read.reset, written.reset])).all()
        assert found.targets.dtype == np.float16
        assert (found.targets[:2].argmax(axis=-1) == read.targets).all()
        assert (found.targets[:2].sum(axis=-1) == 1).all()
        assert (found.targets[:2].max(axis=-1) == 1).all()
        assert (found.targets[2:] == written.targets).all()


def test_without_teachers_the_windows_are_those_of_the_corpus() -> None:
    found = windows_of(CORPUS, CONFIG, None)
    expected = Windows(CORPUS, batch_size=4, window=5, cold_start=0.1, seed=CONFIG.seed)
    for _ in range(10):
        assert (found.next().targets == expected.next().targets).all()


def test_windows_continue_at_a_saved_position() -> None:
    mixed = windows_of(CORPUS, CONFIG, teacher_text())
    for _ in range(17):
        mixed.next()
    position = json.loads(json.dumps(mixed.position()))
    other = windows_of(CORPUS, CONFIG, teacher_text())
    other.seek(position)
    for _ in range(30):
        expected, found = mixed.next(), other.next()
        assert (found.previous == expected.previous).all()
        assert (found.targets == expected.targets).all()
        assert (found.reset == expected.reset).all()


@pytest.mark.parametrize("damage", ["missing", "truncated", "other length"])
def test_a_damaged_text_is_one_sentence(tmp_path: Path, damage: str) -> None:
    text = teacher_text()
    np.save(tmp_path / IDS, text.ids)
    np.save(tmp_path / PROBABILITIES, text.probabilities)
    opened = TeacherText.open(tmp_path)
    assert (opened.ids == text.ids).all()
    assert (opened.probabilities == text.probabilities).all()
    if damage == "missing":
        (tmp_path / IDS).unlink()
    elif damage == "truncated":
        content = (tmp_path / PROBABILITIES).read_bytes()
        (tmp_path / PROBABILITIES).write_bytes(content[: len(content) // 2])
    else:
        np.save(tmp_path / IDS, text.ids[:, 1:])
    with pytest.raises(InputError, match=r"The teachers' text in .* is damaged .*: --restart discards the run\."):
        TeacherText.open(tmp_path)

"""Windows over the text of teachers, and over a corpus and such a text together."""

import json
from pathlib import Path

import numpy as np
import pytest

from training.config import TrainConfig
from training.data.teacher_targets import OF_CORPUS, OF_WRITTEN, WRITTEN, TeacherTargets, TeacherWindows, windows_of
from training.data.windows import Windows
from training.errors import InputError

PASSAGES, LENGTH, SYMBOLS = 6, 23, 12
CONFIG = TrainConfig(batch_size=4, window=5, teacher_share=0.5, teacher_weight=0.25, cold_start=0.1)
CORPUS = np.random.Generator(np.random.PCG64(3)).integers(1, SYMBOLS, 103).astype(np.uint8)


def teachers() -> TeacherTargets:
    """The probabilities of each written symbol are unique."""
    generator = np.random.Generator(np.random.PCG64(5))
    written = generator.integers(1, SYMBOLS, (PASSAGES, LENGTH)).astype(np.uint8)
    places = np.arange(PASSAGES * LENGTH * SYMBOLS, dtype=np.float64).reshape(PASSAGES, LENGTH, SYMBOLS)
    of_corpus = generator.dirichlet(np.ones(SYMBOLS), len(CORPUS)).astype(np.float16)
    return TeacherTargets(of_corpus, written, (places / 2048).astype(np.float16))


def mixed() -> TeacherWindows:
    found = windows_of(CORPUS, CONFIG, teachers())
    assert isinstance(found, TeacherWindows)
    return found


def test_a_stream_reads_passages_from_their_starts_window_after_window() -> None:
    of = teachers()
    before = of.window(0, rows=4, window=5)
    assert before.reset.all()
    for number in range(1, 40):
        after = of.window(number, rows=4, window=5)
        for row in range(4):
            previous, targets = after.previous[row], after.targets[row]
            passage, place = np.argwhere((of.of_written == targets[0]).all(axis=-1))[0]
            assert (targets == of.of_written[passage, place : place + 5]).all()
            assert (previous[1:] == of.written[passage, place : place + 4]).all()
            assert after.reset[row] == (place == 0)
            assert previous[0] == (of.written[passage, place - 1] if place else 0)
            if place:
                assert (before.targets[row] == of.of_written[passage, place - 5 : place]).all()
        before = after


def test_all_passages_are_read_and_the_streams_start_them_at_different_times() -> None:
    of = teachers()
    windows = [of.window(number, rows=2, window=5) for number in range(1, 4 * PASSAGES)]
    read = {tuple(targets[0]) for window in windows for targets in window.targets}
    assert read == {tuple(of.of_written[passage, 5 * i]) for passage in range(PASSAGES) for i in range(4)}
    assert all(window.reset.sum() <= 1 for window in windows)


def test_the_first_rows_read_the_corpus_and_learn_its_symbols_and_the_probabilities() -> None:
    of, found = teachers(), mixed()
    alone = Windows(CORPUS, batch_size=2, window=5, cold_start=0.1, seed=CONFIG.seed)
    places = Windows(np.arange(len(CORPUS)), batch_size=2, window=5, cold_start=0.1, seed=CONFIG.seed)
    assert found.per_epoch == alone.per_epoch
    for number in range(30):
        window, read, place = found.next(), alone.next(), places.next().targets
        written = of.window(number, rows=2, window=5)
        assert (window.previous == np.concatenate([read.previous, written.previous])).all()
        assert (window.reset == np.concatenate([read.reset, written.reset])).all()
        expected = 0.75 * np.eye(SYMBOLS)[read.targets] + 0.25 * of.of_corpus[place]
        np.testing.assert_allclose(window.targets[:2], expected, rtol=0, atol=1e-3)
        assert (window.targets[2:] == written.targets).all()


def test_without_teachers_the_windows_are_those_of_the_corpus() -> None:
    found = windows_of(CORPUS, CONFIG, None)
    expected = Windows(CORPUS, batch_size=4, window=5, cold_start=0.1, seed=CONFIG.seed)
    for _ in range(10):
        assert (found.next().targets == expected.next().targets).all()


@pytest.mark.parametrize("part", [0, 3, 6])
def test_a_part_is_left_out(part: int) -> None:
    """Every seventh block of 10,000, or of a shorter text a seventh."""
    for length, block in ((60_000, 8_400), (200_000, 10_000)):
        config = TrainConfig(batch_size=10, window=20, leave_out=f"{part}/7", cold_start=0.0)
        reader = windows_of(np.arange(1, length + 1, dtype=np.int32), config, None)
        read = np.unique(np.concatenate([reader.next().targets.ravel() for _ in range(3 * reader.per_epoch)]))
        trained = np.arange(length // 50, length)
        kept = (trained - length // 50) // block % 7 != part
        assert (read - 1).tolist() == trained[kept].tolist()


def test_a_part_without_a_character_is_refused() -> None:
    with pytest.raises(InputError, match=r"^--leave-out 150/200 leaves out nothing: the training part has only 103 "):
        windows_of(CORPUS, TrainConfig(batch_size=4, window=5, leave_out="150/200"), None)


def test_windows_continue_at_a_saved_position() -> None:
    reader, other = mixed(), mixed()
    for _ in range(17):
        reader.next()
    other.seek(json.loads(json.dumps(reader.position())))
    for _ in range(30):
        expected, found = reader.next(), other.next()
        assert (found.previous == expected.previous).all()
        assert (found.targets == expected.targets).all()
        assert (found.reset == expected.reset).all()


@pytest.mark.parametrize("damage", ["missing", "truncated", "other length"])
def test_damaged_targets_are_one_sentence(tmp_path: Path, damage: str) -> None:
    of = teachers()
    for name, array in ((OF_CORPUS, of.of_corpus), (WRITTEN, of.written), (OF_WRITTEN, of.of_written)):
        np.save(tmp_path / name, array)
    opened = TeacherTargets.open(tmp_path)
    assert (opened.written == of.written).all()
    assert (opened.of_corpus == of.of_corpus).all()
    if damage == "missing":
        (tmp_path / OF_CORPUS).unlink()
    elif damage == "truncated":
        content = (tmp_path / OF_WRITTEN).read_bytes()
        (tmp_path / OF_WRITTEN).write_bytes(content[: len(content) // 2])
    else:
        np.save(tmp_path / WRITTEN, of.written[:, 1:])
    with pytest.raises(InputError, match=r"The teachers' targets in .* are damaged .*`train --restart`\."):
        TeacherTargets.open(tmp_path)

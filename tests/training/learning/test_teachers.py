"""Text that an ensemble writes, against NumPy networks."""

from pathlib import Path

import numpy as np
import pytest

from tests.oracle import log_softmax
from tests.training.network.networks import config, oracle_of, random_network
from training.data.teacher_text import TeacherText
from training.errors import InputError
from training.learning.stages import Stages
from training.learning.teachers import Ensemble, write_text

SETTINGS = [config(1, cell="lstm"), config(2, cell="gru")]


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return Ensemble([random_network(setting, dtype="float32") for setting in SETTINGS])


def written(ensemble: Ensemble, folder: Path, *, characters: int = 4100, seed: int = 1) -> TeacherText:
    write_text(ensemble, folder, characters=characters, window=10, dtype=np.dtype(np.uint8), seed=seed, stages=Stages())
    return TeacherText.open(folder)


def test_the_probabilities_are_the_mean_of_all_networks(ensemble: Ensemble, tmp_path: Path) -> None:
    text = written(ensemble, tmp_path / "text")
    assert text.ids.shape == (2, 2050)
    previous = np.concatenate([np.zeros((2, 1), int), text.ids[:, :-1].astype(int)], axis=1)
    means = []
    for network, state in zip(SETTINGS, ensemble.initial_states(2), strict=True):
        logits, *_ = oracle_of(random_network(network, dtype="float32")).forward(previous, state)
        means.append(np.exp(log_softmax(logits)))
    np.testing.assert_allclose(text.probabilities, np.mean(means, axis=0), rtol=0, atol=1e-3)  # float16, carried state


def test_symbols_are_drawn_with_their_probabilities_and_id_0_never(ensemble: Ensemble, tmp_path: Path) -> None:
    text = written(ensemble, tmp_path / "text", characters=40_000)
    probabilities = text.probabilities.astype(np.float64)
    probabilities[:, :, 0] = 0
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    counts = np.bincount(text.ids.ravel(), minlength=probabilities.shape[2])
    expected = probabilities.sum(axis=(0, 1))
    deviation = np.sqrt((probabilities * (1 - probabilities)).sum(axis=(0, 1)))
    assert counts[0] == 0
    assert (np.abs(counts - expected)[1:] < 5 * deviation[1:]).all()


def test_a_text_depends_on_its_seed_alone(ensemble: Ensemble, tmp_path: Path) -> None:
    first, again = (written(ensemble, tmp_path / name, characters=100) for name in ("a", "b"))
    other = written(ensemble, tmp_path / "c", characters=100, seed=2)
    assert first.ids.shape == (1, 100)
    assert (first.ids == again.ids).all()
    assert (first.probabilities == again.probabilities).all()
    assert (first.ids != other.ids).any()


def test_fewer_characters_than_a_window_are_refused(ensemble: Ensemble, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--teacher-chars must be at least --window, 10, not 9\.$"):
        written(ensemble, tmp_path / "text", characters=9)

"""Probabilities and texts of teachers, against NumPy networks."""

import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import log_softmax
from tests.training.network.networks import SYMBOLS, config, oracle_of, random_network
from training.learning.stages import Stages
from training.learning.teachers import WARM_UP, Ensemble, Teacher, predict
from training.network.network import Network, state_shape

SETTINGS = [config(1, cell="lstm"), config(2, cell="gru")]


@pytest.fixture(scope="module")
def networks() -> list[Network]:
    return [random_network(setting, dtype="float32") for setting in SETTINGS]


def expected(network: Network, previous: np.ndarray) -> np.ndarray:
    logits, *_ = oracle_of(network).forward(previous, np.zeros(state_shape(network.config, len(previous))))
    return np.asarray(np.exp(log_softmax(logits)))


@pytest.mark.parametrize("blocks", [[(0, 150)], [(700, 901)], [(0, 150), (450, 600), (5800, 6000)]])
@pytest.mark.parametrize("skipped", [0, 20])
def test_blocks_are_predicted_after_the_text_before_them(
    networks: list[Network], blocks: list[tuple[int, int]], skipped: int
) -> None:
    blocks = [(max(first, skipped), last) for first, last in blocks]
    ids = np.random.Generator(np.random.PCG64(2)).integers(1, SYMBOLS, 6000).astype(np.uint8)
    found = np.full((len(ids) - skipped, SYMBOLS), np.nan, np.float16)
    predict(Teacher(networks[1], blocks), ids, found, Stages())
    for first, last in blocks:
        for place in (first, first + 1, (first + last) // 2, last - 1):
            context = ids[max(0, place - WARM_UP) : place].astype(int)
            probabilities = expected(networks[1], np.concatenate([[0], context])[None])[0, -1]
            np.testing.assert_allclose(found[place - skipped], probabilities, rtol=0, atol=1e-3)
    predicted = np.concatenate([np.arange(first, last) for first, last in blocks]) - skipped
    assert np.flatnonzero(~np.isnan(found).any(axis=1)).tolist() == predicted.tolist()


class Counter:
    """A network whose second symbol is as likely as it has read symbols since its state was zero, the last included."""

    config = config(1, cell="rnn")

    def __call__(self, previous: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        read = state[0, :, :1] + tf.cumsum(tf.ones_like(previous, tf.float32), axis=1)
        return tf.stack([tf.zeros_like(read), tf.math.log(read)], axis=-1), state * 0 + read[None, :, -1:]


def test_a_block_near_the_text_s_start_is_read_from_there() -> None:
    blocks = [(0, 9), (1, 40), (130, 260), (499, 520), (550, 560)]
    probabilities = np.zeros((1200, 2), np.float16)
    predict(Teacher(Counter(), blocks), np.ones(1200, np.uint8), probabilities, Stages())
    first = np.array([start for start, _ in blocks])
    found = probabilities[first].astype(float)
    np.testing.assert_allclose(found[:, 1] / found[:, 0], np.minimum(first, WARM_UP) + 1, rtol=1e-3)


def written(networks: list[Network], shape: tuple[int, int], seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    ids, probabilities = np.zeros(shape, np.uint8), np.zeros((*shape, SYMBOLS), np.float16)
    Ensemble(networks).write(ids, probabilities, np.random.Generator(np.random.PCG64(seed)), Stages())
    return ids, probabilities


def test_a_text_has_the_mean_probabilities_of_all_networks(networks: list[Network]) -> None:
    ids, probabilities = written(networks, (2, 300))
    previous = np.concatenate([np.zeros((2, 1), int), ids[:, :-1].astype(int)], axis=1)
    mean = np.mean([expected(network, previous) for network in networks], axis=0)
    np.testing.assert_allclose(probabilities, mean, rtol=0, atol=1e-3)


def test_symbols_are_drawn_with_their_probabilities_and_id_0_never(networks: list[Network]) -> None:
    ids, given = written(networks, (100, 300))
    probabilities = given.astype(np.float64)
    probabilities[:, :, 0] = 0
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    counts = np.bincount(ids.ravel(), minlength=SYMBOLS)
    deviation = np.sqrt((probabilities * (1 - probabilities)).sum(axis=(0, 1)))
    assert counts[0] == 0
    assert (np.abs(counts - probabilities.sum(axis=(0, 1)))[1:] < 5 * deviation[1:]).all()


def test_a_text_depends_on_the_generator_alone(networks: list[Network]) -> None:
    first, again, other = (written(networks, (3, 40), seed)[0] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()

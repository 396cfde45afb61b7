"""The optimisation step against one written by hand: replicas, clipping, optimizers, averages, dropout, precision."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import Network as Oracle
from tests.training.network.test_network import SYMBOLS, UNITS, config, example, made, oracle_of
from training.config import CHOICES, TrainConfig
from training.data.windows import Window
from training.learning.optimizer import make_optimizer
from training.learning.step import Trainer
from training.network.dropout import dropout
from training.network.network import Network, state_shape, weights_of

RATE = 2**-5  # exact in float32, which Keras keeps it in


def vanilla(**changes) -> TrainConfig:
    """The network that compiles fastest."""
    return config(1, **({"cell": "rnn", "grad_clip": 0.0} | changes))


def learner_of(setting: TrainConfig, *, replicas: int = 1, dtype: str = "float64") -> Trainer:
    return Trainer(made(setting, dtype=dtype), setting, replicas=replicas)


def batch_of(setting: TrainConfig, *, fresh: bool = False):
    previous, targets, state = example(setting, streams=setting.batch_size)
    return Window(previous, targets, np.full(setting.batch_size, fresh)), state


def oracle_step(oracle: Oracle, window: Window, state: np.ndarray):
    """The mean loss, its gradients and the state, from a state that is zero in fresh rows."""
    return oracle.loss_and_gradients(window.previous, window.targets, np.where(window.reset[None, :, None], 0, state))


def norm_of(arrays) -> float:
    return float(np.sqrt(sum((array**2).sum() for array in arrays)))


def assert_weights(network: Network, expected: list[np.ndarray], *, atol: float = 1e-9) -> None:
    """To 1e-9: Keras keeps the constants of its optimizers in float32."""
    for found, array in zip(weights_of(network).arrays, expected, strict=True):
        np.testing.assert_allclose(found, array, rtol=0, atol=atol)


@pytest.mark.parametrize(("replicas", "cell"), [(1, "rnn"), (2, "gru"), (3, "lstm")])
def test_a_step_is_the_same_however_many_replicas_share_it(replicas: int, cell: str) -> None:
    """Five streams, of which two begin anew."""
    setting = config(1, cell=cell, batch_size=5, optimizer="sgd", grad_clip=0.0)
    trainer = learner_of(setting, replicas=replicas)
    oracle = oracle_of(trainer.network)
    window, state = batch_of(setting)
    window = dataclasses.replace(window, reset=np.array([False, True, False, False, True]))
    expected_loss, gradients, expected_state = oracle_step(oracle, window, state)
    loss, norm, new_state = trainer.train(window, state, rate=RATE, step=0)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert norm == pytest.approx(norm_of(gradients), rel=1e-12)
    np.testing.assert_allclose(new_state, expected_state, rtol=0, atol=1e-13)
    # The first step of Nesterov's momentum: the rate once for the step, and 0.9 of it for where it leads.
    assert_weights(trainer.network, [w - 1.9 * RATE * g for w, g in zip(oracle.weights, gradients, strict=True)])


@pytest.mark.parametrize(("clip_by", "limit"), [("norm", 0.02), ("norm", 100.0), ("value", 0.02)])
def test_gradient_is_clipped(clip_by: str, limit: float) -> None:
    setting = vanilla(optimizer="sgd", clip_by=clip_by, grad_clip=limit)
    trainer = learner_of(setting)
    oracle = oracle_of(trainer.network)
    window, state = batch_of(setting)
    _, gradients, _ = oracle_step(oracle, window, state)
    _, norm, _ = trainer.train(window, state, rate=RATE, step=0)
    assert norm == pytest.approx(norm_of(gradients), rel=1e-12)  # as it was before
    if clip_by == "norm":
        clipped = [gradient * min(1, limit / norm) for gradient in gradients]
    else:
        clipped = [np.clip(gradient, -limit, limit) for gradient in gradients]
    assert (limit > norm) == all(np.array_equal(a, b) for a, b in zip(gradients, clipped, strict=True))
    assert_weights(trainer.network, [w - 1.9 * RATE * g for w, g in zip(oracle.weights, clipped, strict=True)])


class Textbook:
    """Each optimizer's formula, for one array; `t` counts from 1."""

    def __init__(self, kind: str) -> None:
        self._step = getattr(self, kind)
        self._first = self._second = 0.1 if kind == "adagrad" else 0.0

    def move(self, gradient: np.ndarray, t: int) -> np.ndarray:
        return self._step(gradient, t)

    def adam(self, gradient: np.ndarray, t: int) -> np.ndarray:
        self._first = 0.9 * self._first + 0.1 * gradient
        self._second = 0.999 * self._second + 0.001 * gradient**2
        rate = RATE * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return -rate * self._first / (np.sqrt(self._second) + 1e-7)

    adamw = adam

    def rmsprop(self, gradient: np.ndarray, t: int) -> np.ndarray:
        self._second = 0.95 * self._second + 0.05 * gradient**2
        return -RATE * gradient / np.sqrt(self._second + 1e-7)

    def adagrad(self, gradient: np.ndarray, t: int) -> np.ndarray:
        self._second = self._second + gradient**2
        return -RATE * gradient / np.sqrt(self._second + 1e-7)

    def sgd(self, gradient: np.ndarray, t: int) -> np.ndarray:
        self._first = 0.9 * self._first - RATE * gradient
        return 0.9 * self._first - RATE * gradient


@pytest.mark.parametrize("optimizer", CHOICES["optimizer"])
def test_every_optimizer_follows_its_formula(optimizer: str) -> None:
    setting = vanilla(optimizer=optimizer, weight_decay=0.25, embedding=3)
    trainer = learner_of(setting)
    oracle = oracle_of(trainer.network)
    window, state = batch_of(setting)
    formulas = [Textbook(optimizer) for _ in oracle.weights]
    for t in (1, 2):
        trainer.train(window, state, rate=RATE, step=t)
        _, gradients, _ = oracle_step(oracle, window, state)
        embedding = oracle.weights[0]
        for weights, gradient, formula in zip(oracle.weights, gradients, formulas, strict=True):
            if weights.ndim == 2 and weights is not embedding:  # biases and the embedding do not decay
                # Decay is apart from the gradient and from what is made of it (Loshchilov and Hutter 2017).
                weights -= RATE * 0.25 * weights
            weights += formula.move(gradient, t)
        # Adam's 1 - 0.999 is known to five digits only, and a step of it is about RATE.
        assert_weights(trainer.network, oracle.weights, atol=2e-5 * RATE)


@pytest.mark.parametrize("optimizer", CHOICES["optimizer"])
def test_every_optimizer_does_without_weight_decay(optimizer: str) -> None:
    weights = tf.Variable([1.0])
    made_one = make_optimizer(vanilla(optimizer=optimizer, weight_decay=0.0))
    made_one.apply([tf.constant([0.0])], [weights])
    assert weights.numpy().tolist() == [1.0]


def test_averages_run_after_the_weights_and_are_lent_only() -> None:
    setting = vanilla(ema=0.2)
    trainer = learner_of(setting)
    window, state = batch_of(setting)
    averages = weights_of(trainer.network).arrays
    for number in range(3):
        trainer.train(window, state, rate=RATE, step=number)
        trained = weights_of(trainer.network).arrays
        # At first they follow faster: after three steps they would still be the random weights they began with.
        kept = min(0.2, (1 + number) / (10 + number))
        averages = [kept * average + (1 - kept) * array for average, array in zip(averages, trained, strict=True)]
    with trainer.averaged():
        assert_weights(trainer.network, averages, atol=1e-13)
        logits = trainer.read(window.previous, state)[0]
        np.testing.assert_allclose(logits, oracle_of(trainer.network).forward(window.previous, state)[0], atol=1e-12)
    assert_weights(trainer.network, trained, atol=0)
    with pytest.raises(RuntimeError, match="the disk is full"), trainer.averaged():
        raise RuntimeError("the disk is full")
    assert_weights(trainer.network, trained, atol=0)


def test_without_averages_the_weights_are_their_own() -> None:
    trainer = learner_of(vanilla())
    trained = weights_of(trainer.network).arrays
    with trainer.averaged():
        assert_weights(trainer.network, trained, atol=0)
    assert trainer.variables["averages"] == []


@pytest.mark.parametrize("compiled", [True, False], ids=["threefry", "philox"])
def test_dropout_keeps_the_share_and_the_sum(compiled: bool) -> None:
    @tf.function(jit_compile=compiled)
    def dropped(seed):
        return dropout(tf.ones((400, 500)), 0.3, seed, compiled=compiled)

    first, again, other = (dropped(tf.constant(seed, tf.int64)).numpy() for seed in ([1, 2], [1, 2], [1, 3]))
    assert set(np.unique(first)) == {0, np.float32(1) / np.float32(0.7)}
    # 200 000 draws: four standard deviations are 0.0041.
    assert abs((first == 0).mean() - 0.3) < 0.0041
    assert abs(first.mean() - 1) < 0.006
    np.testing.assert_array_equal(first, again)
    # Another seed is independent of it: both zero in 0.09 of the places, not 0.3.
    assert abs(((first == 0) & (other == 0)).mean() - 0.09) < 0.003


def test_same_seed_and_step_same_bits_another_step_or_replica_other_dropout() -> None:
    """Streams that read the same differ by nothing but their dropout."""
    setting = vanilla(batch_size=2, weight_dropout=0.5, optimizer="sgd", units=16)
    window = Window(np.ones((2, 6), np.int32), np.ones((2, 6), np.int32), np.ones(2, bool))
    cold = np.zeros(state_shape(setting, 2))

    def state_after(trainer: Trainer, number: int) -> np.ndarray:
        before = [variable.numpy() for variable in trainer.network.variables]
        state = trainer.train(window, cold, rate=RATE, step=number)[2].numpy()
        for variable, array in zip(trainer.network.variables, before, strict=True):
            variable.assign(array)
        return state

    alone, shared = learner_of(setting), learner_of(setting, replicas=2)
    for trainer in (alone, shared):
        np.testing.assert_array_equal(state_after(trainer, 3), state_after(trainer, 3))
        assert not np.array_equal(state_after(trainer, 3), state_after(trainer, 4))
    state = state_after(alone, 3)[0]
    np.testing.assert_array_equal(state[0], state[1])  # one set of weights for the rows of a replica
    state = state_after(shared, 3)[0]
    assert not np.array_equal(state[0], state[1])


def test_dropconnect_thins_recurrent_weights_while_training_only() -> None:
    """One step from each unit vector shows the recurrent kernel row by row."""
    units = 40
    setting = vanilla(units=units, batch_size=units, weight_dropout=0.25)
    trainer = learner_of(setting)
    weights = weights_of(trainer.network)
    ones = np.ones((units, 1), np.int32)
    from_symbol = weights.embedding[1] @ weights.layers[0].kernel + weights.layers[0].bias

    def kernel_behind(state) -> np.ndarray:
        return np.arctanh(np.asarray(state)[0]) - from_symbol

    kernel = weights.layers[0].recurrent_kernel
    np.testing.assert_allclose(kernel_behind(trainer.read(ones, np.eye(units)[None])[1]), kernel, rtol=0, atol=1e-9)
    window = Window(ones, ones, np.zeros(units, bool))
    used = kernel_behind(trainer.train(window, np.eye(units)[None], rate=RATE, step=0)[2])
    zero = np.abs(used) < 1e-9
    np.testing.assert_allclose(used, np.where(zero, 0, kernel / 0.75), rtol=0, atol=1e-9)
    assert abs(zero.mean() - 0.25) < 0.05  # 1600 draws: more than four standard deviations


@pytest.mark.parametrize(
    ("place", "touched"),
    [
        ("input_dropout", ["bottom state", "top state", "logits"]),
        ("dropout", ["top state", "logits"]),
        ("output_dropout", ["logits"]),
        ("weight_dropout", ["bottom state", "top state", "logits"]),
    ],
)
@pytest.mark.parametrize("embedding", [3, 0], ids=["embedding", "one-hot"])
def test_dropout_sits_where_its_name_says(place: str, touched: list[str], embedding: int) -> None:
    """In mixed precision, which needs no XLA."""
    setting = config(2, cell="rnn", precision="mixed_bfloat16", embedding=embedding, **{place: 0.5})
    network = made(setting, dtype="float32")
    previous, _, state = example(setting)
    results = []
    for seed in (None, tf.constant([1, 2], tf.int64)):
        logits, (bottom, top) = network(previous, tf.constant(state, tf.float32), seed)
        results.append({"bottom state": bottom.numpy(), "top state": top.numpy(), "logits": logits.numpy()})
    assert [name for name in results[0] if not np.array_equal(results[0][name], results[1][name])] == touched


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_mixed_precision_learns_and_is_near_but_not_equal(cell: str) -> None:
    setting = config(2, cell=cell, precision="mixed_bfloat16", optimizer="adam")
    trainer = learner_of(setting, dtype="float32")
    window, state = batch_of(setting)
    state = state.astype(np.float32)
    logits, after = (array.numpy() for array in trainer.read(window.previous, state))
    expected, expected_state, _ = oracle_of(trainer.network).forward(window.previous, state)
    assert logits.dtype == after.dtype == np.float32
    for found, exact in ((logits, expected), (after, expected_state)):
        assert 1e-5 < np.abs(found - exact).max() < 0.05
    losses = [trainer.train(window, state, rate=RATE, step=number)[0] for number in range(40)]
    assert losses[-1] < losses[0] / 2


def test_hello_takes_a_state_to_learn() -> None:
    """The post's example: of the two l's in "hello" one is followed by l and one by o; only what came before tells."""
    setting = config(1, units=8, batch_size=1, window=4)
    trainer = learner_of(setting, dtype="float32")
    window = Window(np.array([[1, 2, 3, 3]], np.int32), np.array([[2, 3, 3, 4]], np.int32), np.array([True]))
    cold = np.zeros(state_shape(setting, 1), np.float32)
    for number in range(150):
        trainer.train(window, cold, rate=0.05, step=number)
    logits, _ = trainer.read(window.previous, cold)
    assert logits.numpy().argmax(axis=-1).tolist() == window.targets.tolist()
    # Without its state the network cannot tell the second l from the first.
    alone = [trainer.read(window.previous[:, t : t + 1], cold)[0].numpy() for t in (2, 3)]
    np.testing.assert_array_equal(*alone)


def test_sizes_of_the_example_are_those_of_the_network() -> None:
    assert state_shape(config(2), 3) == (4, 3, UNITS)
    assert state_shape(config(2, cell="gru"), 3) == (2, 3, UNITS)
    assert len(weights_of(made(config())).output_bias) == SYMBOLS

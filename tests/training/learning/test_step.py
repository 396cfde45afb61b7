"""The TensorFlow training step, against a NumPy step: replicas, clipping, optimizers, dropout, precision."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.training.learning.trainers import (
    RATE,
    assert_weights,
    norm_of,
    oracle_step,
    trainer_of,
    vanilla,
    window_for,
)
from tests.training.network.networks import config, oracle_of, random_network
from training.config import CHOICES
from training.data.windows import Window
from training.learning.step import TensorFlowTrainer
from training.learning.trainer import MAX_DROPOUTS
from training.network import network
from training.network.network import state_shape
from training.network.weights import weights_of


@pytest.mark.parametrize(("replicas", "cell"), [(1, "rnn"), (2, "gru"), (3, "lstm")])
def test_a_step_is_the_same_for_any_number_of_replicas(replicas: int, cell: str) -> None:
    """Five streams, of which two start from the initial state."""
    setting = config(1, cell=cell, batch_size=5, optimizer="sgd", grad_clip=0.0)
    trainer = trainer_of(setting, replicas=replicas)
    oracle = oracle_of(trainer.network)
    window, state = window_for(setting)
    window = dataclasses.replace(window, reset=np.array([False, True, False, False, True]))
    expected_loss, gradients, expected_state = oracle_step(oracle, window, state)
    loss, norm, new_state = trainer.train(window, state, rate=RATE, step=0)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert norm == pytest.approx(norm_of(gradients), rel=1e-12)
    np.testing.assert_allclose(new_state, expected_state, rtol=0, atol=1e-13)
    # The first step of Nesterov's momentum is 1 + 0.9 times the rate.
    assert_weights(trainer.network, [w - 1.9 * RATE * g for w, g in zip(oracle.weights, gradients, strict=True)])


@pytest.mark.parametrize("replicas", [1, 2])
def test_targets_can_be_probabilities(replicas: int) -> None:
    setting = config(1, cell="lstm", optimizer="sgd", grad_clip=0.0)
    trainer = trainer_of(setting, replicas=replicas)
    oracle = oracle_of(trainer.network)
    window, state = window_for(setting)
    generator = np.random.Generator(np.random.PCG64(4))
    given = generator.dirichlet(np.ones(trainer.network.symbols), window.previous.shape)
    soft = dataclasses.replace(window, targets=given)
    expected_loss, gradients, _ = oracle_step(oracle, soft, state)
    loss, norm, _ = trainer.train(soft, state, rate=RATE, step=0)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert norm == pytest.approx(norm_of(gradients), rel=1e-12)
    assert_weights(trainer.network, [w - 1.9 * RATE * g for w, g in zip(oracle.weights, gradients, strict=True)])


def test_probabilities_of_1_have_the_loss_and_gradient_of_ids() -> None:
    setting = vanilla()
    window, state = window_for(setting)
    certain = dataclasses.replace(window, targets=np.eye(trainer_of(setting).network.symbols)[window.targets])
    found = [trainer_of(setting).train(targets, state, rate=RATE, step=0)[:2] for targets in (window, certain)]
    assert found[0] == pytest.approx(found[1], rel=1e-12)


@pytest.mark.parametrize(("clip_by", "limit"), [("norm", 0.02), ("norm", 100.0), ("value", 0.02)])
def test_gradient_is_clipped(clip_by: str, limit: float) -> None:
    setting = vanilla(optimizer="sgd", clip_by=clip_by, grad_clip=limit)
    trainer = trainer_of(setting)
    oracle = oracle_of(trainer.network)
    window, state = window_for(setting)
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
    trainer = trainer_of(setting)
    oracle = oracle_of(trainer.network)
    window, state = window_for(setting)
    formulas = [Textbook(optimizer) for _ in oracle.weights]
    for t in (1, 2):
        trainer.train(window, state, rate=RATE, step=t)
        _, gradients, _ = oracle_step(oracle, window, state)
        embedding = oracle.weights[0]
        for weights, gradient, formula in zip(oracle.weights, gradients, formulas, strict=True):
            if weights.ndim == 2 and weights is not embedding:  # biases and the embedding do not decay
                # Decoupled weight decay (Loshchilov and Hutter 2017).
                weights -= RATE * 0.25 * weights
            weights += formula.move(gradient, t)
        # Keras has Adam's 1 - 0.999 to five digits only, and a step is about RATE.
        assert_weights(trainer.network, oracle.weights, atol=2e-5 * RATE)


def test_dropout_follows_from_seed_step_and_replica() -> None:
    """Streams with the same ids differ only by their dropout."""
    setting = vanilla(batch_size=2, weight_dropout=0.5, optimizer="sgd", units=16)
    window = Window(np.ones((2, 6), np.int32), np.ones((2, 6), np.int32), np.ones(2, bool))
    cold = np.zeros(state_shape(setting, 2))

    def state_after(trainer: TensorFlowTrainer, number: int) -> np.ndarray:
        before = [variable.numpy() for variable in trainer.network.variables]
        state = trainer.train(window, cold, rate=RATE, step=number)[2].numpy()
        for variable, array in zip(trainer.network.variables, before, strict=True):
            variable.assign(array)
        return state

    alone, shared = trainer_of(setting), trainer_of(setting, replicas=2)
    for trainer in (alone, shared):
        np.testing.assert_array_equal(state_after(trainer, 3), state_after(trainer, 3))
        assert not np.array_equal(state_after(trainer, 3), state_after(trainer, 4))
    state = state_after(alone, 3)[0]
    np.testing.assert_array_equal(state[0], state[1])  # the rows of a replica share their dropped weights
    state = state_after(shared, 3)[0]
    assert not np.array_equal(state[0], state[1])


def test_dropconnect_drops_recurrent_weights_in_training_only() -> None:
    """A step from each unit vector computes one row of the recurrent kernel."""
    units = 40
    setting = vanilla(units=units, batch_size=units, weight_dropout=0.25)
    trainer = trainer_of(setting)
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


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_mixed_precision_learns_and_is_close_to_float32(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "SMALLEST_BFLOAT16", 0)
    setting = config(2, cell=cell, precision="mixed_bfloat16", optimizer="adam")
    trainer = trainer_of(setting, dtype="float32")
    window, state = window_for(setting)
    state = state.astype(np.float32)
    logits, after = (array.numpy() for array in trainer.read(window.previous, state))
    expected, expected_state, _ = oracle_of(trainer.network).forward(window.previous, state)
    assert logits.dtype == after.dtype == np.float32
    for found, exact in ((logits, expected), (after, expected_state)):
        assert 1e-5 < np.abs(found - exact).max() < 0.05
    losses = [trainer.train(window, state, rate=RATE, step=number)[0] for number in range(40)]
    assert losses[-1] < losses[0] / 2


def test_hello_is_learned_and_needs_the_state() -> None:
    """The post's example: of the two l's in "hello" one is followed by l, one by o; only the state tells."""
    setting = config(1, units=8, batch_size=1, window=4)
    trainer = trainer_of(setting, dtype="float32")
    window = Window(np.array([[1, 2, 3, 3]], np.int32), np.array([[2, 3, 3, 4]], np.int32), np.array([True]))
    cold = np.zeros(state_shape(setting, 1), np.float32)
    for number in range(150):
        trainer.train(window, cold, rate=0.05, step=number)
    logits, _ = trainer.read(window.previous, cold)
    assert logits.numpy().argmax(axis=-1).tolist() == window.targets.tolist()
    # Without a state the network cannot tell the second l from the first.
    alone = [trainer.read(window.previous[:, t : t + 1], cold)[0].numpy() for t in (2, 3)]
    np.testing.assert_array_equal(*alone)


def test_stock_layers_train_with_weight_dropout() -> None:
    setting = config(2, weight_dropout=0.5, dropout=0.3)
    trainer = TensorFlowTrainer(random_network(setting, stock=True, dtype="float32"), setting, replicas=1)
    before = weights_of(trainer.network)
    window, state = window_for(setting)
    losses = [trainer.train(window, state.astype(np.float32), rate=0.01, step=step)[0] for step in range(30)]
    assert losses[-1] < losses[0]
    after = weights_of(trainer.network)
    assert not np.array_equal(before.layers[1].recurrent_kernel, after.layers[1].recurrent_kernel)


class WithoutShares(TensorFlowTrainer):
    """The step of a process that computes all replicas, written out."""

    def _training_step(self, batch: Any, state: Any, seed: Any, rates: Any) -> Any:
        previous, targets, reset = batch
        state = tf.where(reset[None, :, None], tf.zeros_like(state), state)
        total = tf.cast(tf.size(targets), state.dtype)
        shares = zip(
            tf.split(previous, self.rows), tf.split(targets, self.rows), tf.split(state, self.rows, axis=1), strict=True
        )
        done = [
            self._replica(*share, seed + tf.constant([0, i * MAX_DROPOUTS], tf.int64), total)
            for i, share in enumerate(shares)
        ]
        losses, gradients, states = zip(*done, strict=True)
        norm = self._update_weights([tf.add_n(parts) for parts in zip(*gradients, strict=True)], rates)
        return tf.stack([tf.add_n(losses), norm]), tf.concat(states, axis=1)


def test_a_share_of_all_replicas_changes_no_bit() -> None:
    setting = config(1, cell="lstm", batch_size=5, dropout=0.2, weight_dropout=0.2, grad_clip=0.1, ema=0.9)
    ends = []
    for trainer_class in (TensorFlowTrainer, WithoutShares):
        trainer = trainer_class(random_network(setting, dtype="float32"), setting, replicas=2)
        window, state = window_for(setting)
        state = state.astype(np.float32)
        for step in range(5):
            loss, norm, state = trainer.train(window, state, rate=RATE, step=step)
        variables = [variable.numpy() for group in trainer.variables.values() for variable in group]
        ends.append([loss, norm, np.asarray(state), *variables])
    for found, expected in zip(*ends, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_shares_of_the_replicas_split_the_streams() -> None:
    setting = vanilla(batch_size=7)
    network_ = random_network(setting)
    shares = [range(0, 1), range(1, 3), range(3, 4)]
    trainers = [TensorFlowTrainer(network_, setting, replicas=4, share=share) for share in shares]
    assert [trainer.rows for trainer in trainers] == [[2], [2, 2], [1]]
    assert [trainer.streams for trainer in trainers] == [slice(0, 2), slice(2, 6), slice(6, 7)]

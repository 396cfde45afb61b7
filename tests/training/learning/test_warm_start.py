"""Warm start from a network with the same vocabulary or a part of it."""

import dataclasses

import numpy as np
import pytest

from tests.oracle import Network as Oracle
from tests.oracle import log_softmax
from tests.training.network.networks import SYMBOLS, batch_for, config, every_cell, every_input, random_network
from training.errors import InputError
from training.learning.warm_start import warm_started
from training.network.network import Network
from training.network.weights import weights_of

NEW = 4


@every_cell
@every_input
def test_known_symbols_keep_their_logits(cell: str, embedding: int) -> None:
    setting = config(2, cell=cell, embedding=embedding)
    known = weights_of(random_network(setting, dtype="float32"))
    known = dataclasses.replace(known, output_bias=known.output_bias + np.linspace(-5, 3, SYMBOLS, dtype=np.float32))
    started = warm_started(weights_of(Network(setting, SYMBOLS + NEW)), known)
    previous, _, state = batch_for(setting)
    before, expected_state, _ = Oracle.of(known).forward(previous, state)
    after, new_state, _ = Oracle.of(started).forward(previous, state)
    assert after.shape[-1] == SYMBOLS + NEW
    np.testing.assert_array_equal(after[..., :SYMBOLS], before)
    np.testing.assert_array_equal(new_state, expected_state)
    share = np.exp(log_softmax(after))[..., SYMBOLS:].sum(axis=-1)
    assert share.max() < 0.05
    np.testing.assert_allclose(
        log_softmax(after)[..., :SYMBOLS], log_softmax(before) + np.log1p(-share)[..., None], rtol=0, atol=1e-12
    )


@every_cell
@every_input
def test_new_symbols_have_the_weights_of_an_untrained_network(cell: str, embedding: int) -> None:
    setting = config(1, cell=cell, embedding=embedding)
    untrained = weights_of(Network(setting, SYMBOLS + NEW))
    started = warm_started(untrained, weights_of(random_network(setting, dtype="float32")))
    found, expected = (weights.embedding if embedding else weights.layers[0].kernel for weights in (started, untrained))
    np.testing.assert_array_equal(found[SYMBOLS:], expected[SYMBOLS:])
    np.testing.assert_array_equal(started.output_kernel[:, SYMBOLS:], untrained.output_kernel[:, SYMBOLS:])
    assert not np.array_equal(found[SYMBOLS], found[SYMBOLS + 1])


@every_cell
@every_input
def test_the_same_vocabulary_gives_the_same_weights(cell: str, embedding: int) -> None:
    setting = config(2, cell=cell, embedding=embedding)
    known = weights_of(random_network(setting, dtype="float32"))
    started = warm_started(weights_of(Network(setting, SYMBOLS)), known)
    assert all(np.array_equal(a, b) for a, b in zip(started.arrays, known.arrays, strict=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cell": "gru"}, ["2 lstm layers of 5 units", "2 gru layers"]),
        ({"layers": 1}, ["2 lstm layers", "1 lstm layer"]),
        ({"units": 6}, ["of 5 units", "of 6 units"]),
        ({"embedding": 4}, ["an embedding of 3", "an embedding of 4"]),
        ({"embedding": 0}, ["an embedding of 3", "one-hot symbols"]),
    ],
    ids=str,
)
def test_another_shape_is_refused_in_one_sentence(changes: dict, words: list[str]) -> None:
    known, untrained = (weights_of(Network(config(**({"layers": 2} | other)), SYMBOLS)) for other in ({}, changes))
    with pytest.raises(InputError) as refusal:
        warm_started(untrained, known)
    sentence = str(refusal.value)
    assert sentence.count(".") == 1
    assert "\n" not in sentence
    assert all(word in sentence for word in words)

"""Trained weights -> the artifact's SavedModel: `inspect`, `advance` and its variants as pure TensorFlow functions.

Built from the weights, not from the Keras graph, so it contains no Keras, no cuDNN and no state. models/README.md
specifies every input and output.
"""

from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from training.data.vocabulary import RESERVED
from training.network.weights import NetworkWeights
from training.release.exported import ExportedNetwork, Gates, Layers
from training.release.sampling import Rule

GUESSES = 5
VECTOR = 16  # float32 numbers in the widest vector of a processor
BFLOAT16_UNITS = 256  # from which products in bfloat16 are faster (docs/experiments.md)
MODERATE = 1e6  # if weights, states and biases are below it, no logit can be NaN or infinite
STEPS_AT_ONCE = 2  # of a loop over many: each turn has a cost of its own (docs/experiments.md)


class Call(NamedTuple):
    """The inputs that the K steps of one `advance` share."""

    given: tf.Tensor  # [K, N]
    follows: tf.Tensor  # bool [K, N]: the symbol is the given one
    takes: tf.Tensor  # bool [K, N]: the row takes this step
    gates: Gates
    kernel: tf.Tensor  # [H, V'], of the logits; V' is V rounded up to whole vectors
    bias: tf.Tensor  # [N, V'], the network's own and the caller's
    rule: Rule


class Artifact(ExportedNetwork):
    """The exported functions over one set of weights."""

    def __init__(self, weights: NetworkWeights) -> None:
        super().__init__(weights)
        self._never_sampled = np.zeros(self._symbols, np.float32)
        self._never_sampled[RESERVED] = -np.inf
        self._has_moderate_weights = all(np.abs(array).max() < MODERATE for array in weights.arrays)

    def functions(self) -> dict[str, Any]:
        """Each function by the name of its signature."""
        state = tf.TensorSpec((self._states * len(self.gates), None, self._units), tf.float32, "state")
        inputs = [
            _rows("previous"),
            _steps("given"),
            _rows("given_length"),
            _rows("length"),
            _steps("uniforms", tf.float32),
            _rows("temperature", tf.float32),
            _rows("top_k"),
            _rows("top_p", tf.float32),
            tf.TensorSpec((None, self._symbols), tf.float32, "bias"),
            state,
        ]

        functions = {"inspect": tf.function(self._inspect, input_signature=[_steps("symbols"), state], autograph=False)}
        formats = {"": tf.float32} | ({"_bfloat16": tf.bfloat16} if self._units >= BFLOAT16_UNITS else {})
        for suffix, products in formats.items():
            # Both call one function, so that the graph has its loops once.
            take_steps = tf.function(
                partial(self._take_steps, products=products), input_signature=inputs, autograph=False
            )
            for name, guesses in (("advance", False), ("advance_top", True)):
                function = partial(self._advance, take_steps, guesses=guesses)
                functions[name + suffix] = tf.function(function, input_signature=inputs, autograph=False)
        return functions

    def _advance(
        self,
        take_steps: Any,
        previous: tf.Tensor,
        given: tf.Tensor,
        given_length: tf.Tensor,
        length: tf.Tensor,
        *others: tf.Tensor,
        guesses: bool,
    ) -> dict[str, tf.Tensor]:
        """The outputs of `advance`, or of `advance_top`, after `take_steps`."""
        previous, state, symbols, logits = take_steps(previous, given, given_length, length, *others)
        steps = tf.shape(given)[1]
        takes = _before(length, steps)
        padding = [[0, -self._symbols % VECTOR]]
        below_best, log_total = _log_softmax_parts(logits + tf.pad(self.output[1], padding, constant_values=-np.inf))
        logprobs = tf.gather(below_best, symbols, batch_dims=2) - log_total
        outputs = {
            "symbols": _time_major(tf.where(takes, symbols, RESERVED)),
            "logprobs": tf.transpose(tf.where(takes, logprobs, 0.0)),
            "previous": previous,
            "state": state,
        }
        if guesses:
            top = self._top(tf.transpose(below_best - log_total[:, :, None], [1, 0, 2]))
            is_taken = tf.range(steps) < length[:, None]  # `takes` transposed, about which TensorFlow would warn
            outputs |= {
                name: tf.where(is_taken[:, :, None], values, tf.zeros_like(values)) for name, values in top.items()
            }
        return outputs

    def _take_steps(
        self,
        previous: tf.Tensor,
        given: tf.Tensor,
        given_length: tf.Tensor,
        length: tf.Tensor,
        uniforms: tf.Tensor,
        temperature: tf.Tensor,
        top_k: tf.Tensor,
        top_p: tf.Tensor,
        bias: tf.Tensor,
        state: tf.Tensor,
        *,
        products: tf.DType,
    ) -> tuple[tf.Tensor, ...]:
        """Take the K steps of a call.

        Returns:
            The last symbols [N] and states [S, N, H], all symbols [K, N], and the logits [K, N, V'] without any bias.
        """
        # An element-wise op rounds the elements after its last whole vector differently, and these belong to the end of
        # some row. With V' symbols a row's choice does not depend on its position; the padding is never chosen.
        padding = [[0, 0], [0, -self._symbols % VECTOR]]
        call = Call(
            given=_time_major(given),
            follows=_before(given_length, tf.shape(given)[1]),
            takes=_before(length, tf.shape(given)[1]),
            gates=self.gates_in(products),
            kernel=tf.pad(self.output[0], padding),
            bias=tf.pad(bias + self._never_sampled + self.output[1], padding, constant_values=-np.inf),
            rule=Rule.of(uniforms, temperature, top_k, top_p),
        )
        start = (previous, tuple(tf.unstack(state)))
        previous, layers, symbols, logits = tf.cond(
            self._only_samples(call, state),
            lambda: self._run(call, *start, "sample"),
            lambda: tf.cond(
                tf.reduce_all(call.takes & call.follows),
                lambda: self._run(call, *start, "follow"),
                lambda: self._run(call, *start, "any"),
            ),
        )
        return previous, tf.stack(layers), symbols, logits

    def _only_samples(self, call: Call, state: tf.Tensor) -> tf.Tensor:
        """Whether a call is one of the most frequent kind, for which fewer operations compute a step.

        In such a call, every row samples every step, without a filter. No weight, state or bias is so large that a
        logit could be NaN or infinite, and each row has a symbol that its bias does not forbid.
        """
        samples = tf.reduce_all(call.takes & ~call.follows)
        is_moderate = tf.reduce_all(tf.abs(state) < MODERATE) & tf.reduce_all(call.bias < MODERATE)
        has_symbol = tf.reduce_all(tf.reduce_max(call.bias, axis=1) > -MODERATE)
        return self._has_moderate_weights & samples & ~call.rule.has_filters & is_moderate & has_symbol

    def _run(self, call: Call, previous: tf.Tensor, layers: Layers, kind: Literal["sample", "follow", "any"]) -> Any:
        """Take K steps. `sample`: `_only_samples` is true of the call; `follow`: every row follows every step.

        Returns:
            The last symbols [N], the last states, all symbols [K, N], and the logits [K, N, V'] without any bias.
        """
        steps = tf.shape(call.given)[0]

        def step(t: tf.Tensor, previous: tf.Tensor, layers: Layers, symbols: Any, logits: Any) -> Any:
            h, new = self.step(previous, layers, call.gates)
            unbiased = h @ call.kernel  # `call.bias` has the network's own bias too
            if kind == "follow":
                symbol = tf.gather(call.given, t)
            else:
                symbol = call.rule.choose(t, unbiased + call.bias, plain=kind == "sample")
            if kind == "any":
                takes = tf.gather(call.takes, t)
                symbol = tf.where(tf.gather(call.follows, t), tf.gather(call.given, t), symbol)
                symbol = tf.where(takes, symbol, previous)
                new = tuple(tf.where(takes[:, None], *pair) for pair in zip(new, layers, strict=True))
            return t + 1, symbol, new, symbols.write(t, symbol), logits.write(t, unbiased)

        def several(*variables: Any) -> Any:
            for _ in range(STEPS_AT_ONCE):
                variables = step(*variables)
            return variables

        variables = (tf.constant(0), previous, layers, _outputs(tf.int32, steps), _outputs(tf.float32, steps))
        if kind != "any":
            variables = tf.while_loop(lambda t, *_: t <= steps - STEPS_AT_ONCE, several, variables)
        _, previous, layers, symbols, logits = tf.while_loop(lambda t, *_: t < steps, step, variables)
        return previous, layers, symbols.stack(), logits.stack()

    def _inspect(self, symbols: tf.Tensor, state: tf.Tensor) -> dict[str, tf.Tensor]:
        rows, steps = tf.shape(symbols)[0], tf.shape(symbols)[1]
        layers = self._after_reserved(rows, state)

        def step(t: tf.Tensor, layers: Layers, tops: Any, cells: Any) -> Any:
            tops = tops.write(t, self.top_h(layers))  # before symbol t: the guess is made from it
            _, layers = self.step(symbols[:, t], layers)
            return t + 1, layers, tops, cells.write(t, self.activations(layers))

        _, layers, tops, cells = tf.while_loop(
            lambda t, *_: t < steps,
            step,
            (0, layers, _outputs(tf.float32, steps), _outputs(tf.float32, steps)),
        )
        before = tf.transpose(tf.reshape(tops.stack(), [steps, rows, self._units]), [1, 0, 2])
        logprobs = tf.nn.log_softmax(self.logits(before))  # [N, T, V]
        return {
            "logprobs": tf.gather(logprobs, symbols, batch_dims=2),
            **self._top(logprobs),
            "activations": tf.transpose(cells.stack(), [1, 0, 2, 3]),  # [N, T, L, H]
            "state": tf.stack(layers),
        }

    def _top(self, logprobs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The five most likely symbols [..., 5] and their logprobs, from logprobs [..., V]; ties in id order."""
        top_logprobs, top_symbols = tf.math.top_k(logprobs, k=min(GUESSES, self._symbols))
        return {"top_symbols": top_symbols, "top_logprobs": top_logprobs}

    def _after_reserved(self, rows: tf.Tensor, state: tf.Tensor) -> Layers:
        """The state [S, N, H] as layers; a row whose state is zero first reads the reserved symbol."""
        cold = tf.reduce_all(state == 0, axis=[0, 2])[:, None]
        _, begun = self.step(tf.fill([rows], RESERVED), tuple(tf.unstack(tf.zeros_like(state))))
        return tuple(tf.where(cold, new, old) for new, old in zip(begun, tf.unstack(state), strict=True))


def write_saved_model(weights: NetworkWeights, folder: Path) -> None:
    """Write the SavedModel of these weights into `folder`."""
    artifact = Artifact(weights)
    functions = artifact.functions()
    tf.saved_model.save(artifact, str(folder), signatures={"serving_default": functions["advance"], **functions})


def _rows(name: str, dtype: tf.DType = tf.int32) -> tf.TensorSpec:
    return tf.TensorSpec((None,), dtype, name)


def _steps(name: str, dtype: tf.DType = tf.int32) -> tf.TensorSpec:
    return tf.TensorSpec((None, None), dtype, name)


def _outputs(dtype: tf.DType, steps: tf.Tensor) -> tf.TensorArray:
    """An array with one item for each step."""
    return tf.TensorArray(dtype, size=steps)


def _log_softmax_parts(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Two numbers whose difference is a logprob, from logits [K, N, V']: [K, N, V'] of each symbol, and [K, N]."""
    below_best = logits - tf.reduce_max(logits, axis=2, keepdims=True)
    total = tf.reduce_sum(tf.exp(below_best), axis=2, keepdims=True)
    return below_best, tf.math.log(tf.repeat(total, VECTOR, axis=2))[:, :, 0]  # over whole vectors too


def _time_major(symbols: tf.Tensor) -> tf.Tensor:
    """[N, K] as [K, N] or back. Transposed as floats: TensorFlow warns about every transposition of integers."""
    return tf.bitcast(tf.transpose(tf.bitcast(symbols, tf.float32)), tf.int32)


def _before(lengths: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Bool [K, N]: whether a step comes before a row's length [N]."""
    return tf.range(steps)[:, None] < lengths

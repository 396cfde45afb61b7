"""The Keras layer for a cell, on cuDNN where a trial shows that cuDNN computes the same as Keras' loop over time.

On JAX, Keras has cuDNN for LSTMs only, and only in float32, with products in TF32.
"""

from functools import cache, partial
from typing import Any

import keras
import numpy as np

from training.network.stock import StockLayer

# All different, so that no axis can be taken for another.
SYMBOLS, WIDTH, UNITS, ROWS, STEPS = 11, 12, 24, 6, 17
SHAPES = {
    "embedding": (SYMBOLS, WIDTH),
    "kernel 0": (WIDTH, 4 * UNITS),
    "recurrent kernel 0": (UNITS, 4 * UNITS),
    "bias 0": (4 * UNITS,),
    "kernel 1": (UNITS, 4 * UNITS),
    "recurrent kernel 1": (UNITS, 4 * UNITS),
    "bias 1": (4 * UNITS,),
    "output kernel": (UNITS, SYMBOLS),
}
TOLERANCE = 0.02  # of an array's norm; TF32 has 10 bits after the binary point


def stock_layer(cell: str, units: int, width: int, *, dtype: str) -> tuple[StockLayer, str]:
    """The layer for inputs of this width, and a name for people of the code that computes it."""
    if keras.backend.backend() != "jax":
        return StockLayer(cell, units, width, dtype=dtype), f"Keras' {cell} layer on TensorFlow, {dtype}"
    problem = cudnn_problem() if cell == "lstm" else "JAX has it only for LSTMs"
    if not problem:
        layer = StockLayer(cell, units, width, dtype="float32", use_cudnn=True)
        return layer, "cuDNN, float32 (TF32 products)"
    layer = StockLayer(cell, units, width, dtype=dtype, use_cudnn=False if cell == "lstm" else None)
    return layer, f"Keras' loop over time, {dtype} (cuDNN: {problem})"


@cache
def cudnn_problem() -> str:
    """The reason why LSTMs cannot use cuDNN on JAX here; empty where they can."""
    import jax

    if jax.default_backend() != "gpu":
        return "no GPU"
    try:
        found, expected = (trial_step(use_cudnn=use_cudnn) for use_cudnn in (True, False))
    except (ValueError, TypeError, RuntimeError) as error:  # of Keras, of the lowering, and of XLA or cuDNN
        return str(error).splitlines()[0]
    for name, array in expected.items():
        difference = np.linalg.norm(found[name] - array) / np.linalg.norm(array)
        if not difference <= TOLERANCE:  # NaN is a difference too
            return f"its {name} differs from the loop's by {difference:.0%}"
    return ""


def trial_step(*, use_cudnn: bool) -> dict[str, Any]:
    """Loss, state and gradients of one compiled step of a small network, as `Network` and `JaxTrainer` compute them.

    Without dropout between the layers, because its copies can hide a wrong layout; the recurrent kernel of one layer is
    computed, as with DropConnect, and that of the other is a parameter.
    """
    import jax
    import jax.numpy as jnp

    generator = np.random.default_rng(1)
    weights = {name: generator.normal(0, 0.4, shape).astype("float32") for name, shape in SHAPES.items()}
    state = jnp.asarray(generator.normal(size=(4, ROWS, UNITS)), "float32")
    ids, targets = generator.integers(0, SYMBOLS, (2, ROWS, STEPS))
    mask = generator.random((UNITS, 4 * UNITS)) < 0.6
    bottom, top = (StockLayer("lstm", UNITS, n, dtype="float32", use_cudnn=use_cudnn) for n in (WIDTH, UNITS))

    def loss_of(w: dict[str, Any], state: Any) -> Any:
        x = jnp.take(w["embedding"], ids.T, axis=0)
        dropped = jnp.where(mask, w["recurrent kernel 0"] / 0.6, 0)
        x, *after = bottom.run(x, [state[0], state[1]], w["kernel 0"], dropped, w["bias 0"], None)
        recurrent_kernel = w["recurrent kernel 1"]
        x, *last = top.run(x, [state[2], state[3]], w["kernel 1"], recurrent_kernel, w["bias 1"], None)
        logits = jnp.transpose(jnp.tensordot(x, w["output kernel"], 1), (1, 0, 2))
        losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, :, None], axis=-1)
        return losses.mean(), jnp.stack([*after, *last])

    @partial(jax.jit, donate_argnums=1)
    def step(w: dict[str, Any], state: Any) -> Any:
        (loss, state), gradients = jax.value_and_grad(loss_of, has_aux=True)(w, state)
        return {"loss": loss, "state": state} | {f"gradient of {name}": array for name, array in gradients.items()}

    return {name: np.asarray(array) for name, array in step(weights, state).items()}

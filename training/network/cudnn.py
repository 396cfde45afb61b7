"""Whether Keras' LSTM can use cuDNN on JAX here. Tried on a small example.

Keras falls back to its own loop over time without a message, and some errors show only when the step is compiled.
"""

from functools import cache
from typing import Any

import keras
import numpy as np

UNITS, ROWS, STEPS, WIDTH = 8, 2, 3, 4
TOLERANCE = 0.02  # TF32 has 10 bits after the binary point


@cache
def cudnn_problem() -> str:
    """The reason why Keras' LSTM cannot use cuDNN on JAX; empty where it can."""
    import jax

    if jax.default_backend() != "gpu":
        return "no GPU"
    try:
        found, expected = (_example(use_cudnn=use_cudnn) for use_cudnn in (True, False))
    except (ValueError, TypeError, RuntimeError) as error:  # of Keras, of the lowering, and of XLA or cuDNN
        return str(error).splitlines()[0]
    if not all(np.allclose(*pair, rtol=TOLERANCE, atol=TOLERANCE) for pair in zip(found, expected, strict=True)):
        return "cuDNN computes other numbers"
    return ""


def _example(*, use_cudnn: bool) -> list[Any]:
    """The loss of a small LSTM on a small example, and its gradient."""
    import jax

    generator = np.random.default_rng(1)
    layer = keras.layers.LSTM(UNITS, return_sequences=True, use_cudnn=use_cudnn, dtype="float32")
    layer.build((ROWS, STEPS, WIDTH))
    values = [generator.normal(size=variable.shape).astype("float32") for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]
    x = generator.normal(size=(ROWS, STEPS, WIDTH)).astype("float32")

    def loss(values: list[Any], x: Any) -> Any:
        outputs, _ = layer.stateless_call(values, others, x)
        return (outputs**2).mean()

    value, (of_values, of_x) = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(values, x)
    return [np.asarray(array) for array in (value, *of_values, of_x)]

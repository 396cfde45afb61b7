"""The parameters by which one generation samples its symbols. Knows nothing of text, rows or HTTP."""

from dataclasses import dataclass

import numpy as np

SMALLEST_NORMAL = np.finfo(np.float32).tiny  # TensorFlow takes a smaller float32 for 0


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """Built once from the request's body and carried unchanged to the batch; models/README.md has the sampling rule."""

    seed: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    bias: tuple[tuple[int, float], ...] = ()  # ids, each with the number that is added to its logit

    def __str__(self) -> str:
        rule = f"temperature {self.float32_temperature:g}, top_k {self.top_k}, top_p {self.float32_top_p:g}"
        return f"{rule}, seed {self.seed}"

    @property
    def float32_temperature(self) -> np.float32:
        """The temperature for a call of the model; 0, which is greedy, where float32 has no normal number for it.

        A published graph divides by the temperature.
        """
        return np.float32(self.temperature if self.temperature >= SMALLEST_NORMAL else 0)

    @property
    def float32_top_p(self) -> np.float32:
        """`top_p` for a call of the model, at least the smallest normal float32: at 0 a graph would keep no symbol."""
        return np.float32(self.top_p if self.top_p >= SMALLEST_NORMAL else SMALLEST_NORMAL)

    def generator(self) -> np.random.Generator:
        """A new generator of the uniforms, of which each sampled symbol takes one.

        They need no bound: in float32, the largest of them times a total is less than the total.
        """
        return np.random.Generator(np.random.PCG64(self.seed))

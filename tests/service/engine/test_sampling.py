import dataclasses

import numpy as np
import pytest

from service.engine.sampling import SMALLEST_NORMAL, SamplingParams


@pytest.mark.parametrize(
    ("top_p", "float32"),
    [(1e-45, SMALLEST_NORMAL), (1e-40, SMALLEST_NORMAL), (1e-320, SMALLEST_NORMAL), (0.9, np.float32(0.9)), (1, 1)],
)
def test_top_p_is_never_zero_in_float32(top_p: float, float32: float) -> None:
    assert SamplingParams(seed=0, top_p=top_p).float32_top_p == float32


@pytest.mark.parametrize(
    ("temperature", "float32"), [(1e-45, 0), (1e-320, 0), (-0.0, 0), (1e-37, np.float32(1e-37)), (0.7, np.float32(0.7))]
)
def test_a_temperature_that_is_not_normal_in_float32_is_greedy(temperature: float, float32: float) -> None:
    found = SamplingParams(seed=0, temperature=temperature).float32_temperature
    assert (found.dtype, found) == (np.float32, float32)


def test_uniforms_are_those_of_the_contract_and_each_generator_starts_anew() -> None:
    params = SamplingParams(seed=7)
    expected = np.random.Generator(np.random.PCG64(7)).random(5, dtype=np.float32)
    for _ in range(2):
        np.testing.assert_array_equal(params.generator().random(5, dtype=np.float32), expected)


def test_the_largest_uniform_times_any_total_is_less_than_the_total() -> None:
    """So no uniform needs a bound. One power of two is enough: float32 rounds alike in every other."""
    totals = np.arange(2**23, 2**24 + 1).astype(np.float32)
    assert (np.float32(1 - 2**-24) * totals < totals).all()


def test_they_do_not_change_and_show_the_values_of_the_call() -> None:
    params = SamplingParams(seed=3, temperature=1e-40, top_k=5, top_p=0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        params.seed = 4  # type: ignore[misc]
    assert str(params) == "temperature 0, top_k 5, top_p 0.5, seed 3"

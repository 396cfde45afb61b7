"""Whether cuDNN can be used is found out by trying it."""

import importlib.util

import numpy as np
import pytest

from training.network import cudnn
from training.network.cudnn import cudnn_problem

pytestmark = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax")
GOOD = [np.ones(3), np.ones((2, 2))]


@pytest.fixture(autouse=True)
def untried() -> None:
    cudnn_problem.cache_clear()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")


def test_without_a_gpu_it_is_not_tried() -> None:
    assert cudnn_problem() == "no GPU"


@pytest.mark.usefixtures("gpu")
def test_the_same_numbers_as_keras_own_loop_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cudnn, "_example", lambda use_cudnn: [array + 0.001 * use_cudnn for array in GOOD])
    assert cudnn_problem() == ""


@pytest.mark.usefixtures("gpu")
def test_other_numbers_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cudnn, "_example", lambda use_cudnn: [GOOD[0], GOOD[1] + use_cudnn])
    assert cudnn_problem() == "cuDNN computes other numbers"


@pytest.mark.usefixtures("gpu")
def test_the_first_line_of_an_error_is_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(use_cudnn: bool) -> None:
        raise RuntimeError("no such library\nmore")

    monkeypatch.setattr(cudnn, "_example", failing)
    assert cudnn_problem() == "no such library"

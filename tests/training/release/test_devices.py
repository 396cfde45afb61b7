"""TensorFlow leaves the GPU to JAX where JAX trains on it."""

import pytest
import tensorflow as tf

from training.release.devices import leave_gpu_to_jax


@pytest.mark.parametrize(("backend", "hidden"), [("jax", [([], "GPU")]), ("tensorflow", []), (None, [])])
def test_the_gpu_is_hidden_only_if_jax_trains(
    monkeypatch: pytest.MonkeyPatch, backend: str | None, hidden: list[tuple[list[str], str]]
) -> None:
    calls: list[tuple[list[str], str]] = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *call: calls.append(call))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if backend:
        monkeypatch.setenv("KERAS_BACKEND", backend)
    leave_gpu_to_jax()
    assert calls == hidden

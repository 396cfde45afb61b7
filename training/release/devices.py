"""The devices that TensorFlow may use while it exports."""

import os

import tensorflow as tf


def leave_gpu_to_jax() -> None:
    """Hide the GPU from TensorFlow where JAX trains on it. Call before TensorFlow computes anything."""
    if os.environ.get("KERAS_BACKEND") == "jax":
        tf.config.set_visible_devices([], "GPU")

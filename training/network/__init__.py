"""The Keras model: recurrent layers over a window, each with a gradient of its own. Time-major: [T, N, ...]."""

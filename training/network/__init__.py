"""The Keras model: recurrent layers over a window, with hand-written gradients. Layers are time-major: [T, N, ...]."""

"""Recurrent layers over a window, each with a gradient of its own. Everything is time-major: [T, N, ...]."""

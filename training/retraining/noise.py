"""Tells noise from text: deflate compresses noise no better than the frequencies of its bytes allow."""

import zlib

import numpy as np

MIN_BYTES = 4_000  # of a shorter file, the measurement is not reliable
SAMPLE_BYTES = 65_536
MIN_BITS = 1  # per byte; with less entropy a file is not noise, and its compressed form is mostly header
# Texts in many languages, names, code and music stay below 0.92 from 4,000 bytes on; random bytes, base64 and random
# ideographs are above 1.0.
NOISE_RATIO = 0.98


def is_noise(data: bytes) -> bool:
    """Whether the order of these bytes carries no information, so that there is nothing to learn from them."""
    sample = data[:SAMPLE_BYTES]
    if len(sample) < MIN_BYTES:
        return False
    counts = np.bincount(np.frombuffer(sample, np.uint8))
    shares = counts[counts > 0] / len(sample)
    bits = float(-(shares * np.log2(shares)).sum())
    return bits > MIN_BITS and len(zlib.compress(sample, 9)) > NOISE_RATIO * bits * len(sample) / 8

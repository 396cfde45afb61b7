"""Whether a text has anything to learn: noise is as long compressed as its characters drawn one by one."""

import zlib

import numpy as np

MIN_BYTES = 4_000  # a shorter one says too little of itself
SAMPLE_BYTES = 65_536
MIN_BITS = 1  # a byte; what is less surprising is no noise, and compressed it is mostly header
# Texts in many languages, names, code and music stay below 0.92 from 4,000 bytes on; random bytes, base64 and random
# ideographs above 1.0.
NOISE = 0.98


def is_noise(data: bytes) -> bool:
    """Whether the order of these bytes tells nothing: deflate does no better than their frequencies alone would."""
    sample = data[:SAMPLE_BYTES]
    if len(sample) < MIN_BYTES:
        return False
    counts = np.bincount(np.frombuffer(sample, np.uint8))
    shares = counts[counts > 0] / len(sample)
    bits = float(-(shares * np.log2(shares)).sum())
    return bits > MIN_BITS and len(zlib.compress(sample, 9)) > NOISE * bits * len(sample) / 8

"""Benchmarks against peers, side by side in one run, because only ratios can be compared between machines."""

import os

# Only the warnings of TensorFlow, in every process that a benchmark starts.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

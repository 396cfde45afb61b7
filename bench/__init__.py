"""Benchmarks against peers: ours and theirs side by side in one run, because only ratios mean something."""

import os

# TensorFlow greets on stderr at every import, in every process that a benchmark starts; only its warnings matter.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

"""Benchmarks against peers: ours and theirs side by side in one run, because only ratios mean something."""

"""Continuous batching: arrays and ids. No HTTP, no files, no store."""

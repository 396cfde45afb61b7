"""Offline jobs: text in, a published model out. Knows the artifact; knows nothing of the service."""

__version__ = "0.1.0"

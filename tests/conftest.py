"""Fixtures for every folder of tests: real texts made here, a tiny real export, a server that really runs."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

"""Fixtures of a store whose models are names."""

from pathlib import Path

import pytest

from service.store.store import Store
from tests.service.store.fakes import Loader


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def store(tmp_path: Path, loader: Loader) -> Store:
    """A store of the test's folder that releases nothing while a test runs."""
    return Store(tmp_path, None, loader, idle_seconds=1000)

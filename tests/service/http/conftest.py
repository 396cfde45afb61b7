"""Fixtures of an application with /generate, /score, /inspect and /neurons on the fixture `model`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.engine.prefix_cache import PrefixCache
from service.engine.scheduler import Scheduler
from tests.service.fakes import FakeModel
from tests.service.http.apps import app_of


@pytest.fixture(autouse=True)
def no_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams have no pings, which a busy machine would put between the events that the tests parse."""
    monkeypatch.setattr("service.http.delivery.SECONDS_BETWEEN_PINGS", 60)


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """One engine with one slot, and no queue."""
    started = Scheduler(engines=1, slots=1, queue=0, chunk=4, cache=PrefixCache(0))
    yield started
    started.close()


@pytest.fixture
def app(model: FakeModel, scheduler: Scheduler, tmp_path: Path) -> Flask:
    return app_of(model, scheduler, tmp_path)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()

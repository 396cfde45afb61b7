"""Clients that let the server wait: what they hold is bounded, and the next client is told so."""

from pathlib import Path

import pytest
from flask import Flask
from prometheus_client import REGISTRY

from service.config import Config
from service.engine.prefix_cache import PrefixCache
from service.engine.scheduler import Scheduler
from service.http import errors, generate
from service.store.store import Store
from tests.service.fakes import FakeModel


@pytest.fixture
def scheduler():
    started = Scheduler(engines=1, slots=1, queue=0, chunk=4, cache=PrefixCache(0))
    yield started
    started.close()


def rejected() -> float:
    return REGISTRY.get_sample_value("charloom_rejected_total", {"reason": "slow_clients"}) or 0


def test_streams_that_are_done_but_unread_are_bounded(scheduler: Scheduler, model: FakeModel, tmp_path: Path) -> None:
    """Each holds a thread of the server, though none holds a row."""
    (tmp_path / "fake" / "1").mkdir(parents=True)
    app = Flask(__name__)
    errors.register(app)
    config = Config(models=tmp_path, engines=1, slots=1, queue=0)
    app.register_blueprint(generate.blueprint(config, Store(tmp_path, None, lambda folder: model), scheduler))
    client = app.test_client()
    before, unread = rejected(), []
    for _ in range(1 + generate.UNREAD_STREAMS):
        unread.append(client.post("/generate", json={"length": 9}))
        assert unread[-1].status_code == 200
        while not scheduler.is_idle:
            pass
    for stream in (True, False):
        answer = client.post("/generate", json={"length": 9, "stream": stream})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert "17 streams are open" in answer.json["error"]["message"]
    assert rejected() == before + 2
    assert client.post("/generate", json={"length": 0}).status_code == 422
    unread.pop().close()
    assert client.post("/generate", json={"length": 9}).text.count("data: ") == 10
    for response in unread:
        response.close()

"""What only shows inside the process: answers that nobody reads to the end, and engines that fail in the middle."""

import json
import threading
from pathlib import Path

import pytest
from flask import Flask

from service.artifact.store import Store
from service.config import Config
from service.generation.prefix_cache import PrefixCache
from service.generation.scheduler import Scheduler
from service.http import errors, generate
from tests.service.conftest import FakeModel, expected_text


class Breaking(FakeModel):
    """Works for three calls."""

    def advance(self, steps):
        if len(self.calls) == 3:
            raise RuntimeError("the model broke")
        return super().advance(steps)


class Held(FakeModel):
    """Makes a call only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.permits = threading.Semaphore(0)

    def advance(self, steps):
        assert self.permits.acquire(timeout=10)
        return super().advance(steps)


def app_with(model: FakeModel, scheduler: Scheduler, tmp_path: Path) -> Flask:
    (tmp_path / "fake" / "1").mkdir(parents=True)
    app = Flask(__name__)
    errors.register(app)
    store = Store(tmp_path, None, lambda folder: model)
    app.register_blueprint(generate.blueprint(Config(models=tmp_path), store, scheduler))
    return app


@pytest.fixture
def scheduler():
    started = Scheduler(engines=1, slots=1, queue=0, chunk=4, cache=PrefixCache(0))
    yield started
    started.close()


def test_an_answer_that_is_closed_unread_frees_its_row(scheduler: Scheduler, tmp_path: Path) -> None:
    model = Held()
    client = app_with(model, scheduler, tmp_path).test_client()
    model.permits.release()  # for the first characters; the second call waits
    unread = client.post("/generate", json={"length": 100_000})
    assert client.post("/generate", json={"length": 1}).status_code == 429
    unread.close()
    model.permits.release(100_000)
    while scheduler.running:
        pass
    assert len(model.calls) <= 2  # the second was under way
    answer = client.post("/generate", json={"length": 3, "seed": 4, "stream": False})
    assert answer.json["text"] == expected_text("", 3, 4)


def test_a_failure_after_the_first_byte_is_the_last_event(scheduler: Scheduler, tmp_path: Path) -> None:
    client = app_with(Breaking(), scheduler, tmp_path).test_client()
    body = client.post("/generate", json={"length": 100, "seed": 4}).text
    *characters, last = [json.loads(event.removeprefix("data: ")) for event in body.split("\n\n") if event]
    assert "".join(event["text"] for event in characters) == expected_text("", 10, 4)  # 2, 4 and 4
    assert last["error"]["type"] == "server_error"
    assert "the model broke" not in body  # that is for the log


def test_a_failure_before_the_first_byte_is_a_status(scheduler: Scheduler, model: FakeModel, tmp_path: Path) -> None:
    client = app_with(model, scheduler, tmp_path).test_client()
    model.fails = True
    answer = client.post("/generate", json={"stream": False})
    assert answer.status_code == 500
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}

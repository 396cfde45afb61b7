"""What only shows inside the process: answers that nobody reads to the end, and engines that fail in the middle."""

import io
import json
import socket
import threading
from pathlib import Path

import pytest
from flask import Flask

from service.config import Config
from service.engine.prefix_cache import PrefixCache
from service.engine.scheduler import Scheduler
from service.http import errors, generate
from service.http.formats import ClientGone
from service.http.schemas import GenerateBody
from service.store.store import Store
from tests.service.fakes import FakeModel, expected_text


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


def test_null_is_the_default_of_every_field(scheduler: Scheduler, model: FakeModel, tmp_path: Path) -> None:
    client = app_with(model, scheduler, tmp_path).test_client()
    given = {"length": 5, "seed": 4, "stream": False}
    usual = client.post("/generate", json=given).json
    nulls = {name: None for name in GenerateBody.model_fields if name not in given}
    assert client.post("/generate", json=nulls | given).json["text"] == usual["text"]
    for name in given:
        answer = client.post("/generate", json=given | {name: None})
        assert answer.status_code == 200
        answer.close()
    assert client.post("/generate", json={"stop": [None]}).status_code == 422  # only a whole field has a default


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ('{"top_p": 1e-45}', "top_p", "at least 1.2e-38"),
        ('{"top_p": 1e-40}', "top_p", "at least 1.2e-38"),
        ('{"top_p": 1e-320}', "top_p", "at least 1.2e-38"),
        ('{"top_p": 1e-400}', "top_p", "greater than 0"),
        ('{"top_p": -0.0}', "top_p", "greater than 0"),
        ('{"temperature": 1e400}', "temperature", "finite"),
        ('{"temperature": -1e-45}', "temperature", "greater than or equal to 0"),
        ('{"seed": 5.0}', "seed", "integer"),
        ('{"length": 1e2}', "length", "integer"),
        ('{"version": %s}' % ("9" * 30), "version", "9223372036854775807"),
        ('{"seed": %s}' % ("9" * 4000), "seed", "9223372036854775807"),
        ('{"%s": 1}' % ("x" * 1_000_000), "x" * 60 + "…", "not a field"),
        ('{"stop": "%s"}' % ("x" * 1_000_000), "stop", "array"),
        (json.dumps(dict.fromkeys(range(9999), 0)), None, "9,999 fields"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_value_that_the_model_cannot_take_is_refused_briefly(
    scheduler: Scheduler, model: FakeModel, tmp_path: Path, body: str, param: str, words: str
) -> None:
    client = app_with(model, scheduler, tmp_path).test_client()
    answer = client.post("/generate", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["error"]["param"]) == (422, param)
    assert words in answer.json["error"]["message"]
    assert len(answer.data) < 600


def test_the_smallest_values_of_float32_are_taken(scheduler: Scheduler, model: FakeModel, tmp_path: Path) -> None:
    client = app_with(model, scheduler, tmp_path).test_client()
    for field, value in (("top_p", 1.2e-38), ("temperature", 1e-320), ("temperature", -0.0)):
        assert client.post("/generate", json={field: value, "length": 1, "stream": False}).status_code == 200


def test_unknown_names_come_back_short(scheduler: Scheduler, model: FakeModel, tmp_path: Path) -> None:
    client = app_with(model, scheduler, tmp_path).test_client()
    unknown = client.post("/generate", json={"model": "x" * 100_000})
    assert (unknown.status_code, unknown.json["error"]["param"]) == (404, "model")
    other_type = client.post("/generate", data=b"{}", content_type="text/" + "x" * 100_000)
    assert other_type.status_code == 415
    for answer in (unknown, other_type):
        assert "x" * 20 in answer.text
        assert len(answer.data) < 600


class Broken(io.BytesIO):
    """A body whose server refuses to go on reading it."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read(self, size=-1):
        raise self._error

    readinto = read


@pytest.mark.parametrize("error", [RuntimeError("bad chunk"), TimeoutError(), BlockingIOError(), EOFError()], ids=repr)
@pytest.mark.parametrize("headers", [{}, {"CONTENT_LENGTH": "9"}], ids=["chunked", "length"])
def test_a_body_that_the_server_cannot_read_is_the_clients_fault(
    scheduler: Scheduler, model: FakeModel, tmp_path: Path, caplog, error: Exception, headers: dict[str, str]
) -> None:
    app = app_with(model, scheduler, tmp_path)
    environ = {"wsgi.input": Broken(error), "wsgi.input_terminated": True, **headers}
    answer = app.test_client().post("/generate", content_type="application/json", environ_overrides=environ)
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "unreadable_body")
    assert not [record for record in caplog.records if record.exc_info]
    assert "bad chunk" not in caplog.text + answer.text


def test_a_body_without_a_length_has_the_same_limit(scheduler: Scheduler, model: FakeModel, tmp_path: Path) -> None:
    limit = 12 * 100_000 + 64 * 1024
    app = app_with(model, scheduler, tmp_path)
    for spaces, status in ((limit - 2, 200), (limit - 1, 413), (limit * 3, 413)):
        environ = {"wsgi.input": io.BytesIO(b"{}" + b" " * spaces), "wsgi.input_terminated": True}
        answer = app.test_client().post("/generate", content_type="application/json", environ_overrides=environ)
        assert answer.status_code == status
        if status == 413:
            assert f"{limit:,} bytes" in answer.json["error"]["message"]
        answer.close()


@pytest.fixture
def connection():
    """The server's side and the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_is_given_up_does_not_end_as_if_whole(
    scheduler: Scheduler, model: FakeModel, tmp_path: Path, connection, stream: bool
) -> None:
    """A server that meets an OSError of the kind of a reset closes the connection as it stands."""
    ours, theirs = connection
    theirs.close()
    body, environ = {"length": 100, "stream": stream}, {"gunicorn.socket": ours}
    client = app_with(model, scheduler, tmp_path).test_client()
    with pytest.raises(ClientGone):
        client.post("/generate", json=body, environ_overrides=environ, buffered=True)
    while not scheduler.is_idle:
        pass
    assert client.post("/generate", json=body).status_code == 200  # its place is free


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_only_stops_sending_is_not_gone(
    scheduler: Scheduler, model: FakeModel, tmp_path: Path, connection, stream: bool
) -> None:
    ours, theirs = connection
    theirs.shutdown(socket.SHUT_WR)
    body, environ = {"length": 100, "seed": 4, "stream": stream}, {"gunicorn.socket": ours}
    client = app_with(model, scheduler, tmp_path).test_client()
    answer = client.post("/generate", json=body, environ_overrides=environ, buffered=True)
    assert answer.status_code == 200
    assert f'"{expected_text("", 100, 4)}"' in answer.text

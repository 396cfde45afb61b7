import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, g
from flask.testing import FlaskClient
from prometheus_client import REGISTRY

from service.config import Config
from service.engine.generation import GenerationRequest, Result
from service.engine.prefix_cache import PrefixCache
from service.engine.sampling import SamplingParams
from service.engine.scheduler import Scheduler
from service.http import errors
from service.http.delivery import UNREAD_STREAMS, ClientGone, OpenStreams, headers_of, is_gone, probe_silence
from service.http.formats import SSE, StreamFormat
from service.model.model import Stepped, Steps
from service.model.version import ModelVersion
from tests.service.fakes import FakeModel, Gate, expected_text
from tests.service.http.apps import app_of
from tests.waiting import wait_until

Sockets = tuple[socket.socket, socket.socket]


class Breaking(FakeModel):
    """Fails in its fourth call."""

    def advance(self, steps: Steps) -> Stepped:
        if len(self.calls) == 3:
            raise RuntimeError("the model broke")
        return super().advance(steps)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    """The server's end of a connection, and the client's."""
    server, client = socket.socketpair()
    with server, client:
        yield server, client


def rejected() -> float:
    return REGISTRY.get_sample_value("charloom_rejected_total", {"reason": "slow_clients"}) or 0


def test_a_response_that_is_closed_unread_frees_its_row(scheduler: Scheduler, tmp_path: Path) -> None:
    model = Gate()
    client = app_of(model, scheduler, tmp_path).test_client()
    model.permits.release()  # for the first characters; the second call waits
    unread = client.post("/generate", json={"length": 100_000})
    assert client.post("/generate", json={"length": 1}).status_code == 429
    unread.close()
    model.permits.release(100_000)
    wait_until(lambda: not scheduler.running, 10)
    assert len(model.calls) <= 2  # the second was in progress
    answer = client.post("/generate", json={"length": 3, "seed": 4, "stream": False})
    assert answer.json["text"] == expected_text("", 3, 4)


def test_a_failure_after_the_first_byte_is_the_last_event(scheduler: Scheduler, tmp_path: Path) -> None:
    with app_of(Breaking(), scheduler, tmp_path).test_client() as client:
        body = client.post("/generate", json={"length": 100, "seed": 4}).text
        assert g.logged["error"] == "internal_error"
    *characters, last = [json.loads(event.removeprefix("data: ")) for event in body.split("\n\n") if event]
    assert "".join(event["text"] for event in characters) == expected_text("", 9, 4)  # of calls of 1, 4 and 4 steps
    assert last["error"]["type"] == "server_error"
    assert "the model broke" not in body  # the log has it


def test_the_number_of_finished_but_unread_streams_is_limited(client: FlaskClient, scheduler: Scheduler) -> None:
    """Each holds a thread of the server, though none holds a row."""
    before, unread = rejected(), []
    for _ in range(1 + UNREAD_STREAMS):
        unread.append(client.post("/generate", json={"length": 9}))
        assert unread[-1].status_code == 200
        wait_until(lambda: scheduler.is_idle, 10)
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


def two_routes(model: FakeModel, scheduler: Scheduler) -> FlaskClient:
    """An application whose routes /a and /b share one limit, each with its own closing object and format."""
    app = Flask(__name__)
    errors.register(app)
    streams = OpenStreams(Config(engines=1, slots=1, queue=0), scheduler)
    generation = GenerationRequest(prompt="", length=5, sampling=SamplingParams(seed=4))
    other = StreamFormat("text/x-other", lambda c: c.text.upper(), lambda o: f"<{o['n']}>", lambda e: "failed")

    def closing(result: Result) -> dict[str, int]:
        return {"n": len(result.text)}

    def as_object() -> object:
        return streams.begin(model, generation).as_object(closing)  # type: ignore[arg-type]

    def as_stream() -> object:
        return streams.begin(model, generation).as_stream(other, closing)  # type: ignore[arg-type]

    app.add_url_rule("/a", view_func=as_object)
    app.add_url_rule("/b", view_func=as_stream)
    return app.test_client()


def test_routes_choose_the_format_and_the_closing_object(scheduler: Scheduler, model: FakeModel) -> None:
    client = two_routes(model, scheduler)
    streamed = client.get("/b")
    assert (streamed.text, streamed.mimetype) == (expected_text("", 5, 4).upper() + "<5>", "text/x-other")
    in_one_object = client.get("/a")
    assert in_one_object.json == {"n": 5}
    for response in (in_one_object, streamed):
        headers = response.headers
        assert (headers["X-Model"], headers["X-Model-Version"], headers["X-Seed"]) == ("fake", "1", "4")
        assert (headers["X-Accel-Buffering"], headers["Cache-Control"]) == ("no", "no-store")


def test_the_headers_name_the_version_and_forbid_buffering() -> None:
    headers = headers_of(ModelVersion("fake", 3))
    assert (headers["X-Model"], headers["X-Model-Version"], headers["X-Accel-Buffering"]) == ("fake", "3", "no")


def test_several_streams_count_as_many_in_the_limit(model: FakeModel) -> None:
    scheduler = Scheduler(engines=1, slots=8, queue=8, chunk=4, cache=PrefixCache(0))
    streams = OpenStreams(Config(engines=1, slots=8, queue=0), scheduler)
    generation = GenerationRequest(prompt="", length=5, sampling=SamplingParams(seed=4))

    def view() -> object:
        return streams.begin(model, *[generation] * 8).as_object(lambda *results: {"n": len(results)})  # type: ignore[arg-type]

    app = Flask(__name__)
    errors.register(app)
    app.add_url_rule("/", view_func=view)
    release = streams.reserve(8 + UNREAD_STREAMS - 7)
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.json["error"]["code"]) == (429, "queue_full")
    assert "17 streams are open, and the limit for 8 more is 24" in answer.json["error"]["message"]
    release()
    assert [app.test_client().get("/").json for _ in range(5)] == [{"n": 8}] * 5
    scheduler.close()


def test_routes_share_one_limit(scheduler: Scheduler, model: FakeModel) -> None:
    client, unread = two_routes(model, scheduler), []
    for _ in range(1 + UNREAD_STREAMS):
        unread.append(client.get("/b"))
        wait_until(lambda: scheduler.is_idle, 10)
    assert client.get("/a").status_code == 429
    unread.pop().close()
    assert client.get("/a").status_code == 200
    for response in unread:
        response.close()


@pytest.mark.parametrize(
    ("stream", "reads", "finish_reason"), [(True, True, "length"), (False, True, "length"), (True, False, "cancelled")]
)
def test_the_log_line_has_the_measurements_and_no_text(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, stream: bool, reads: bool, finish_reason: str
) -> None:
    with caplog.at_level(logging.INFO):
        length = 20 if reads else 100_000
        response = client.post("/generate", json={"prompt": "cab", "length": length, "seed": 4, "stream": stream})
        if reads:
            assert response.text
        response.close()
    (line,) = [vars(record) for record in caplog.records if record.name == "service.http.access"]
    assert (line["model"], line["version"], line["seed"], line["prompt_chars"]) == ("fake", 1, 4, 3)
    assert line["finish_reason"] == finish_reason
    assert (line["generated_chars"] == 20) == reads
    assert {"cached_chars", "queue_ms", "first_char_ms", "total_ms"} <= set(line)
    assert not [value for value in line.values() if value in ("cab", expected_text("cab", 20, 4))]


def test_while_a_stream_waits_pings_are_sent(
    scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.http.delivery.SECONDS_BETWEEN_PINGS", 0.01)
    model = Gate()
    client = app_of(model, scheduler, tmp_path).test_client()
    response = client.post("/generate", json={"length": 2})
    chunks = iter(response.response)
    assert [next(chunks), next(chunks)] == [SSE.waiting.encode()] * 2
    model.permits.release(2)
    assert b'"finish_reason": "length"' in b"".join(chunks)
    response.close()


@pytest.mark.parametrize("stream", [True, False])
def test_a_response_without_a_reader_does_not_end_like_a_complete_one(
    client: FlaskClient, scheduler: Scheduler, sockets: Sockets, stream: bool
) -> None:
    """On an OSError like that of a reset, a server closes the connection without a valid end."""
    server_end, client_end = sockets
    client_end.close()
    body, environ = {"length": 100, "stream": stream}, {"gunicorn.socket": server_end}
    with pytest.raises(ClientGone):
        client.post("/generate", json=body, environ_overrides=environ, buffered=True)
    wait_until(lambda: scheduler.is_idle, 10)
    assert client.post("/generate", json=body).status_code == 200  # its row and its place in the limit are free


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_only_stops_sending_is_not_gone(client: FlaskClient, sockets: Sockets, stream: bool) -> None:
    server_end, client_end = sockets
    client_end.shutdown(socket.SHUT_WR)
    body, environ = {"length": 100, "seed": 4, "stream": stream}, {"gunicorn.socket": server_end}
    answer = client.post("/generate", json=body, environ_overrides=environ, buffered=True)
    assert answer.status_code == 200
    assert f'"{expected_text("", 100, 4)}"' in answer.text


def test_a_lost_connection_is_noticed_at_once(sockets: Sockets) -> None:
    server_end, client_end = sockets
    assert not is_gone({})  # another server than gunicorn
    assert not is_gone({"gunicorn.socket": server_end})
    client_end.close()
    assert is_gone({"gunicorn.socket": server_end})


def test_the_kernel_probes_a_silent_connection() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server_end:
        probe_silence({"gunicorn.socket": server_end})
        assert server_end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    probe_silence({"gunicorn.socket": server_end})  # a closed socket raises nothing
    probe_silence({})

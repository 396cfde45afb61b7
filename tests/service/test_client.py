"""The client against a real service, and against scripted responses that a service rarely gives."""

import ast
import json
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from service import client as module
from service.client import Character, CharloomError, Client, Completion
from tests.ports import free_port
from tests.servers import Server
from tests.system.clients import metric
from tests.waiting import wait_until

CHARACTER = b'data: {"index": 0, "text": "a", "logprob": -0.5, "top": [["a", -0.5], ["b", -1.5]]}\n\n'
LAST = (
    b'data: {"finish_reason": "length", "text": "a", "seed": 7, "model": "tiny", "version": 1,'
    b' "usage": {"prompt_chars": 0}, "timings": {"queue_ms": 0.1}, "later": "added"}\n\n'
)


def response(status: str, body: bytes, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


def refusal(status: str, code: str, *headers: str) -> bytes:
    error = {"message": "Not now.", "type": "some_error", "param": None, "code": code}
    return response(status, json.dumps({"error": error}).encode(), *headers)


STREAM = response("200 OK", b": ping\n\n" + CHARACTER + LAST)
BUSY = refusal("429 Too Many Requests", "queue_full", "Retry-After: 3")


def answer(listener: socket.socket, responses: tuple[bytes, ...], requests: list[bytes]) -> None:
    """Send one response on each connection, after its request has arrived."""
    for content in responses:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as file:
            head = b"".join(iter(file.readline, b"\r\n"))
            _, has_body, length = head.partition(b"Content-Length: ")
            requests.append(head + file.read(int(length.split(b"\r\n")[0]) if has_body else 0))
            connection.sendall(content)


@contextmanager
def scripted(*responses: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """The address of a server that gives these responses, one a connection, and a list of the requests it gets."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        thread = threading.Thread(target=answer, args=(listener, responses, requests))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
        thread.join()
    assert len(requests) == len(responses)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times for which the client waits; it does not spend them."""
    waits: list[float] = []
    monkeypatch.setattr("service.client.time.sleep", waits.append)
    return waits


@pytest.fixture
def client(server: Server) -> Client:
    return Client(f"http://127.0.0.1:{server.port}")


def test_it_imports_only_the_standard_library() -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_a_stream_yields_the_characters_of_the_seed_and_then_has_the_completion(server: Server, client: Client) -> None:
    expected = server.generate(prompt="the ", length=40, seed=3)
    stream = client.stream("the ", length=40, seed=3)
    assert stream.completion is None
    characters = list(stream)
    assert "".join(character.text for character in characters) == expected["text"]
    assert [character.logprob for character in characters] == expected["logprobs"]
    completion = stream.completion
    assert completion is not None
    assert (completion.text, completion.seed, completion.version) == (expected["text"], 3, 1)
    assert completion.usage["generated_chars"] == 40


def test_complete_returns_the_whole_text(server: Server, client: Client) -> None:
    expected = server.generate(prompt="the ", length=40, seed=4, temperature=0.5, stop=["\n"])
    completion = client.complete("the ", length=40, seed=4, temperature=0.5, stop=["\n"])
    for name in ("text", "logprobs", "finish_reason", "seed", "model", "version"):
        assert getattr(completion, name) == expected[name]


NAMES = ("finish_reason", "model")


@pytest.mark.parametrize("logprobs", [False, True])
def test_a_score_is_the_object_of_the_service(server: Server, client: Client, logprobs: bool) -> None:
    text = "the cat\n" * 1000
    expected = json.loads(server.request("POST", "/score", {"text": text, "logprobs": logprobs})[2])
    found = client.score(text, logprobs=logprobs, model="tiny")
    assert found.pop("timings").keys() == expected.pop("timings").keys()
    assert found == expected | {name: pytest.approx(expected[name]) for name in expected if name not in NAMES}
    assert (len(found.get("logprobs", ())) == len(text)) == logprobs


PROGRESS = b'{"chars": 1, "nats": 2.0, "index": 0, "logprobs": [-2.0]}\n'


def test_the_lines_of_a_score_are_joined() -> None:
    lines = PROGRESS + b'{"chars": 2, "logprobs": [-3.0]}\n{"chars": 2, "finish_reason": "length"}\n'
    with scripted(response("200 OK", lines)) as (url, requests):
        assert Client(url).score("ab", logprobs=True) == {
            "chars": 2,
            "finish_reason": "length",
            "logprobs": [-2.0, -3.0],
        }
    assert b"Accept: application/x-ndjson\r\n" in requests[0]


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (b'{"error": {"message": "Broken.", "code": "internal_error"}}\n', "internal_error"),
        (b"", "incomplete_response"),
        (b"[]\n", "unexpected_response"),
        (b"{", "unexpected_response"),
    ],
)
def test_a_score_that_fails_is_not_retried(waits: list[float], end: bytes, code: str) -> None:
    with scripted(response("200 OK", PROGRESS + end)) as (url, _), pytest.raises(CharloomError) as failure:
        Client(url).score("ab")
    assert (failure.value.code, waits) == (code, [])


def test_models_and_health_are_the_responses_of_the_service(client: Client) -> None:
    assert client.models()["default"] == "tiny"
    assert client.health()["status"] == "ready"


def test_score_is_the_response_of_the_service(server: Server, client: Client) -> None:
    expected = server.ask("/score", {"text": "the cat", "logprobs": True})
    scored = client.score("the cat", logprobs=True)
    assert (scored["nats_per_char"], scored["logprobs"]) == (expected["nats_per_char"], expected["logprobs"])
    with pytest.raises(CharloomError, match="text should have at least 1 character"):
        client.score("")


def test_a_wrong_field_is_an_error_with_the_words_of_the_service(client: Client) -> None:
    with pytest.raises(CharloomError) as failure:
        client.stream(temperature=9)
    error = failure.value
    assert (error.status, error.code, error.param) == (422, "invalid_field", "temperature")
    assert error.message == str(error)
    assert "temperature" in error.message


def test_a_stream_that_is_left_is_cancelled(server: Server, client: Client) -> None:
    before = metric(server, "charloom_cancelled_total")
    with client.stream(length=100_000) as stream:
        assert len(list(islice(stream, 3))) == 3
    wait_until(lambda: metric(server, "charloom_cancelled_total") == before + 1)
    assert stream.completion is None


def test_pings_and_unknown_fields_are_ignored_and_guesses_are_kept() -> None:
    with scripted(STREAM) as (url, _):
        stream = Client(url).stream()
        assert list(stream) == [Character("a", -0.5, (("a", -0.5), ("b", -1.5)))]
    assert stream.completion == Completion("a", "length", 7, "tiny", 1, {"prompt_chars": 0}, {"queue_ms": 0.1}, [-0.5])


def test_the_key_and_the_path_of_a_proxy_are_sent() -> None:
    with scripted(STREAM) as (url, requests):
        Client(f"{url}/text/", "secret").complete("é", seed=1)
    head, _, body = requests[0].partition(b"{")
    assert head.startswith(b"POST /text/generate HTTP/1.1\r\n")
    assert b"Authorization: Bearer secret\r\n" in head
    assert json.loads(b"{" + body) == {"prompt": "é", "seed": 1, "stream": True}


def test_a_busy_service_is_asked_again_after_the_time_that_it_names(waits: list[float]) -> None:
    with scripted(BUSY, refusal("503 Service Unavailable", "draining"), STREAM) as (url, requests):
        assert Client(url).complete().text == "a"
    assert waits[0] == 3
    assert 0.5 <= waits[1] <= 1, "without Retry-After, the wait doubles with each attempt"
    assert len(set(requests)) == 1


def test_after_the_last_retry_the_error_is_raised(waits: list[float]) -> None:
    with scripted(BUSY, BUSY) as (url, _), pytest.raises(CharloomError) as failure:
        Client(url, retries=1).complete()
    assert (failure.value.status, failure.value.code, failure.value.retry_after_s) == (429, "queue_full", 3)
    assert waits == [3]


@pytest.mark.parametrize(
    "content",
    [
        refusal("429 Too Many Requests", "rate_limit_exceeded", "Retry-After: 3600"),
        refusal("401 Unauthorized", "invalid_api_key"),
        refusal("500 Internal Server Error", "internal_error"),
    ],
)
def test_other_errors_and_long_waits_are_not_retried(waits: list[float], content: bytes) -> None:
    with scripted(content) as (url, _), pytest.raises(CharloomError, match=r"^Not now\.$"):
        Client(url).complete()
    assert waits == []


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"status": "ok"}', b"<html>"])
def test_a_service_that_is_not_charloom_is_an_unexpected_response(body: bytes) -> None:
    for ask in (Client.models, Client.health, lambda client: client.score("a")):
        with scripted(response("200 OK", body)) as (url, _), pytest.raises(CharloomError) as failure:
            ask(Client(url))
        assert failure.value.code == "unexpected_response"


def test_health_is_not_retried(waits: list[float]) -> None:
    with scripted(refusal("503 Service Unavailable", "unavailable")) as (url, _), pytest.raises(CharloomError):
        Client(url).health()
    assert waits == []


def test_a_connection_that_closes_before_the_response_is_retried(waits: list[float]) -> None:
    with scripted(b"", STREAM) as (url, _):
        assert Client(url).complete().text == "a"
    assert len(waits) == 1


def test_a_service_that_cannot_be_reached_is_named(waits: list[float]) -> None:
    port = free_port()
    with pytest.raises(CharloomError) as failure:
        Client(f"http://127.0.0.1:{port}").models()
    assert failure.value.message == f"The service at 127.0.0.1:{port} cannot be reached: Connection refused."
    assert (failure.value.status, failure.value.code, len(waits)) == (None, "connection_error", 2)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'data: {"error": {"message": "Broken.", "code": "internal_error"}}\n\n', "internal_error", "Broken."),
        (b"", "incomplete_response", "The response is incomplete: it has no last event."),
        (b"data: {\n\n", "unexpected_response", "The response is not one of Charloom."),
        (b"data: {}\n\n", "unexpected_response", "The response is not one of Charloom."),
    ],
)
def test_a_stream_that_fails_is_not_retried(waits: list[float], body: bytes, code: str, message: str) -> None:
    received: list[str] = []
    with scripted(response("200 OK", CHARACTER + body)) as (url, _), pytest.raises(CharloomError) as failure:
        received.extend(character.text for character in Client(url).stream())
    assert (received, waits) == (["a"], [])
    assert (failure.value.status, failure.value.code, failure.value.message) == (200, code, message)


def test_a_stream_cut_inside_a_chunk_is_incomplete() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    content = head + b"%x\r\n%s\r\nff\r\ndata: {" % (len(CHARACTER), CHARACTER)
    with scripted(content) as (url, _), pytest.raises(CharloomError) as failure:
        Client(url).complete()
    assert failure.value.code == "incomplete_response"


def test_a_silent_service_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.1)
        with pytest.raises(CharloomError, match=r"has been silent for 0\.1 seconds\.$") as failure:
            client.models()
        assert failure.value.code == "timeout"
        listener.accept()[0].close()
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):  # it may be at work: no second request
            listener.accept()


def test_a_service_that_is_silent_after_the_head_of_its_response_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.2)
        found = pool.submit(client.complete)
        with listener.accept()[0] as accepted:
            accepted.recv(65536)
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
            with pytest.raises(CharloomError) as failure:
                found.result(30)
    assert failure.value.code == "timeout"


def test_an_error_page_of_a_proxy_is_reported_by_its_status() -> None:
    with scripted(response("502 Bad Gateway", b"<html>")) as (url, _), pytest.raises(CharloomError) as failure:
        Client(url).models()
    assert (failure.value.status, failure.value.message) == (502, "The service answered 502 Bad Gateway.")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", ""])
def test_a_malformed_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be like http://localhost:8000"):
        Client(url)


@pytest.mark.parametrize("key", ["secret\n", "secret k", "", "sécret"])
def test_a_malformed_key_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as refused:
        Client(key=key)
    assert "secret" not in str(refused.value)

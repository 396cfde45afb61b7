"""POST /generate on a service that runs on gunicorn: formats, seeds, stop strings, cancellation, the prefix cache."""

import json
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.servers import Server
from tests.system.clients import metric, raw_request, read_to_end, sse_data, usage_without_cache, vanishing
from tests.waiting import wait_until

FIELDS = {"prompt": "the c", "length": 100, "seed": 5}


def streamed(server: Server, accept: str | None, **fields: Any) -> tuple[Any, bytes]:
    status, headers, body = server.request("POST", "/generate", fields, {"Accept": accept} if accept else {})
    assert status == 200, body
    return headers, body


def sse_events(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(data) for data in sse_data(body)]


def check_events(events: list[dict[str, Any]], response: dict[str, Any]) -> None:
    """Check the shape of the events, and that they say the same as the response with `"stream": false`."""
    *characters, last = events
    assert [list(event) for event in characters] == [["index", "text", "logprob"]] * len(characters)
    assert [event["index"] for event in characters] == list(range(len(characters)))
    assert "".join(event["text"] for event in characters) == last["text"] == response["text"]
    assert [event["logprob"] for event in characters] == response["logprobs"]
    assert set(last) == set(response) - {"logprobs"}
    for name in ("finish_reason", "seed", "model", "version"):
        assert last[name] == response[name]
    assert usage_without_cache(last) == usage_without_cache(response)


def test_the_response_has_every_field_of_the_contract(server: Server) -> None:
    response = server.generate(**FIELDS)
    assert set(response) == {"finish_reason", "text", "seed", "model", "version", "usage", "timings", "logprobs"}
    assert (response["finish_reason"], response["seed"], response["model"], response["version"]) == (
        "length",
        5,
        "tiny",
        1,
    )
    assert usage_without_cache(response) == {"prompt_chars": 5, "unknown_chars": 0, "generated_chars": 100}
    assert set(response["timings"]) == {"queue_ms", "first_char_ms", "total_ms", "chars_per_second"}
    assert len(response["text"]) == len(response["logprobs"]) == 100
    assert all(np.float32(str(logprob)) == logprob or logprob <= 0 for logprob in response["logprobs"])


@pytest.mark.parametrize("accept", [None, "*/*", "text/event-stream", "application/json, text/event-stream;q=0.9"])
def test_server_sent_events_are_the_default(server: Server, accept: str | None) -> None:
    headers, body = streamed(server, accept, **FIELDS)
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    check_events(sse_events(body), server.generate(**FIELDS))


def test_ndjson(server: Server) -> None:
    headers, body = streamed(server, "application/x-ndjson", **FIELDS)
    assert headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    check_events([json.loads(line) for line in body.splitlines()], server.generate(**FIELDS))


def test_plain_text_is_the_bare_characters(server: Server) -> None:
    headers, body = streamed(server, "text/plain", **FIELDS)
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert body.decode() == server.generate(**FIELDS)["text"]


def test_the_headers_name_model_version_seed_and_request(server: Server) -> None:
    headers, body = streamed(server, None, prompt="the")
    assert headers["X-Model"] == "tiny"
    assert headers["X-Model-Version"] == "1"
    assert headers["X-Accel-Buffering"] == "no"
    assert headers["Cache-Control"] == "no-store"
    assert len(headers["X-Request-Id"]) == 32
    # The service drew a seed; the same seed gives the same text.
    last = sse_events(body)[-1]
    assert headers["X-Seed"] == str(last["seed"])
    assert server.generate(prompt="the", seed=last["seed"])["text"] == last["text"]


def test_a_valid_request_id_is_kept_and_another_is_replaced(server: Server) -> None:
    for sent, kept in (("my-id.7", True), ("two words", False), ("x" * 200, False)):
        headers = server.request("GET", "/livez", headers={"X-Request-Id": sent})[1]
        assert (headers["X-Request-Id"] == sent) is kept


def test_characters_arrive_while_the_text_is_still_generated(server: Server) -> None:
    connection = server.connect()
    body = json.dumps({"length": 20_000}).encode()
    connection.request("POST", "/generate", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.readline().startswith(b'data: {"index": 0, ')
    rest = response.read()
    assert b'"index": 19999, ' in rest
    timings = sse_events(rest.partition(b"\n")[2])[-1]["timings"]
    assert timings["first_char_ms"] < timings["total_ms"] / 2
    connection.close()


def test_same_seed_same_text_alone_in_a_batch_and_streamed(server: Server) -> None:
    """32 different requests at once, each compared with itself alone: every character and every bit of a logprob."""
    generator = random.Random(7)
    requests = [
        {
            "prompt": generator.choice(["", "the ", "dog ran on a mat.\n" * 9]),
            "length": generator.randint(1, 300),
            "seed": seed,
            "temperature": generator.choice([0, 0.5, 1, 1.5]),
            "top_k": generator.choice([0, 3]),
            "top_p": generator.choice([1, 0.8]),
            "stop": generator.choice([[], ["cat"]]),
        }
        for seed in range(32)
    ]
    alone = [server.generate(**request) for request in requests]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda request: server.generate(**request), requests))
        events = list(pool.map(lambda request: sse_events(streamed(server, None, **request)[1]), requests))
    for one, other, streamed_events in zip(alone, together, events, strict=True):
        assert (other["text"], other["logprobs"]) == (one["text"], one["logprobs"])
        check_events(streamed_events, one)


def test_stop_strings_end_a_stream(server: Server) -> None:
    text = server.generate(**FIELDS)["text"]
    stop = text[30:34]
    response = server.generate(**FIELDS, stop=[stop])
    assert response["finish_reason"] == "stop"
    assert response["text"] == text[: text.index(stop)]
    check_events(sse_events(streamed(server, None, **FIELDS, stop=[stop])[1]), response)


def test_any_prompt_is_accepted(server: Server) -> None:
    for prompt, unknown in (("", 0), ("\u0000\U0001f600é", 3), ("the " * 2_000, 0)):
        usage = server.generate(prompt=prompt, length=3)["usage"]
        assert (usage["prompt_chars"], usage["unknown_chars"]) == (len(prompt), unknown)


@pytest.fixture(scope="module")
def one_slot(tiny: Path) -> Iterator[Server]:
    """A server that runs one stream at a time and queues none."""
    started = Server(tiny / "models", engines=1, slots=1, queue=0)
    yield started
    started.stop()


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson", "text/plain", None])
def test_a_client_that_disconnects_frees_its_row(one_slot: Server, accept: str | None) -> None:
    """The next stream is accepted only when the row of the client that left is free; `None` waits for one object."""

    def generate(length: int) -> tuple[int, Any, bytes]:
        return one_slot.request("POST", "/generate", {"length": length, "stream": False})

    seconds = 100_000 / json.loads(generate(5000)[2])["timings"]["chars_per_second"]
    header_lines = [f"Accept: {accept}"] if accept else []
    with vanishing(one_slot, *header_lines, length=100_000, stream=accept is not None) as client:
        if accept:
            assert client.recv(2000, socket.MSG_WAITALL)
        wait_until(lambda: metric(one_slot, "charloom_streams_running") == 1)
    wait_until(lambda: generate(1)[0] != 429, seconds / 2)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_only_stops_sending_gets_its_whole_response(server: Server, stream: bool) -> None:
    response = server.generate(length=3000, seed=1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(raw_request({"length": 3000, "seed": 1, "stream": stream}, "Connection: close"))
        client.shutdown(socket.SHUT_WR)
        head, _, body = read_to_end(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.dumps(response["text"]).encode() in body
    assert body.endswith(b"\r\n0\r\n\r\n" if stream else b"}\n")


def test_a_cached_prefix_is_not_prefilled_again_and_changes_no_logprob(server: Server, serve, tiny: Path) -> None:
    prompt = "mat.\nthe dog sat on a "
    prompts = [prompt, prompt, f"{prompt}mat, the cat ran", "mat.\nthe"]
    responses = [server.generate(prompt=prompt, length=30, seed=3) for prompt in prompts]
    assert [response["usage"]["cached_chars"] for response in responses] == [0, 22, 22, 0]
    other = serve(tiny / "models", engines=1, slots=3, chunk=7, cache_mb=0)
    for prompt, response in zip(prompts, responses, strict=True):
        plain = other.generate(prompt=prompt, length=30, seed=3)
        assert (plain["text"], plain["logprobs"]) == (response["text"], response["logprobs"])
        assert plain["usage"]["cached_chars"] == 0
    assert other.generate(**FIELDS)["logprobs"] == server.generate(**FIELDS)["logprobs"]  # another chunk size too


def test_past_the_request_timeout_a_stream_ends_with_its_text_so_far(server: Server, serve, tiny: Path) -> None:
    slow = serve(tiny / "models", engines=1, chunk=1, request_timeout=3)
    response = slow.generate(length=100_000, seed=1)
    assert response["finish_reason"] == "timeout"
    assert 0 < response["usage"]["generated_chars"] == len(response["text"]) == len(response["logprobs"]) < 100_000
    length = min(1000, len(response["text"]))
    assert server.generate(length=length, seed=1)["text"] == response["text"][:length]

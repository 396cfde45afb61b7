"""POST /generate on a real gunicorn."""

import json
import random
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.servers import Server

WANTED = {"prompt": "the c", "length": 100, "seed": 5}


def streamed(server: Server, accept: str | None, **fields: Any) -> tuple[Any, str]:
    status, headers, body = server.request("POST", "/generate", fields, {"Accept": accept} if accept else {})
    assert status == 200, body
    return headers, body.decode()


def sse_events(body: str) -> list[dict[str, Any]]:
    lines = [line for line in body.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def check_events(events: list[dict[str, Any]], whole: dict[str, Any]) -> None:
    """Events in the contract's shape that say what the unstreamed answer says."""
    *characters, last = events
    assert [list(event) for event in characters] == [["index", "text", "logprob"]] * len(characters)
    assert [event["index"] for event in characters] == list(range(len(characters)))
    assert "".join(event["text"] for event in characters) == last["text"] == whole["text"]
    assert [event["logprob"] for event in characters] == whole["logprobs"]
    assert set(last) == set(whole) - {"logprobs"}
    for name in ("finish_reason", "seed", "model", "version"):
        assert last[name] == whole[name]
    assert usage_but_for_the_cache(last) == usage_but_for_the_cache(whole)


def usage_but_for_the_cache(answer: dict[str, Any]) -> dict[str, int]:
    """Of the cache only that it knew no more than there is: it depends on who asked before."""
    usage = dict(answer["usage"])
    assert 0 <= usage.pop("cached_chars") <= usage["prompt_chars"]
    return usage


def test_the_last_object_says_all_of_the_contract(server: Server) -> None:
    whole = server.generate(**WANTED)
    assert set(whole) == {"finish_reason", "text", "seed", "model", "version", "usage", "timings", "logprobs"}
    assert (whole["finish_reason"], whole["seed"], whole["model"], whole["version"]) == ("length", 5, "tiny", 1)
    assert usage_but_for_the_cache(whole) == {"prompt_chars": 5, "unknown_chars": 0, "generated_chars": 100}
    assert set(whole["timings"]) == {"queue_ms", "first_char_ms", "total_ms", "chars_per_second"}
    assert len(whole["text"]) == len(whole["logprobs"]) == 100
    assert all(np.float32(str(logprob)) == logprob or logprob <= 0 for logprob in whole["logprobs"])


@pytest.mark.parametrize("accept", [None, "*/*", "text/event-stream", "application/json, text/event-stream;q=0.9"])
def test_server_sent_events_are_the_default(server: Server, accept: str | None) -> None:
    headers, body = streamed(server, accept, **WANTED)
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    check_events(sse_events(body), server.generate(**WANTED))


def test_ndjson(server: Server) -> None:
    headers, body = streamed(server, "application/x-ndjson", **WANTED)
    assert headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    check_events([json.loads(line) for line in body.splitlines()], server.generate(**WANTED))


def test_plain_text_is_the_bare_characters(server: Server) -> None:
    headers, body = streamed(server, "text/plain", **WANTED)
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert body == server.generate(**WANTED)["text"]


def test_headers_name_model_version_seed_and_request(server: Server) -> None:
    headers, body = streamed(server, None, prompt="the")
    assert headers["X-Model"] == "tiny"
    assert headers["X-Model-Version"] == "1"
    assert headers["X-Accel-Buffering"] == "no"
    assert headers["Cache-Control"] == "no-store"
    assert len(headers["X-Request-Id"]) == 32
    # A seed that was drawn is told, and gives the text again.
    last = sse_events(body)[-1]
    assert headers["X-Seed"] == str(last["seed"])
    assert server.generate(prompt="the", seed=last["seed"])["text"] == last["text"]


def test_a_request_id_is_taken_from_the_request_where_it_is_one(server: Server) -> None:
    for sent, kept in (("my-id.7", True), ("two words", False), ("x" * 200, False)):
        headers = server.request("GET", "/livez", headers={"X-Request-Id": sent})[1]
        assert (headers["X-Request-Id"] == sent) is kept


def test_characters_arrive_while_the_text_is_still_being_written(server: Server) -> None:
    connection = server.connect()
    body = json.dumps({"length": 20_000}).encode()
    connection.request("POST", "/generate", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.readline().startswith(b'data: {"index": 0, ')
    first = time.monotonic()
    rest = response.read()
    assert b'"index": 19999, ' in rest
    whole = time.monotonic() - first
    timings = sse_events(rest.decode().partition("\n")[2])[-1]["timings"]
    assert timings["first_char_ms"] < timings["total_ms"] / 10
    assert whole > 0
    connection.close()


def test_same_seed_same_text_alone_among_neighbours_streamed_and_not(server: Server) -> None:
    """32 requests of all kinds at once, each against itself alone: every character and every bit of every logprob."""
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


def test_whatever_the_chunk_the_text_is_the_same(server: Server, serve, tiny) -> None:
    other = serve(tiny / "models", engines=1, slots=3, chunk=7)
    assert other.generate(**WANTED)["logprobs"] == server.generate(**WANTED)["logprobs"]


def test_stop_strings_end_a_stream(server: Server) -> None:
    text = server.generate(**WANTED)["text"]
    stop = text[30:34]
    whole = server.generate(**WANTED, stop=[stop])
    assert whole["finish_reason"] == "stop"
    assert whole["text"] == text[: text.index(stop)]
    check_events(sse_events(streamed(server, None, **WANTED, stop=[stop])[1]), whole)


def test_any_prompt_is_taken(server: Server) -> None:
    for prompt, unknown in (("", 0), ("\u0000\U0001f600é", 3), ("the " * 2_000, 0)):
        usage = server.generate(prompt=prompt, length=3)["usage"]
        assert (usage["prompt_chars"], usage["unknown_chars"]) == (len(prompt), unknown)


def vanish(server: Server, *, after: int, accept: str = "text/event-stream", **fields: Any) -> None:
    """Ask for a text, read so many bytes, and be gone as a killed process is."""
    body = json.dumps(fields).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(
            f"POST /generate HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        received = b""
        while len(received) < after:
            received += client.recv(65536)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a farewell


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson", "text/plain"])
def test_a_client_that_goes_away_frees_its_row(serve, tiny, accept: str) -> None:
    """One slot and no queue: the next stream is taken only when the row of the one that left is free."""
    server = serve(tiny / "models", engines=1, slots=1, queue=0)
    long = {"length": 100_000}
    characters = 100_000 / server.generate(length=5000)["timings"]["chars_per_second"]
    vanish(server, after=2000, accept=accept, **long)
    gone = time.monotonic()
    while server.request("POST", "/generate", {"length": 1, "stream": False})[0] == 429:
        assert time.monotonic() < gone + characters / 2, "the row was still taken long after its client left"


def test_a_client_that_waits_for_one_object_frees_its_row_too(serve, tiny) -> None:
    server = serve(tiny / "models", engines=1, slots=1, queue=0)
    seconds = 100_000 / server.generate(length=5000)["timings"]["chars_per_second"]
    vanish(server, after=0, length=100_000, stream=False)
    gone = time.monotonic()
    while server.request("POST", "/generate", {"length": 1, "stream": False})[0] == 429:
        assert time.monotonic() < gone + seconds / 2, "the row was still taken long after its client left"


def ask(server: Server, **fields: Any) -> socket.socket:
    """A request that was sent."""
    body = json.dumps(fields).encode()
    head = f"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    client.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
    return client


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_only_stops_sending_gets_its_whole_answer(server: Server, stream: bool) -> None:
    whole = server.generate(length=3000, seed=1)
    with ask(server, length=3000, seed=1, stream=stream) as client:
        client.shutdown(socket.SHUT_WR)
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.dumps(whole["text"]).encode() in body
    assert body.endswith(b"\r\n0\r\n\r\n" if stream else b"}\n")


def test_a_prompt_that_was_read_before_is_not_read_again(serve, tiny: Path) -> None:
    server = serve(tiny / "models", engines=1)
    prompts = ["the cat sat on a mat", "the cat sat on a mat", "the cat sat on a mat, the dog ran", "the dog"]
    answers = [server.generate(prompt=prompt, length=30, seed=3) for prompt in prompts]
    assert [answer["usage"]["cached_chars"] for answer in answers] == [0, 20, 20, 0]
    assert (answers[0]["text"], answers[0]["logprobs"]) == (answers[1]["text"], answers[1]["logprobs"])
    without = serve(tiny / "models", engines=1, cache_mb=0)
    for prompt, answer in zip(prompts, answers, strict=True):
        plain = without.generate(prompt=prompt, length=30, seed=3)
        assert (plain["text"], plain["logprobs"]) == (answer["text"], answer["logprobs"])
        assert plain["usage"]["cached_chars"] == 0


def test_past_its_time_a_stream_ends_with_what_there_is(serve, tiny: Path) -> None:
    server = serve(tiny / "models", engines=1, request_timeout=0.5)
    answer = server.generate(length=100_000, seed=1)
    assert answer["finish_reason"] == "timeout"
    assert 0 < answer["usage"]["generated_chars"] == len(answer["text"]) == len(answer["logprobs"]) < 100_000
    shorter = serve(tiny / "models", engines=1).generate(length=len(answer["text"]), seed=1)
    assert shorter["text"] == answer["text"]

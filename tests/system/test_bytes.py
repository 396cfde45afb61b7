"""A byte model on a real gunicorn: every form of an answer holds whole characters, and the same ones."""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.servers import Server
from tests.service.fakes import whole_characters
from tests.service.scripted import bytes_written, logprob_of, write_version
from tests.system.test_generate import usage_but_for_the_cache


@pytest.fixture(scope="module")
def byte_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bytes")
    write_version(folder / "models")
    started = Server(folder / "models", engines=2, slots=8, chunk=5, max_prompt=20, max_length=1000)
    yield started
    started.stop()


def expected(length: int, *, temperature: float, seed: int) -> tuple[str, list[float]]:
    """The first characters of what the model writes, and their bytes' logprobs summed, by a second computation."""
    data = bytes_written(4 * length, temperature=temperature, seed=seed)
    text, logprobs = "", []
    for character, size in whole_characters(data)[:length]:
        text += character
        logprobs.append(sum(logprob_of(byte) for byte in data[:size]))
        data = data[size:]
    return text, logprobs


def streamed(server: Server, accept: str, fields: dict[str, Any]) -> bytes:
    status, _, body = server.request("POST", "/generate", fields, {"Accept": accept})
    assert status == 200, body
    return body


def check_all_forms(server: Server, fields: dict[str, Any]) -> None:
    """SSE, NDJSON, plain text and one object, byte by byte against what the model must write."""
    rule = {"temperature": fields["temperature"], "seed": fields["seed"]}
    text, logprobs = expected(fields["length"], **rule)
    whole = server.generate(**fields)
    assert (whole["text"], whole["finish_reason"]) == (text, "length")
    np.testing.assert_allclose(whole["logprobs"], logprobs, rtol=1e-6)
    prompt_chars, generated = whole["usage"]["prompt_chars"], whole["usage"]["generated_chars"]
    assert (prompt_chars, generated) == (len(fields["prompt"]), fields["length"])
    assert streamed(server, "text/plain", fields) == text.encode()
    events = {
        "text/event-stream": [
            event.removeprefix(b"data: ") for event in streamed(server, "text/event-stream", fields).split(b"\n\n")
        ][:-1],
        "application/x-ndjson": streamed(server, "application/x-ndjson", fields).split(b"\n")[:-1],
    }
    for lines in events.values():
        *characters, last = map(json.loads, lines)
        assert [(event["index"], event["text"]) for event in characters] == list(enumerate(text))
        assert [event["logprob"] for event in characters] == whole["logprobs"]
        assert last["text"] == text
        assert usage_but_for_the_cache(last) == usage_but_for_the_cache(whole)


def test_the_script_has_long_short_and_broken_characters() -> None:
    text, _ = expected(30, temperature=0, seed=0)
    assert text.startswith("aé😀\n€\ufffdz\ufffd\ufffd\ufffd\ufffd\ufffdaé😀\n")


@pytest.mark.parametrize("length", range(1, 14))
def test_every_form_has_the_same_whole_characters(byte_server: Server, length: int) -> None:
    check_all_forms(byte_server, {"prompt": "é?", "length": length, "temperature": 0, "seed": 0})


def test_32_at_once_each_write_what_they_write_alone(byte_server: Server) -> None:
    generator = random.Random(2)
    requests = [
        {
            "prompt": generator.choice(["", "é", "a 😀"]),
            "length": generator.randint(1, 400),
            "temperature": generator.choice([0, 1]),
            "seed": seed,
        }
        for seed in range(32)
    ]
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda fields: check_all_forms(byte_server, fields), requests))


def test_another_chunk_writes_the_same(byte_server: Server, serve, tmp_path: Path) -> None:
    write_version(tmp_path / "models")
    fields = {"prompt": "é", "length": 300, "seed": 8}
    other = serve(tmp_path / "models", engines=1, slots=3, chunk=16)
    for name in ("text", "logprobs", "usage"):
        assert other.generate(**fields)[name] == byte_server.generate(**fields)[name]


def test_limits_and_counts_are_of_characters(byte_server: Server) -> None:
    prompt = "😀" * 19 + "ж"  # 78 bytes; ж is unknown
    usage = byte_server.generate(prompt=prompt, length=1000, seed=1)["usage"]
    assert usage == {"prompt_chars": 20, "cached_chars": 0, "unknown_chars": 1, "generated_chars": 1000}
    for field, value in (("prompt", prompt + "!"), ("length", 1001)):
        status, _, body = byte_server.request("POST", "/generate", {field: value})
        assert (status, json.loads(body)["error"]["param"]) == (422, field)


def test_stop_strings_are_of_characters(byte_server: Server) -> None:
    whole = byte_server.generate(length=100, temperature=0, stop=["€\ufffdz"])
    assert (whole["text"], whole["finish_reason"]) == ("aé😀\n", "stop")


def test_the_catalogue_shows_a_byte_model(byte_server: Server) -> None:
    assert json.loads(byte_server.request("GET", "/models")[2])["models"][0]["served"] == 1
    status, _, body = byte_server.request("GET", "/models/scripted/1")
    manifest = json.loads(body)["manifest"]
    assert (status, manifest["unit"], manifest["cell"]) == (200, "byte", "gru")
    assert "vocabulary" not in manifest

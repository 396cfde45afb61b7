"""A byte model served by gunicorn: every response format has the same complete characters."""

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
from tests.system.clients import sse_data, usage_without_cache


@pytest.fixture(scope="module")
def byte_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the scripted model."""
    folder = tmp_path_factory.mktemp("bytes")
    write_version(folder / "models")
    started = Server(folder / "models", engines=2, slots=8, chunk=5, max_prompt=20, max_length=1000)
    yield started
    started.stop()


def expected(length: int, *, temperature: float, seed: int) -> tuple[str, list[float]]:
    """The model's first `length` characters and their logprobs, sums over their bytes, without the service."""
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


def check_all_formats(server: Server, fields: dict[str, Any]) -> None:
    """Compare SSE, NDJSON, plain text and the JSON object with the expected text and logprobs."""
    rule = {"temperature": fields["temperature"], "seed": fields["seed"]}
    text, logprobs = expected(fields["length"], **rule)
    response = server.generate(**fields)
    assert (response["text"], response["finish_reason"]) == (text, "length")
    np.testing.assert_allclose(response["logprobs"], logprobs, rtol=1e-6)
    prompt_chars, generated = response["usage"]["prompt_chars"], response["usage"]["generated_chars"]
    assert (prompt_chars, generated) == (len(fields["prompt"]), fields["length"])
    assert streamed(server, "text/plain", fields) == text.encode()
    events = {
        "text/event-stream": sse_data(streamed(server, "text/event-stream", fields)),
        "application/x-ndjson": streamed(server, "application/x-ndjson", fields).decode().split("\n")[:-1],
    }
    for lines in events.values():
        *characters, last = map(json.loads, lines)
        assert [(event["index"], event["text"]) for event in characters] == list(enumerate(text))
        assert [event["logprob"] for event in characters] == response["logprobs"]
        assert last["text"] == text
        assert usage_without_cache(last) == usage_without_cache(response)


def test_the_script_has_characters_of_one_to_four_bytes_and_invalid_bytes() -> None:
    text, _ = expected(30, temperature=0, seed=0)
    assert text.startswith("aé😀\n€\ufffdz\ufffd\ufffd\ufffd\ufffd\ufffdaé😀\n")


@pytest.mark.parametrize("length", range(1, 14))
def test_every_format_has_the_same_characters(byte_server: Server, length: int) -> None:
    check_all_formats(byte_server, {"prompt": "é?", "length": length, "temperature": 0, "seed": 0})


def test_32_concurrent_streams_write_the_same_as_alone(byte_server: Server) -> None:
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
        list(pool.map(lambda fields: check_all_formats(byte_server, fields), requests))


def test_another_chunk_size_writes_the_same(byte_server: Server, serve, tmp_path: Path) -> None:
    write_version(tmp_path / "models")
    fields = {"prompt": "é", "length": 300, "seed": 8}
    other = serve(tmp_path / "models", engines=1, slots=3, chunk=16)
    for name in ("text", "logprobs", "usage"):
        assert other.generate(**fields)[name] == byte_server.generate(**fields)[name]


def test_limits_and_counts_are_in_characters(byte_server: Server) -> None:
    prompt = "😀" * 19 + "ж"  # 78 bytes; ж is unknown
    usage = byte_server.generate(prompt=prompt, length=1000, seed=1)["usage"]
    assert usage == {"prompt_chars": 20, "cached_chars": 0, "unknown_chars": 1, "generated_chars": 1000}
    for field, value in (("prompt", prompt + "!"), ("length", 1001)):
        status, _, body = byte_server.request("POST", "/generate", {field: value})
        assert (status, json.loads(body)["error"]["param"]) == (422, field)


def test_stop_strings_are_matched_in_characters(byte_server: Server) -> None:
    response = byte_server.generate(length=100, temperature=0, stop=["€\ufffdz"])
    assert (response["text"], response["finish_reason"]) == ("aé😀\n", "stop")


def test_the_models_route_shows_a_byte_model(byte_server: Server) -> None:
    assert json.loads(byte_server.request("GET", "/models")[2])["models"][0]["served"] == 1
    status, _, body = byte_server.request("GET", "/models/scripted/1")
    manifest = json.loads(body)["manifest"]
    assert (status, manifest["unit"], manifest["cell"]) == (200, "byte", "gru")
    assert "vocabulary" not in manifest

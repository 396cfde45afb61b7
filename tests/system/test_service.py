"""A service that runs on gunicorn: errors, /models, probes, keys, rate limits, CORS, and starts that fail."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import ROOT
from tests.servers import Server
from tests.system.clients import metric


def error_of(response: tuple[int, Any, bytes], status: int) -> dict[str, Any]:
    """Check the status and the shape of an error response, and return its `error`."""
    assert response[0] == status, response
    body = json.loads(response[2])
    assert list(body) == ["error"]
    assert list(body["error"]) == ["message", "type", "param", "code"]
    return body["error"]


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"temperature": 5.1}, "temperature", ["less than or equal to 5", "5.1"]),
        ({"temperature": -1}, "temperature", ["greater than or equal to 0", "-1"]),
        ({"temperature": "hot"}, "temperature", ["number", "'hot'"]),
        ({"length": 0}, "length", ["greater than or equal to 1", "0"]),
        ({"length": 100_001}, "length", ["at most 100000", "100001"]),
        ({"length": 1.5}, "length", ["integer", "1.5"]),
        ({"length": True}, "length", ["integer", "True"]),
        ({"prompt": "x" * 100_001}, "prompt", ["at most 100000 characters", "100001"]),
        ({"prompt": [None]}, "prompt", ["string", "[None]"]),
        ({"top_k": -1}, "top_k", ["-1"]),
        ({"top_p": 0}, "top_p", ["greater than 0"]),
        ({"top_p": 1.01}, "top_p", ["1.01"]),
        ({"seed": 2**63}, "seed", [str(2**63 - 1), str(2**63)]),
        ({"seed": -1}, "seed", ["-1"]),
        ({"stop": "word"}, "stop", ["array", "'word'"]),
        ({"stop": ["a"] * 5}, "stop", ["at most 4"]),
        ({"stop": ["fine", ""]}, "stop.1", ["at least 1 character"]),
        ({"stop": ["x" * 257]}, "stop.0", ["at most 256"]),
        ({"stream": "yes"}, "stream", ["boolean", "'yes'"]),
        ({"temprature": 1}, "temprature", ["not a field"]),
        ({"version": 0}, "version", ["greater than or equal to 1"]),
        ([], None, ["The body", "[]"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_field_is_named_with_its_limit_and_value(server: Server, fields, param, words) -> None:
    error = error_of(server.request("POST", "/generate", fields), 422)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    for word in words:
        assert word in error["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"prompt": "\xe9"}', b"[" * 100_000, b'{"prompt": "\\ud800"}']
)
def test_a_body_that_is_not_json_is_400(server: Server, body: bytes) -> None:
    assert "not JSON" in error_of(server.request("POST", "/generate", body), 400)["message"]


def test_nan_is_not_a_temperature(server: Server) -> None:
    assert error_of(server.request("POST", "/generate", b'{"temperature": NaN}'), 422)["param"] == "temperature"


def test_other_content_types_are_415(server: Server) -> None:
    error = error_of(server.request("POST", "/generate", b"{}", {"Content-Type": "text/plain"}), 415)
    assert "application/json" in error["message"]
    assert "text/plain" in error["message"]


def test_a_body_over_the_limit_is_413_and_names_it(server: Server) -> None:
    limit = 12 * 100_000 + 64 * 1024
    error = error_of(server.request("POST", "/generate", b" " * (limit + 1)), 413)
    assert f"{limit:,}" in error["message"]
    assert f"{limit + 1:,}" in error["message"]
    assert server.request("POST", "/generate", b'{"length": 1}' + b" " * (limit - 13))[0] == 200


def chunked(server: Server, chunks: bytes) -> tuple[int, Any, bytes]:
    """The response to a request whose body is these chunks."""
    connection = server.connect()
    connection.putrequest("POST", "/generate")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    with suppress(OSError):  # the server may refuse before it has read them all
        connection.send(chunks)
    response = connection.getresponse()
    answer = response.status, response.headers, response.read()
    connection.close()
    return answer


@pytest.mark.parametrize(
    "chunks",
    [b"-1\r\n{}\r\n0\r\n\r\n", b"0x2\r\n{}\r\n0\r\n\r\n", b"0_2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}no line end"],
)
def test_malformed_chunks_are_an_invalid_request(server: Server, chunks: bytes) -> None:
    assert error_of(chunked(server, chunks), 400)["type"] == "invalid_request_error"
    assert "Traceback" not in server.log()


def test_a_chunked_body_has_the_same_limit(server: Server) -> None:
    limit = 12 * 100_000 + 64 * 1024
    good = b'{"length": 1}'
    body = good + b" " * (limit - len(good))
    for extra, status in ((b"", 200), (b" ", 413), (b" " * limit, 413)):
        answer = chunked(server, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body + extra), body + extra))
        if status == 200:
            assert answer[0] == 200
        else:
            assert f"{limit:,}" in error_of(answer, status)["message"]


def test_unknown_paths_and_methods_are_json_errors(server: Server) -> None:
    error_of(server.request("GET", "/unknown"), 404)
    response = server.request("GET", "/generate")
    error_of(response, 405)
    assert "POST" in response[1]["Allow"]


@pytest.mark.parametrize(
    ("fields", "param"), [({"model": "other"}, "model"), ({"model": "../tiny"}, "model"), ({"version": 9}, "version")]
)
def test_an_unknown_model_or_version_is_404(server: Server, fields, param) -> None:
    assert error_of(server.request("POST", "/generate", fields), 404)["param"] == param


def test_the_models_route_shows_versions_manifest_and_history(server: Server) -> None:
    def get(path: str) -> Any:
        status, _, body = server.request("GET", path)
        assert status == 200
        return json.loads(body)

    summary = {"name": "tiny", "served": 1, "versions": [{"version": 1, "loaded": True, "refused": None}]}
    assert get("/models") == {"default": "tiny", "models": [summary]}
    assert get("/models/tiny") == summary
    version = get("/models/tiny/1")
    assert version["manifest"]["cell"] == "lstm"
    assert "vocabulary" not in version["manifest"]
    assert [line["epoch"] for line in version["history"]] == [1, 2, 3, 4]
    for path in ("/models/other", "/models/tiny/2", "/models/other/1", "/models/%2e%2e/1"):
        error_of(server.request("GET", path), 404)


def test_probes(server: Server) -> None:
    assert json.loads(server.request("GET", "/livez")[2]) == {"status": "alive"}
    ready = json.loads(server.request("GET", "/readyz")[2])
    assert ready == {"status": "ready", "model": "tiny", "version": 1, "refused": []}


RATE = 5


@pytest.fixture(scope="module")
def guarded(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with keys, an hourly rate limit of `RATE` and one allowed origin. Each test uses keys of its own."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("first-key\r\n# a comment\r\nsecond-key\r\nthird-key\r\na\r\nb\r\n", encoding="utf-16")
    started = Server(
        tiny / "models", engines=1, api_keys_file=keys, rate_limit=f"{RATE}/hour", cors_origins="https://a.org"
    )
    yield started
    started.stop()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_with_keys_a_request_needs_one(guarded: Server) -> None:
    assert guarded.request("GET", "/readyz")[0] == 200
    for headers in ({}, bearer("wrong"), {"Authorization": "Basic first-key"}):
        response = guarded.request("GET", "/models", headers=headers)
        error = error_of(response, 401)
        assert error["type"] == "authentication_error"
        assert "first-key" not in error["message"]
        assert response[1]["WWW-Authenticate"].startswith('Bearer realm="charloom"')
    assert guarded.request("GET", "/models", headers=bearer("first-key"))[0] == 200


def test_each_key_has_its_rate_limit_and_probes_have_none(guarded: Server) -> None:
    rejected = metric(guarded, "charloom_rejected_total", reason="rate_limit")
    statuses = [guarded.request("GET", "/models", headers=bearer("a"))[0] for _ in range(RATE)]
    assert statuses == [200] * RATE
    response = guarded.request("GET", "/models", headers=bearer("a"))
    assert error_of(response, 429)["code"] == "rate_limit_exceeded"
    assert 0 < int(response[1]["Retry-After"]) <= 3600
    assert guarded.request("GET", "/models", headers=bearer("b"))[0] == 200
    for _ in range(RATE + 1):
        assert guarded.request("GET", "/livez")[0] == 200
        assert metric(guarded, "charloom_rejected_total", reason="rate_limit") == rejected + 1


def test_metrics_are_prometheus_text_and_need_no_key(guarded: Server) -> None:
    status, headers, body = guarded.request("GET", "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert {"charloom_streams_running", "charloom_draining"} <= {
        family.name for family in text_string_to_metric_families(body.decode())
    }


def test_pages_of_an_allowed_origin_may_generate(guarded: Server) -> None:
    preflight = {"Origin": "https://a.org", "Access-Control-Request-Method": "POST"}
    status, headers, body = guarded.request("OPTIONS", "/generate", headers=preflight)
    assert (status, body, headers["Access-Control-Allow-Origin"]) == (204, b"", "https://a.org")
    origin = {"Origin": "https://a.org"} | bearer("second-key")
    status, headers, body = guarded.request("POST", "/generate", {"length": 3}, origin)
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "https://a.org")
    assert b'"finish_reason": "length"' in body


@pytest.mark.slow
def test_behind_trusted_proxies_the_client_is_the_forwarded_address(serve, tiny: Path) -> None:
    server = serve(tiny / "models", engines=1, trusted_proxies=1, rate_limit="1/hour")

    def ask(forwarded: str) -> int:
        return server.request("GET", "/models", headers={"X-Forwarded-For": forwarded})[0]

    assert [ask("192.0.2.1"), ask("192.0.2.1"), ask("192.0.2.2")] == [200, 429, 200]
    assert ask("192.0.2.3, 192.0.2.1") == 429  # the proxy's entry is the last; the client wrote the others
    distrustful = serve(tiny / "models", engines=1, rate_limit="1/hour")
    headers = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in range(2)]
    assert [distrustful.request("GET", "/models", headers=sent)[0] for sent in headers] == [200, 429]


def test_an_empty_store_is_503_until_a_model_is_published(serve, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    server = serve(tmp_path / "models", engines=1)
    assert "no model" in error_of(server.request("GET", "/readyz"), 503)["message"]
    assert "no model" in error_of(server.request("POST", "/generate", {}), 503)["message"]
    assert json.loads(server.request("GET", "/models")[2]) == {"default": None, "models": []}
    shutil.copytree(tiny / "models/tiny", tmp_path / "models/.tiny")
    (tmp_path / "models/.tiny").rename(tmp_path / "models/tiny")
    assert server.generate(length=1)["version"] == 1


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run gunicorn with these variables until it exits."""
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", "--config", "service/gunicorn.conf.py"],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_missing_store_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    result = start(CHARLOOM_MODELS=str(tmp_path / "absent"))
    assert result.returncode != 0
    assert result.stderr.strip().splitlines()[-1].startswith("Charloom cannot start: CHARLOOM_MODELS names")
    assert "Traceback" not in result.stderr


def test_a_port_in_use_stops_the_start_with_one_sentence(tiny: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = start(CHARLOOM_MODELS=str(tiny / "models"), PORT=port)
    assert result.returncode != 0
    assert f"port {port} cannot be used" in result.stderr.strip().splitlines()[-1]

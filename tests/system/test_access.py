"""Keys in the wrong place, model names that leave the store, and refused streams, through raw sockets."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server
from tests.system.clients import log_record, metric, read_to_end

KEY = "real-secret-key"
JSON = "Content-Type: application/json"
BEARER = f"Authorization: Bearer {KEY}"


@pytest.fixture(scope="module")
def guarded(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY)
    started = Server(tiny / "models", engines=1, api_keys_file=keys, rate_limit="1000/hour")
    yield started
    started.stop()


def ask(server: Server, line: str, *headers: str, body: str = "") -> tuple[int, str, dict[str, Any]]:
    """Send the bytes of one request; status, head and body of the response."""
    lines = [f"{line} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}", *headers]
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall("\r\n".join([*lines, "", body]).encode("latin-1"))
        head, _, content = read_to_end(client).partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), json.loads(content)


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/generate", [], "{}"),
        ("/generate", ["Authorization: Bearer wrong-key"], "{}"),
        (f"/generate?api_key={KEY}&access_token={KEY}&key={KEY}", [], "{}"),
        ("/generate", [], json.dumps({"api_key": KEY, "Authorization": f"Bearer {KEY}"})),
        ("/generate", [f"Cookie: Authorization=Bearer {KEY}; api_key={KEY}"], "{}"),
        ("/generate", [f"X-Api-Key: {KEY}", f"Api-Key: {KEY}", f"Proxy-Authorization: Bearer {KEY}"], "{}"),
        ("/generate", [f"Authorization: Basic {KEY}"], "{}"),
        ("/generate", [f"Authorization: {KEY}"], "{}"),
        ("/generate", [BEARER, "Authorization: Bearer wrong-key"], "{}"),
        ("/generate", [f"{BEARER}\0"], "{}"),
        (f"/{KEY}", [], "{}"),
    ],
    ids=["none", "wrong", "query", "body", "cookie", "other header", "basic", "bare", "two", "NUL", "path"],
)
def test_a_key_counts_only_in_its_header_and_is_quoted_nowhere(
    guarded: Server, path: str, headers: list[str], body: str
) -> None:
    status, head, content = ask(guarded, f"POST {path}", JSON, *headers, body=body)
    assert status == (400 if "\0" in "".join(headers) else 401)
    assert list(content["error"]) == ["message", "type", "param", "code"]
    assert KEY not in head + json.dumps(content)
    if path != f"/{KEY}":  # a path is logged
        assert KEY not in guarded.log()


def test_errors_after_a_valid_key_do_not_quote_it(guarded: Server) -> None:
    body = json.dumps({"api_key": KEY})
    for line, status in (("POST /generate", 422), (f"GET /models?key={KEY}", 200), (f"PUT /models?key={KEY}", 405)):
        found, head, content = ask(guarded, line, JSON, BEARER, f"X-Request-Id: quoted-{status}", body=body)
        assert found == status
        assert KEY not in head + json.dumps(content)
        assert KEY not in json.dumps(log_record(guarded, f"quoted-{status}"))


@pytest.mark.parametrize(
    "line",
    [
        *("GET /models", "GET /", "POST /generate", "OPTIONS /generate", "DELETE /models/tiny", "GET /openapi.json"),
        *("GET /absent", "GET /livez/", "GET /models/../livez", "GET /livez%2f..%2fmodels"),
    ],
)
def test_all_but_the_probes_needs_a_key(guarded: Server, line: str) -> None:
    assert ask(guarded, line, JSON)[0] == 401
    for probe in ("/livez", "/readyz"):
        assert ask(guarded, f"GET {probe}")[0] == 200


NAMES = {
    "up": "..%2f",
    "up and into": "..%2ftiny",
    "up twice": "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "up as it is": "../../etc/passwd",
    "backslash": "..%5c..%5ctiny",
    "encoded twice": "%252e%252e%252ftiny",
    "overlong": "%c0%ae%c0%ae%c0%aftiny",
    "absolute": "%2fetc%2fpasswd",
    "absolute as it is": "/etc/passwd",
    "NUL": "tiny%00",
    "NUL first": "%00",
    "line feed": "tiny%0a",
    "hidden": ".tiny",
    "a dot": "%2e",
    "upper case": "TINY",
    "10 kB": "a" * 10_000,
    "10 kB of dots": "..%2f" * 2000,
    "not UTF-8": "%ff%fe",
    "surrogate": "%ed%a0%80",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("path", ["/models/{}", "/models/{}/1", "/v1/models/{}", "/v1/models/{}@1"])
def test_a_name_in_a_path_never_leaves_the_store(server: Server, path: str, name: str) -> None:
    status, _, content = ask(server, f"GET {path.format(name)}")
    assert status == 404
    assert len(content["error"]["message"]) < 500


@pytest.mark.parametrize(
    "name",
    [
        "../tiny",
        "..",
        "/etc/passwd",
        "tiny\0",
        "\0",
        "tiny/1",
        "tiny/../tiny",
        ".",
        "a" * 10_000,
        "tiny\n",
        "\u202e",
        "é",
    ],
    ids=lambda name: ascii(name)[:20],
)
def test_a_name_in_a_body_never_leaves_the_store(server: Server, name: str) -> None:
    status, _, content = ask(server, "POST /generate", JSON, body=json.dumps({"model": name, "length": 1}))
    assert (status, content["error"]["param"]) == (404, "model")
    assert len(content["error"]["message"]) < 500


def test_a_stream_that_the_limit_refuses_costs_no_engine_work(serve, tiny: Path) -> None:
    limited = serve(tiny / "models", engines=1, rate_limit="1/hour")
    work = ("charloom_prompt_chars_total", "charloom_generated_chars_total", "charloom_call_seconds_count")
    body = json.dumps({"prompt": "a" * 1000, "length": 10, "stream": False})
    assert ask(limited, "POST /generate", JSON, body=body)[0] == 200
    before = [metric(limited, name) for name in work]
    for _ in range(5):
        status, head, _ = ask(limited, "POST /generate", JSON, body=body)
        assert status == 429
        for name in ("Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"):
            assert f"\r\n{name}: " in head
    assert [metric(limited, name) for name in work] == before


def test_a_full_queue_answers_with_the_headers_of_the_limit_too(serve, tiny: Path) -> None:
    full = serve(tiny / "models", engines=1, slots=1, queue=0, rate_limit="1000/hour", max_length=10**8)
    body = json.dumps({"length": 10**8})
    head = f"POST /generate HTTP/1.1\r\nHost: x\r\n{JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", full.port), timeout=60) as endless:
        endless.sendall((head + body).encode())
        assert endless.recv(12) == b"HTTP/1.1 200"
        status, answer, content = ask(full, "POST /generate", JSON, body=body)
    assert (status, content["error"]["code"]) == (429, "queue_full")
    assert "\r\nRetry-After: 1\r\n" in answer
    assert "\r\nRateLimit-Remaining: 998\r\n" in answer

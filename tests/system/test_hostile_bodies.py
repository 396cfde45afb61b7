"""Bodies that no client should send: raw bytes, nested and huge JSON, every Unicode plane, bodies of 100 MB."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from service.http.openapi_operations import OPERATIONS
from tests.documented import Document
from tests.servers import Server
from tests.system.clients import read_to_end

PATHS = [operation.path for operation in OPERATIONS if operation.body]
JSON = {"Content-Type": "application/json"}
HUGE = 100_000_000
REPRODUCIBLE = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=40,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
PLANES = [chr(first) + chr(first + 0xFFFF) for first in range(0, 0x110000, 0x10000)]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
NAMES = sorted({name for operation in OPERATIONS if operation.body for name in operation.body.model_fields})
# Short texts, so that the responses are.
BODIES = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), VALUES, max_size=4)


@pytest.fixture(scope="module")
def small(tiny: Path) -> Iterator[Server]:
    """A service that generates short texts only."""
    started = Server(tiny / "models", engines=1, slots=4, queue=8, max_length=50)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def document(small: Server) -> Document:
    return Document(json.loads(small.request("GET", "/openapi.json")[2]))


@pytest.fixture
def send(small: Server, document: Document) -> Iterator[Any]:
    """A function that sends a body on a kept connection, and checks that the response is as documented."""
    with closing(small.connect()) as connection:

        def post(path: str, body: bytes, headers: dict[str, str] = JSON) -> tuple[int, bytes]:
            with suppress(BrokenPipeError, ConnectionResetError):  # a body that is too long is not read to its end
                connection.request("POST", path, body, headers)
            response = connection.getresponse()
            content = response.read()
            document.check("POST", path, response.status, response.headers, content)
            assert response.status < 500, content
            return response.status, content

        yield post
    assert "Traceback" not in small.log()


def code_of(content: bytes) -> str:
    """The code of an error."""
    return str(json.loads(content)["error"]["code"])


@REPRODUCIBLE
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=200))
@example(path="/generate", body=b"")
@example(path="/generate", body=b"\xef\xbb\xbf{}")
@example(path="/generate", body="{}".encode("utf-16"))
@example(path="/score", body=b'{"text": "\xff"}')
@example(path="/score", body=b'{"text": "\xed\xa0\x80"}')  # half a surrogate pair, in bytes
@example(path="/score", body=b'{"text": "\x00"}')
@example(path="/generate", body=b'{"temperature": NaN}')
@example(path="/generate", body=b'{"temperature": -Infinity}')
@example(path="/generate", body=b"{} {}")
@example(path="/generate", body=b"[" * 1000)
def test_raw_bytes(send, path: str, body: bytes) -> None:
    status, _ = send(path, body)
    assert status in (400, 422)


@REPRODUCIBLE
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=50), media_type=st.sampled_from(["text/plain", "x", ""]))
def test_other_content_types(send, path: str, body: bytes, media_type: str) -> None:
    assert send(path, body, {"Content-Type": media_type})[0] == 415


@REPRODUCIBLE
@given(path=st.sampled_from(PATHS), value=VALUES)
def test_any_json_value(send, path: str, value: Any) -> None:
    send(path, json.dumps(value).encode())


@REPRODUCIBLE
@given(path=st.sampled_from(PATHS), fields=BODIES)
def test_known_and_unknown_fields_with_any_value(send, path: str, fields: dict[str, Any]) -> None:
    send(path, json.dumps(fields).encode())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("opening", ["[", '{"a":', '{"text": ["', '{"prompt": [['])
def test_deep_nesting(send, path: str, opening: str) -> None:
    body = (opening * 100_000).encode()
    status, content = send(path, body)
    assert (status, code_of(content)) in ((400, "invalid_json"), (413, "body_too_large"))


def test_a_number_of_ten_megabytes(send) -> None:
    digits = b"9" * 10_000_000
    for number in (digits, b"-" + digits, b"0." + digits, b"1e" + digits):
        status, content = send("/score", b'{"text": "a", "version": %s}' % number)
        assert status in (400, 422)
        assert len(content) < 1000


def test_a_hundred_thousand_fields_and_a_name_of_a_megabyte(send) -> None:
    many = json.dumps({str(number): number for number in range(100_000)}).encode()
    for body in (many, b'{"%s": 1}' % (b"x" * 1_000_000), b'{"text": "a", "logprobs": "%s"}' % (b"x" * 1_000_000)):
        status, content = send("/score", body)
        assert (status, code_of(content)) == (422, "invalid_field")
        assert len(content) < 1000


@pytest.mark.parametrize("characters", PLANES, ids=lambda text: f"plane {ord(text[0]) >> 16}")
@pytest.mark.parametrize("escapes", [True, False])
def test_every_plane(send, characters: str, escapes: bool) -> None:
    def posted(path: str, **fields: Any) -> dict[str, Any]:
        status, content = send(path, json.dumps(fields, ensure_ascii=escapes).encode())
        assert status == 200
        return dict(json.loads(content))

    assert posted("/tokenize", content=characters)["tokens"] == [0, 0]
    assert posted("/score", text=characters)["unknown_chars"] == 2
    assert posted("/generate", prompt=characters, length=1, stream=False)["usage"]["unknown_chars"] == 2
    assert posted("/v1/completions", prompt=characters, max_tokens=1)["usage"]["prompt_tokens"] == 2
    inspected = posted("/inspect", text=characters)["characters"]
    assert "".join(character["text"] for character in inspected) == characters
    assert posted("/generate", length=1, stop=[characters], stream=False)["finish_reason"] == "length"


@REPRODUCIBLE
@given(text=st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=50))
def test_any_text_is_scored_and_inspected_character_by_character(send, text: str) -> None:
    status, content = send("/inspect", json.dumps({"text": text}).encode())
    assert status == 200
    assert json.loads(send("/score", json.dumps({"text": text}).encode())[1])["chars"] == len(
        json.loads(content)["characters"]
    )


@pytest.mark.parametrize("escape", [r"\ud800", r"\udfff", r"\udc00\ud800", r"a\ud800b"])
@pytest.mark.parametrize("path", PATHS)
def test_half_a_surrogate_pair_is_not_json(send, path: str, escape: str) -> None:
    for field in ("text", "prompt", "content", "model", "user", escape):
        status, content = send(path, f'{{"{field}": "{escape}"}}'.encode())
        assert (status, code_of(content)) == (400, "invalid_json")


@pytest.mark.parametrize("name", ["\0", "a\0b", "\x7f", "\u2028", "..", "../tiny", "/etc/passwd", "x" * 10_000])
def test_a_hostile_name_of_a_model_is_404(send, name: str) -> None:
    for path in PATHS:
        fields = {"model": name} | ({"text": "a"} if path in ("/score", "/inspect", "/neurons") else {})
        status, content = send(path, json.dumps(fields).encode())
        assert (status, code_of(content)) == (404, "model_not_found")
        assert len(content) < 1000


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("framing", [f"Content-Length: {HUGE}", "Transfer-Encoding: chunked"])
def test_a_body_of_100_mb_is_413_and_is_not_read(small: Server, document: Document, path: str, framing: str) -> None:
    limit = 12 * (1_000_000 if path == "/score" else 100_000) + 64 * 1024
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
    chunk = b" " * 60_000 if "Length" in framing else b"%x\r\n" % 60_000 + b" " * 60_000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", small.port), timeout=60) as client:
        client.sendall(head.encode())
        if "Length" in framing:
            received = read_to_end(client)  # before a byte of the body is sent
        sent = 0
        with suppress(ConnectionError):
            while sent < HUGE:
                sent += client.send(chunk)
    if "Length" in framing:
        lines, _, content = received.partition(b"\r\n\r\n")
        status, *fields = lines.decode().split("\r\n")
        assert status.startswith("HTTP/1.1 413 ")
        document.check("POST", path, 413, dict(field.split(": ", 1) for field in fields), content)
        limit = 0
    # The buffers of the kernel, of both sides, take some megabytes more.
    assert sent < limit + 10_000_000

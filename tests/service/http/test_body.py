"""A body that cannot be read, or a field that is wrong, is one short sentence."""

import io
import json

import pytest
from flask import Flask
from flask.testing import FlaskClient


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
        (json.dumps({"prompt": "x" * 100_001}), "prompt", "at most 100000 characters, not 100001"),
        (json.dumps({"prompt": "\U0001d160" * 33_334}), "prompt", "at most 100000 characters, not 100002"),  # in NFC
        (json.dumps({"length": 100_001}), "length", "at most 100000, not 100001"),
        (json.dumps({"stop": ["a"] * 5}), "stop", "stop should have at most 4 items, not 5."),
        (
            json.dumps({"logit_bias": dict.fromkeys(map(chr, range(300, 1400)), 1)}),
            "logit_bias",
            "1024 items, not more.",
        ),
        (json.dumps({"stop": ["x" * 257]}), "stop.0", "stop.0 should have at most 256 characters, not "),
        (json.dumps(dict.fromkeys(range(9999), 0)), None, "9,999 fields"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_invalid_value_is_refused_with_a_short_message(
    client: FlaskClient, body: str, param: str | None, words: str
) -> None:
    answer = client.post("/generate", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["error"]["param"]) == (422, param)
    assert words in answer.json["error"]["message"]
    assert len(answer.data) < 600


def test_a_body_that_is_not_json_is_400(client: FlaskClient) -> None:
    answer = client.post("/generate", data=b'{"prompt": ', content_type="application/json")
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("content_type", ["text/" + "x" * 100_000, None])
def test_another_content_type_is_415_and_is_shortened(client: FlaskClient, content_type: str | None) -> None:
    answer = client.post("/generate", data=b"{}", content_type=content_type)
    assert (answer.status_code, answer.json["error"]["param"]) == (415, "Content-Type")
    assert ("x" * 20 if content_type else "absent") in answer.text
    assert len(answer.data) < 600


class UnreadableBody(io.BytesIO):
    """A body that the server fails to read."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read(self, size=-1):
        raise self._error

    readinto = read


@pytest.mark.parametrize("error", [RuntimeError("bad chunk"), TimeoutError(), BlockingIOError(), EOFError()], ids=repr)
@pytest.mark.parametrize("headers", [{}, {"CONTENT_LENGTH": "9"}], ids=["chunked", "length"])
def test_a_body_that_the_server_cannot_read_is_400(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, error: Exception, headers: dict[str, str]
) -> None:
    environ = {"wsgi.input": UnreadableBody(error), "wsgi.input_terminated": True, **headers}
    answer = client.post("/generate", content_type="application/json", environ_overrides=environ)
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "unreadable_body")
    assert not [record for record in caplog.records if record.exc_info]
    assert "bad chunk" not in caplog.text + answer.text


@pytest.mark.parametrize(("spaces_beyond", "status"), [(-2, 200), (-1, 413), (2 * 1_265_536, 413)])
def test_a_body_without_a_length_has_the_same_limit(app: Flask, spaces_beyond: int, status: int) -> None:
    limit = 12 * 100_000 + 64 * 1024
    body = io.BytesIO(b"{}" + b" " * (limit + spaces_beyond))
    environ = {"wsgi.input": body, "wsgi.input_terminated": True}
    answer = app.test_client().post("/generate", content_type="application/json", environ_overrides=environ)
    assert answer.status_code == status
    if status == 413:
        assert f"{limit:,} bytes" in answer.json["error"]["message"]
    answer.close()


def test_a_body_that_announces_too_many_bytes_is_413(client: FlaskClient) -> None:
    answer = client.post("/generate", data=b" " * 2_000_000, content_type="application/json")
    assert (answer.status_code, answer.json["error"]["code"]) == (413, "body_too_large")
    assert "it has 2,000,000 bytes" in answer.json["error"]["message"]

"""The examples of the OpenAPI document, run against a service, and the page that renders it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documented import JSON, NDJSON, SSE, Document
from tests.servers import Server


@pytest.fixture(scope="module")
def guarded(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with a key and a rate limit."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("alpha")
    started = Server(tiny / "models", engines=1, api_keys_file=keys, rate_limit="1000/minute")
    yield started
    started.stop()


@pytest.fixture(scope="module")
def document(guarded: Server) -> Document:
    status, headers, body = guarded.request("GET", "/openapi.json", headers=KEY)
    assert status == 200
    found = Document(json.loads(body))
    found.check("GET", "/openapi.json", status, headers, body)
    return found


KEY = {"Authorization": "Bearer alpha"}


def filled(path: str, operation: dict) -> str:
    """The path with the examples of its parameters; the model of the tests replaces that of the document."""
    for parameter in operation.get("parameters", []):
        path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
    return path.replace("shakespeare", "tiny")


def test_every_example_is_answered_as_documented(guarded: Server, document: Document) -> None:
    answered = set()
    for method, path, operation in document.operations():
        for body in document.bodies(operation).values() or [None]:
            content = None if body is None else json.dumps(body).replace("shakespeare", "tiny").encode()
            for accept in ("*/*", JSON, NDJSON, SSE, "text/plain"):
                sent = filled(path, operation)
                status, headers, received = guarded.request(method, sent, content, KEY | {"Accept": accept})
                assert status == 200, received
                document.check(method, path, status, headers, received)
                answered.add((path, headers["Content-Type"].partition(";")[0]))
    documented = {
        (path, media_type)
        for _, path, operation in document.operations()
        for media_type in operation["responses"]["200"]["content"]
    }
    assert answered == documented, "every media type is the answer to an example"


def test_without_a_key_every_operation_but_the_probes_is_401(guarded: Server, document: Document) -> None:
    for method, path, operation in document.operations():
        content = {} if method == "POST" else None
        status, headers, body = guarded.request(method, filled(path, operation), content)
        assert status == (200 if path in ("/livez", "/readyz", "/metrics") else 401)
        document.check(method, path, status, headers, body)


def test_errors_are_as_documented(guarded: Server, document: Document) -> None:
    text = KEY | {"Content-Type": "text/plain"}
    for method, path, body, headers, expected in (
        ("POST", "/generate", b"{", KEY, 400),
        ("POST", "/generate", {"model": "none"}, KEY, 404),
        ("POST", "/generate", b"{}", text, 415),
        ("POST", "/generate", {"length": 0}, KEY, 422),
        ("GET", "/models", None, KEY | {"X-Long": "x" * 9000}, 431),
        ("GET", "/docs", None, KEY | {"If-None-Match": "*"}, 304),
    ):
        status, received, content = guarded.request(method, path, body, headers)
        assert status == expected, content
        document.check(method, path, status, received, content)


def test_the_page_and_its_style_sheets_are_served(guarded: Server) -> None:
    page = guarded.request("GET", "/docs", headers=KEY)[2].decode()
    assert "Authorization: Bearer $CHARLOOM_KEY" in page
    sheets = re.findall(r'<link rel="stylesheet" href="([^"]*)">', page)
    assert sheets == ["static/base.css", "static/docs.css"]
    for sheet in sheets:
        assert guarded.request("GET", f"/{sheet}")[0] == 200

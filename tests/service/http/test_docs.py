"""The files of the description: what a client receives, and when it receives nothing because it has it."""

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.config import Config
from service.http import docs
from service.http.openapi import document


@pytest.fixture
def client() -> FlaskClient:
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(docs.blueprint(Config(max_length=77)))
    return app.test_client()


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/openapi.json", "application/json"),
        ("/docs", "text/html; charset=utf-8"),
        ("/docs.css", "text/css; charset=utf-8"),
    ],
)
def test_a_client_that_has_the_content_is_answered_with_304(client: FlaskClient, path: str, content_type: str) -> None:
    first = client.get(path)
    assert (first.status_code, first.content_type) == (200, content_type)
    assert first.headers["Cache-Control"] == "no-cache"
    tag = first.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert client.get(path, headers={"If-None-Match": '"other"'}).data == first.data
    assert client.head(path).headers["Content-Length"] == str(len(first.data))


def test_the_document_is_that_of_the_configuration(client: FlaskClient) -> None:
    assert client.get("/openapi.json").json == document(Config(max_length=77))


def test_the_page_may_load_the_style_sheet_only(client: FlaskClient) -> None:
    policy = client.get("/docs").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "style-src 'self'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy


def test_the_files_name_no_other_host() -> None:
    folder = Path(docs.__file__).parent
    for path in (*folder.glob("static/*"), *folder.glob("templates/*")):
        assert "//" not in path.read_text(encoding="utf-8").replace("http://localhost", ""), path

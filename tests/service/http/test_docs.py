"""The files of the description: what a client receives, and when it receives nothing because it has it."""

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.config import Config
from service.http import access, docs, errors
from service.http.openapi import document


@pytest.fixture
def client() -> FlaskClient:
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(docs.blueprint(Config(max_length=77)))
    return app.test_client()


@pytest.fixture
def closed(tmp_path: Path) -> FlaskClient:
    """A service that requires a key."""
    (tmp_path / "keys").write_text("alpha\n")
    config = Config(api_keys_file=tmp_path / "keys")
    app = Flask(__name__, static_folder=None)
    errors.register(app)
    access.name_requests(app)
    access.register(app, config)
    app.register_blueprint(docs.blueprint(config))
    return app.test_client()


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/openapi.json", "application/json"),
        ("/docs", "text/html; charset=utf-8"),
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


@pytest.mark.parametrize(
    ("path", "accept", "media_type"),
    [
        ("/docs", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("/docs", "*/*", "application/json"),
        ("/docs", None, "application/json"),
        ("/openapi.json", "text/html", "application/json"),
    ],
)
def test_a_browser_without_a_key_gets_a_page_that_asks_for_one(
    closed: FlaskClient, path: str, accept: str | None, media_type: str
) -> None:
    response = closed.get(path, headers={"Accept": accept} if accept else {})
    assert (response.status_code, response.mimetype) == (401, media_type)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    if media_type == "text/html":
        assert "/generate" not in response.text
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert "/generate" in closed.get("/docs", headers={"Accept": "text/html", "Authorization": "Bearer alpha"}).text


def test_the_files_name_no_other_host() -> None:
    folder = Path(docs.__file__).parent
    for path in (*folder.glob("static/*.css"), *folder.glob("templates/*")):
        assert "//" not in path.read_text(encoding="utf-8").replace("http://localhost", ""), path

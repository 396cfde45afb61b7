import gzip

import pytest
from flask import Blueprint, Flask
from flask.testing import FlaskClient

from service.http.files import add_file

CONTENT = b"a text " * 100


@pytest.fixture
def client() -> FlaskClient:
    routes = Blueprint("files", __name__)
    add_file(routes, "/", CONTENT, "text/html", policy="default-src 'none'")
    add_file(routes, "/a/b.css", b"b {}", "text/css")
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(routes)
    return app.test_client()


def test_a_file_has_its_type_and_its_policy(client: FlaskClient) -> None:
    response = client.get("/")
    assert (response.data, response.mimetype) == (CONTENT, "text/html")
    assert response.headers["Content-Security-Policy"] == "default-src 'none'"
    assert "Content-Security-Policy" not in client.get("/a/b.css").headers


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [("gzip, deflate, br", True), ("*", True), ("gzip;q=0", False), ("br", False), ("", False)],
)
def test_a_file_is_compressed_where_the_client_accepts_it(
    client: FlaskClient, accepted: str, is_compressed: bool
) -> None:
    response = client.get("/", headers={"Accept-Encoding": accepted})
    assert response.headers.get("Content-Encoding") == ("gzip" if is_compressed else None)
    assert (gzip.decompress(response.data) if is_compressed else response.data) == CONTENT
    assert response.headers["Vary"] == "Accept-Encoding"


def test_each_encoding_has_its_tag_and_a_client_that_has_it_gets_304(client: FlaskClient) -> None:
    tags = set()
    for encoding in ("gzip", "identity"):
        tag = client.get("/", headers={"Accept-Encoding": encoding}).headers["ETag"]
        again = client.get("/", headers={"Accept-Encoding": encoding, "If-None-Match": tag})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
        assert "Content-Encoding" not in again.headers
        tags.add(tag)
    assert len(tags) == 2

import gzip
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.config import Config
from service.http import access, errors, page, security


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    (tmp_path / "keys").write_text("alpha\n")
    app = Flask(__name__, static_folder=None)
    errors.register(app)
    security.register(app)
    access.name_requests(app)
    access.register(app, Config(models=tmp_path, api_keys_file=tmp_path / "keys", rate_limit="1/hour"))
    app.register_blueprint(page.blueprint())
    return app.test_client()


def test_every_file_is_served_with_its_type_and_the_policy(client: FlaskClient) -> None:
    for path in page.FILES.iterdir():
        response = client.get("/" if path.name == "index.html" else f"/static/{path.name}")
        assert response.status_code == 200
        assert response.data == path.read_bytes()
        assert response.mimetype == page.TYPES[path.suffix]
        assert response.headers["Content-Security-Policy"] == page.POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_the_policy_allows_no_inline_code_and_no_other_host() -> None:
    sources = {source for rule in page.POLICY.split("; ") for source in rule.split()[1:]}
    assert sources == {"'none'", "'self'", "'script'"}


def test_a_browser_that_has_the_file_gets_304(client: FlaskClient) -> None:
    first = client.get("/static/app.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get("/static/app.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    changed = client.get("/static/app.js", headers={"If-None-Match": '"other"'})
    assert (changed.status_code, changed.data) == (200, first.data)


def test_the_page_needs_no_key_and_does_not_count_towards_the_rate_limit(client: FlaskClient) -> None:
    assert [client.get("/").status_code for _ in range(3)] == [200] * 3
    assert client.get("/static/none.js").status_code == 401  # another path needs the key


def test_a_file_outside_of_the_folder_is_not_served(client: FlaskClient) -> None:
    for path in ("/static/../page.py", "/static/..%2fpage.py", "/static/"):
        response = client.get(path, headers={"Authorization": "Bearer alpha"})
        assert response.status_code in (404, 429)


def test_the_files_together_are_small() -> None:
    files = [path for path in page.FILES.iterdir() if path.stem != "docs"]  # which only /docs loads
    assert sum(path.stat().st_size for path in files) < 158_000
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < 60_000, "as a browser receives them"

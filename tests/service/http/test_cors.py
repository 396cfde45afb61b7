from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.config import Config
from service.http import access, cors, errors

PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}

RATE_LIMIT = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


def client_of(tmp_path: Path, origins: str | None) -> FlaskClient:
    """An application with one route, the key `alpha` and a limit of one request."""
    (tmp_path / "keys").write_text("alpha")
    config = Config(api_keys_file=tmp_path / "keys", rate_limit="1/hour", cors_origins=origins)
    app = Flask(__name__)
    errors.register(app)
    access.name_requests(app)
    cors.register(app, config.origins())
    access.register(app, config)
    app.add_url_rule("/ask", view_func=lambda: "answer", methods=["GET", "POST"])
    return app.test_client()


def test_a_preflight_of_an_allowed_origin_needs_no_key_and_costs_no_rate(tmp_path: Path) -> None:
    client = client_of(tmp_path, "https://a.org, https://b.org:8443")
    for _ in range(3):
        answer = client.options("/ask", headers=PREFLIGHT | {"Origin": "https://b.org:8443"})
        assert (answer.status_code, answer.data) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://b.org:8443"
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
        assert {"Authorization", "*"} <= set(allowed), "clients of other APIs send headers of their own"
        assert answer.headers["Vary"] == "Origin"
        assert int(answer.headers["Access-Control-Max-Age"]) > 0
        assert answer.headers["X-Request-Id"]
    headers = {"Origin": "https://a.org", "Authorization": "Bearer alpha"}
    for status in (200, 429):
        answer = client.post("/ask", headers=headers)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, "https://a.org")
        exposed = answer.headers["Access-Control-Expose-Headers"]
        for name in ("X-Request-Id", "X-Model", "X-Model-Version", "X-Seed", "Retry-After", *RATE_LIMIT):
            assert name in exposed


@pytest.mark.parametrize("origin", ["https://evil.org", "https://a.org.evil.org", "http://a.org", "null"])
def test_another_origin_is_not_allowed(tmp_path: Path, origin: str) -> None:
    answer = client_of(tmp_path, "https://a.org").options("/ask", headers=PREFLIGHT | {"Origin": origin})
    assert answer.status_code == 401
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
    assert answer.headers["Vary"] == "Origin"


def test_every_origin_may_be_allowed(tmp_path: Path) -> None:
    headers = {"Origin": "https://any.org", "Authorization": "Bearer alpha"}
    answer = client_of(tmp_path, "*").get("/ask", headers=headers)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert "Vary" not in answer.headers


def test_without_the_setting_there_is_no_cors(tmp_path: Path) -> None:
    headers = PREFLIGHT | {"Origin": "https://a.org", "Authorization": "Bearer alpha"}
    answer = client_of(tmp_path, None).options("/ask", headers=headers)
    assert answer.status_code == 200
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]

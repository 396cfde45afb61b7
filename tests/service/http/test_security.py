import pytest
from flask import Flask, Response

from service.http import errors, security


@pytest.mark.parametrize("path", ["/text", "/stream", "/broken", "/missing"])
def test_every_response_has_the_security_headers(path: str) -> None:
    app = Flask(__name__)
    errors.register(app)
    security.register(app)
    app.add_url_rule("/text", "text", lambda: "answer")
    app.add_url_rule("/stream", "stream", lambda: Response(iter(["a"]), content_type="text/event-stream"))
    app.add_url_rule("/broken", "broken", lambda: 1 / 0)
    headers = app.test_client().get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_a_page_keeps_its_own_policy() -> None:
    app = Flask(__name__)
    security.register(app)
    app.add_url_rule("/", "page", lambda: Response("page", headers={"Content-Security-Policy": "default-src 'self'"}))
    headers = app.test_client().get("/").headers
    assert headers.getlist("Content-Security-Policy") == ["default-src 'self'"]
    assert headers["X-Content-Type-Options"] == "nosniff"

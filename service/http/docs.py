"""GET /openapi.json, /docs and /docs.css: the description of the API, for programs and for people.

The files are made when the service starts, and clients that have them are answered with 304.
"""

import hashlib
import json
from pathlib import Path

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from service.config import Config
from service.http import docs_page, openapi

STYLE = Path(__file__).parent / "static" / "docs.css"
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def blueprint(config: Config) -> Blueprint:
    """The description of a service with this configuration."""
    routes = Blueprint("docs", __name__)
    document = openapi.document(config)
    address = f"http://localhost:{config.port}"
    _add(routes, "/openapi.json", json.dumps(document, separators=(",", ":")), "application/json")
    _add(routes, "/docs", docs_page.render(document, address), "text/html", policy=POLICY)
    _add(routes, "/docs.css", STYLE.read_text(encoding="utf-8"), "text/css")
    return routes


def _add(routes: Blueprint, path: str, text: str, media_type: str, *, policy: str | None = None) -> None:
    """Add a route that answers with this text."""
    content = text.encode()
    tag = hashlib.sha256(content).hexdigest()[:32]

    def answer() -> ResponseReturnValue:
        is_known = request.if_none_match.contains_weak(tag)
        response = Response(b"" if is_known else content, 304 if is_known else 200, mimetype=media_type)
        response.set_etag(tag)
        response.headers["Cache-Control"] = "no-cache"  # a client asks each time whether its copy is current
        if policy:
            response.headers["Content-Security-Policy"] = policy
        return response

    routes.add_url_rule(path, path.strip("/").replace(".", "_"), answer)

"""GET / and /static/…: the playground page, and the files that it loads.

The files are read when the service starts. A browser asks each time whether its copy is current and gets 304 if it is.
Knows nothing of the API that the page uses.
"""

import hashlib
from pathlib import Path

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

NAME = "page"  # of the blueprint: its routes need no key (see `access`)
FILES = Path(__file__).parent / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


def blueprint() -> Blueprint:
    """Answer with the page and its files."""
    routes = Blueprint(NAME, __name__)
    for path in sorted(FILES.iterdir()):
        _add(routes, "/" if path.name == "index.html" else f"/static/{path.name}", path)
    return routes


def _add(routes: Blueprint, url: str, path: Path) -> None:
    """Add a route that answers with a file."""
    content = path.read_bytes()
    tag = hashlib.sha256(content).hexdigest()[:32]

    def answer() -> ResponseReturnValue:
        is_known = request.if_none_match.contains_weak(tag)
        response = Response(b"" if is_known else content, 304 if is_known else 200, mimetype=TYPES[path.suffix])
        response.set_etag(tag)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Content-Security-Policy"] = POLICY
        return response

    routes.add_url_rule(url, path.name.replace(".", "_"), answer)

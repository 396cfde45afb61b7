"""GET / and /static/…: the playground page, and the files that it and /docs load.

The files are read when the service starts. Knows nothing of the API that the page uses.
"""

from pathlib import Path

from flask import Blueprint

from service.http.files import add_file

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
        url = "/" if path.name == "index.html" else f"/static/{path.name}"
        add_file(routes, url, path.read_bytes(), TYPES[path.suffix], policy=POLICY)
    return routes

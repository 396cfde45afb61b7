"""GET /openapi.json and /docs: the description of the API, for programs and for people.

Both are made when the service starts. A browser sends no key when it opens a page: where the service has keys, /docs is
then 401 with a page that asks for one.
"""

import json

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from service.config import Config
from service.http import docs_page, openapi
from service.http.errors import Unauthorized, response_of
from service.http.files import add_file

PAGE = "/docs"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
KEY_POLICY = f"{POLICY}; script-src 'self'; connect-src 'self'"


def blueprint(config: Config) -> Blueprint:
    """The description of a service with this configuration."""
    routes = Blueprint("docs", __name__)
    document = openapi.document(config)
    address = f"http://localhost:{config.port}"
    add_file(routes, "/openapi.json", json.dumps(document, separators=(",", ":")).encode(), "application/json")
    add_file(routes, PAGE, docs_page.render(document, address).encode(), "text/html", policy=POLICY)
    key_page = docs_page.render_key_page(document)

    @routes.errorhandler(Unauthorized)
    def ask_for_key(error: Unauthorized) -> ResponseReturnValue:
        response = response_of(error)
        preferred = request.accept_mimetypes.best_match(("application/json", "text/html"))
        if request.path == PAGE and preferred == "text/html":
            response.set_data(key_page)
            response.mimetype = "text/html"
            response.headers["Content-Security-Policy"] = KEY_POLICY
        return response

    return routes

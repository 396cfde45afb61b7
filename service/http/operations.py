"""GET /livez and /readyz: for whoever keeps the service running."""

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from service.artifact.store import NoModel, NotFound, Store
from service.http.errors import Unavailable


def blueprint(store: Store) -> Blueprint:
    """Answer for the process and for `store`."""
    routes = Blueprint("operations", __name__)

    @routes.get("/livez")
    def livez() -> ResponseReturnValue:
        return jsonify({"status": "alive"})

    @routes.get("/readyz")
    def readyz() -> ResponseReturnValue:
        try:
            manifest = store.get().manifest
        except (NoModel, NotFound) as error:
            raise Unavailable(str(error)) from error
        body = {
            "status": "ready",
            "model": manifest.name,
            "version": manifest.version,
            "refused": store.refusals(),
        }
        return jsonify(body)

    return routes

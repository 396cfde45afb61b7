"""GET /livez, /readyz and /metrics: for whoever keeps the service running."""

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.artifact.store import NoModel, Store
from service.drain import Drain
from service.http.errors import Draining, Unavailable


def blueprint(store: Store, drain: Drain) -> Blueprint:
    """Answer for the process, for `store` and for whether the service is to stop."""
    routes = Blueprint("operations", __name__)

    @routes.get("/livez")
    def livez() -> ResponseReturnValue:
        return jsonify({"status": "alive"})

    @routes.get("/readyz")
    def readyz() -> ResponseReturnValue:
        if drain.has_begun:
            raise Draining
        try:
            manifest = store.ready().manifest
        except NoModel as error:
            raise Unavailable(str(error)) from error
        body = {
            "status": "ready",
            "model": manifest.name,
            "version": manifest.version,
            "refused": store.refusals(),
        }
        return jsonify(body)

    @routes.get("/metrics")
    def metrics() -> ResponseReturnValue:
        return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)

    return routes

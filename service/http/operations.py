"""GET /livez, /readyz and /metrics, for orchestrators and Prometheus."""

from collections.abc import Callable

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.http.errors import Draining, Unavailable
from service.server.shutdown import Drain
from service.store.store import NoModel, Store


def blueprint(store: Store, drain: Drain, faults: Callable[[], list[str]]) -> Blueprint:
    """Ready while `store` has a model, `drain` has not begun, and there are no `faults` of threads."""
    routes = Blueprint("operations", __name__)

    @routes.get("/livez")
    def livez() -> ResponseReturnValue:
        return jsonify({"status": "alive"})

    @routes.get("/readyz")
    def readyz() -> ResponseReturnValue:
        if drain.has_begun:
            raise Draining
        if sentences := faults():
            raise Unavailable(" ".join(sentences))
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

"""GET /models, /models/<name>, /models/<name>/<version>: what there is to generate with."""

from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from service.artifact.store import NoModel, NotFound, Store


def blueprint(store: Store) -> Blueprint:
    """Show the models of `store`."""
    routes = Blueprint("catalogue", __name__)

    @routes.get("/models")
    def models() -> ResponseReturnValue:
        try:
            default = store.default_name()
        except NoModel:
            default = None
        return jsonify({"default": default, "models": [_summary(store, name) for name in store.names()]})

    @routes.get("/models/<name>")
    def model(name: str) -> ResponseReturnValue:
        return jsonify(_summary(store, name))

    @routes.get("/models/<name>/<int:version>")
    def model_version(name: str, version: int) -> ResponseReturnValue:
        manifest = dict(store.get(name, version).manifest.fields)
        del manifest["vocabulary"]
        return jsonify({"manifest": manifest, "history": store.history(name, version)})

    return routes


def _summary(store: Store, name: str) -> dict[str, Any]:
    versions = store.versions(name)
    try:
        served = store.get(name).manifest.version
    except NotFound:
        served = None
    return {"name": name, "served": served, "versions": [vars(version) for version in versions]}

"""GET /models, /models/<name>, /models/<name>/<version>: the models of the store, with manifests and histories."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from service.store.store import NoModel, NotFound, Store


def blueprint(store: Store) -> Blueprint:
    """List the models of `store`."""
    routes = Blueprint("models", __name__)

    @routes.get("/models")
    def models() -> ResponseReturnValue:
        try:
            default = store.default_name()
        except NoModel:
            default = None
        return jsonify({"default": default, "models": list(_summaries(store))})

    @routes.get("/models/<name>")
    def model(name: str) -> ResponseReturnValue:
        return jsonify(_summary(store, name))

    @routes.get("/models/<name>/<int:version>")
    def model_version(name: str, version: int) -> ResponseReturnValue:
        manifest = {field: value for field, value in store.manifest(name, version).items() if field != "vocabulary"}
        history, history_error = store.history(name, version)
        return jsonify({"manifest": manifest, "history": history, "history_error": history_error})

    return routes


def _summaries(store: Store) -> Iterator[dict[str, Any]]:
    for name in store.names():
        with suppress(NotFound, NoModel):  # it was removed after it was listed, or cannot be read
            yield _summary(store, name)


def _summary(store: Store, name: str) -> dict[str, Any]:
    versions = [vars(version) for version in store.versions(name)]
    return {"name": name, "served": store.served(name), "versions": versions}

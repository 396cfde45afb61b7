"""GET /v1/models and /v1/models/<id>: the models of the store as OpenAI's clients list them."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from service.http import model_ids
from service.http.errors import Missing
from service.store.store import NoModel, NotFound, Store


def blueprint(store: Store) -> Blueprint:
    """List the models of `store`."""
    routes = Blueprint("openai_models", __name__)

    @routes.get("/v1/models")
    def models() -> ResponseReturnValue:
        return jsonify({"object": "list", "data": list(_valid_models(store))})

    @routes.get("/v1/models/<model_id>")
    def model(model_id: str) -> ResponseReturnValue:
        return jsonify(_model(store, model_id))

    return routes


def _valid_models(store: Store) -> Iterator[dict[str, Any]]:
    for name in store.names():
        with suppress(Missing, NoModel):  # it was removed after it was listed, or has no valid version
            yield _model(store, name)


def _model(store: Store, model_id: str) -> dict[str, Any]:
    """A model by id; one without a version is the version that serves.

    Raises:
        Missing: there is no such model or version, or it is not valid.
    """
    name, version = model_ids.parse(model_id)
    try:
        served = store.served(name) if version is None else version
        if served is None:
            raise Missing(f"Model {name!r} has no valid version.", "model")
        created_s = _created_s(store.manifest(name, served))
    except NotFound as error:
        raise Missing(str(error), "model") from error
    return {"id": model_id, "object": "model", "created": created_s, "owned_by": "charloom"}


def _created_s(manifest: dict[str, Any]) -> int:
    """The creation time in seconds since 1970; 0 if the manifest has none."""
    try:
        return int(datetime.fromisoformat(manifest["created"]).timestamp())
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0

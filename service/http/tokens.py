"""POST /tokenize and /detokenize: text <-> ids of symbols, with llama.cpp's names of the fields."""

from collections.abc import Sequence

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from service.config import Config
from service.http.body import read_body
from service.http.errors import InvalidField, shorten
from service.http.schemas import DetokenizeBody, TokenizeBody
from service.model.model import Model
from service.store.store import Store


def blueprint(config: Config, store: Store) -> Blueprint:
    """Convert by the vocabularies of the models of `store`."""
    routes = Blueprint("tokens", __name__)

    @routes.post("/tokenize")
    def tokenize() -> ResponseReturnValue:
        body = read_body(TokenizeBody, request, config)
        codec = store.get(body.model, body.version).text
        return jsonify({"tokens": codec.encode(codec.normalize(body.content)).tolist()})

    @routes.post("/detokenize")
    def detokenize() -> ResponseReturnValue:
        body = read_body(DetokenizeBody, request, config)
        return jsonify({"content": text_of(body.tokens, store.get(body.model, body.version), "tokens")})

    return routes


def text_of(ids: Sequence[int], model: Model, param: str) -> str:
    """The text of ids from a request's field.

    Raises:
        InvalidField: the model has no such id.
    """
    symbols = model.manifest.symbols
    for id_ in ids:
        if not 0 <= id_ < symbols:
            given = shorten(str(id_))
            raise InvalidField(f"{param} should have ids from 0 to {symbols - 1} only, not {given}.", param)
    return model.text.decode(ids)

"""Ids of models as OpenAI's clients use them: a model's name, or its name and a version as `name@version`."""

import re

from service.http.errors import Missing, shorten
from service.model.model import Model
from service.store.store import NotFound, Store

MODEL_ID = re.compile(r"([^@]+)(?:@([1-9][0-9]{0,18}))?")


def parse(model_id: str) -> tuple[str, int | None]:
    """The name of a model, and the number of the version if the id has one.

    Raises:
        Missing: it is not an id of a model.
    """
    match = MODEL_ID.fullmatch(model_id)
    if not match:
        raise Missing(f"There is no model {shorten(model_id)!r}.", "model")
    return match[1], int(match[2]) if match[2] else None


def load(store: Store, model_id: str | None) -> Model:
    """The model for a request that names it by id; None: the default model.

    Raises:
        Missing: there is no such model or version.
        NoModel: the request names none, and no model has a valid version.
    """
    try:
        return store.get(*parse(model_id)) if model_id is not None else store.get()
    except NotFound as error:
        raise Missing(str(error), "model") from error

"""The objects that answer POST /inspect and /neurons: a text is read in the thread of its request. Knows no route."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from flask import g, request

from service.analysis.inspect import InspectedCharacters, Unit, inspect
from service.analysis.neurons import FeatureTracking, Ranking
from service.engine.generation import Status
from service.http.delivery import while_connected
from service.http.errors import InvalidField
from service.http.schemas import InspectBody, NeuronsBody, length_of
from service.http.scoring import decimals
from service.model.manifest import Manifest
from service.model.model import Model

MAX_ACTIVATIONS = 1_000_000  # in one response
ACTIVATION_DECIMALS = 6
SCORE_DECIMALS = 6

Part = TypeVar("Part")


def inspected(model: Model, text: str, units: list[Unit], timeout_s: float) -> dict[str, Any]:
    """The guesses before each character, and the activations of `units` after it.

    Raises:
        ClientGone: the client has disconnected.
        MissingFunction: the version was published without `inspect`.
    """
    characters: list[dict[str, Any]] = []
    status = _read_to_end(inspect(model, text, units), lambda part: characters.extend(_characters(part)), timeout_s)
    return {"characters": characters, "units": units} | _common(model, status, len(text))


def ranked(model: Model, body: NeuronsBody, timeout_s: float) -> dict[str, Any]:
    """The units that track each feature of the text.

    Raises:
        ClientGone: the client has disconnected.
        MissingFunction: the version was published without `inspect`.
    """
    tracking = FeatureTracking(model, body.text)
    status = _read_to_end(tracking.read(), lambda chars: None, timeout_s)
    rankings = [_ranking(ranking) for ranking in tracking.rankings(body.limit)]
    fields = {"features": rankings, "constant": tracking.constant_features(), "chars": tracking.chars}
    return fields | _common(model, status, len(body.text))


def units_of(body: InspectBody, manifest: Manifest) -> list[Unit]:
    """The units whose activations a request asks for: those it names, or all of a layer.

    Raises:
        InvalidField: one does not exist, or the response would have too many activations.
    """
    if body.layer is not None and body.units:
        raise InvalidField("layer and units were both given: give one of them.", "layer")
    if body.layer is not None and body.layer >= manifest.layers:
        raise _beyond("layer", manifest.layers, body.layer)
    for index, (layer, unit) in enumerate(body.units):
        if layer >= manifest.layers:
            raise _beyond(f"units.{index}.0", manifest.layers, layer)
        if unit >= manifest.units:
            raise _beyond(f"units.{index}.1", manifest.units, unit)
    units = body.units if body.layer is None else [(body.layer, unit) for unit in range(manifest.units)]
    if (activations := length_of(body.text) * len(units)) > MAX_ACTIVATIONS:
        size = f"{length_of(body.text):,} characters and {len(units):,} units have {activations:,}"
        raise InvalidField(f"A response has at most {MAX_ACTIVATIONS:,} activations: {size}.", "text")
    return units


def _beyond(field: str, count: int, value: int) -> InvalidField:
    return InvalidField(f"{field} should be less than {count}, which this model has, not {value}.", field)


def _read_to_end(parts: Iterator[Part], use: Callable[[Part], object], timeout_s: float) -> Status:
    """Use each part of a text, until its end or the deadline.

    Raises:
        ClientGone: the client has disconnected.
    """
    deadline_s = time.monotonic() + timeout_s
    for part in while_connected(parts, request.environ):
        use(part)
        if time.monotonic() > deadline_s:
            return Status.TIMEOUT
    return Status.LENGTH


def _common(model: Model, status: Status, text_chars: int) -> dict[str, Any]:
    """The fields of both responses, which are logged too."""
    version = model.manifest.model_version
    common = {"finish_reason": status, "model": version.name, "version": version.number}
    g.setdefault("logged", {}).update(common | {"text_chars": text_chars})
    return common


def _ranking(ranking: Ranking) -> dict[str, Any]:
    units = [asdict(unit) | {"score": round(unit.score, SCORE_DECIMALS)} for unit in ranking.units]
    return asdict(ranking) | {"max_score": round(ranking.max_score, SCORE_DECIMALS), "units": units}


def _characters(found: InspectedCharacters) -> Iterator[dict[str, Any]]:
    activations = found.activations.astype(np.float64).round(ACTIVATION_DECIMALS).tolist()
    guess_logprobs = decimals(found.guess_logprobs)
    for index, (text, logprob) in enumerate(zip(found.text, decimals(found.logprobs), strict=True)):
        guesses = list(zip(found.guesses[index], guess_logprobs[index], strict=True))
        yield {"text": text, "logprob": logprob, "top": guesses, "activations": activations[index]}

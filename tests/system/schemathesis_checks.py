"""A check for schemathesis: a body that its schema accepts is refused only for a reason that no schema can have."""

import os
from collections.abc import Callable
from typing import Any

import schemathesis

LAYERS, UNITS, SYMBOLS, MAX_CHOICES, MAX_LENGTH, MAX_PROMPT = (
    int(number) for number in os.environ["SCHEMATHESIS_LIMITS"].split(",")
)


def detokenize(body: dict[str, Any]) -> set[str]:
    """The fields of a valid body that the model refuses."""
    return {"tokens"} if has_unknown(body.get("tokens") or []) else set()


def inspect(body: dict[str, Any]) -> set[str]:
    """The fields of a valid body that the model refuses."""
    layer, units = body.get("layer"), body.get("units") or []
    refused = {"layer"} if layer is not None and (layer >= LAYERS or units) else set()
    refused |= {f"units.{index}.0" for index, (of, _) in enumerate(units) if of >= LAYERS}
    return refused | {f"units.{index}.1" for index, (_, unit) in enumerate(units) if unit >= UNITS}


def completions(body: dict[str, Any]) -> set[str]:
    """The fields of a valid body that the model refuses, or that contradict each other."""
    given = {name: value for name, value in body.items() if value is not None}
    n = given.get("n", 1)
    candidates, stream = given.get("best_of", n), given.get("stream", False)
    prompt = given.get("prompt", "")
    prompts = prompt if isinstance(prompt, list) and not isinstance(prompt[0], int) else [prompt]
    choices = len(prompts) * candidates
    refused = {"stream_options"} if "stream_options" in given and not stream else set()
    if candidates < n or (stream and candidates > n):
        refused.add("best_of")
    if choices > MAX_CHOICES:
        refused |= {"prompt", "best_of", "n"}
    if given.get("max_tokens", 16) * choices > MAX_LENGTH:
        refused.add("max_tokens")
    if any(isinstance(ids, list) and has_unknown(ids) for ids in prompts):
        refused.add("prompt")
    if sum(map(len, prompts)) * candidates > MAX_PROMPT:
        refused.add("prompt")
    ids = {str(id_) for id_ in range(1, SYMBOLS)}
    return refused | ({"logit_bias"} if given.get("logit_bias", {}).keys() - ids else set())


REFUSED: dict[str, Callable[[dict[str, Any]], set[str]]] = {
    "/detokenize": detokenize,
    "/inspect": inspect,
    "/v1/completions": completions,
}


def has_fraction(value: Any) -> bool:
    """Whether an integer is written as 1.0."""
    if isinstance(value, list):
        return any(map(has_fraction, value))
    return isinstance(value, float) and value.is_integer()


def has_unknown(ids: list[int]) -> bool:
    """Whether the model lacks one of the ids."""
    return not all(0 <= id_ < SYMBOLS for id_ in ids)


@schemathesis.check
def refused_for_a_reason(ctx: schemathesis.CheckContext, response: schemathesis.Response, case: Any) -> None:
    """Check a refusal of a valid body."""
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if is_valid and response.status_code in (400, 422):
        param = response.json()["error"]["param"]
        refused = REFUSED.get(case.operation.path, lambda body: set())
        is_known = has_fraction(case.body.get(param.partition(".")[0])) or param in refused(case.body)
        assert is_known, f"{param} is refused in the valid body {case.body}"

"""A check for schemathesis: a body that its schema accepts is refused only for a reason that no schema can have."""

import json
import os
import unicodedata
from collections.abc import Callable
from typing import Any

import schemathesis

LIMITS = json.loads(os.environ["SCHEMATHESIS_LIMITS"])
VOCABULARY: list[str] = LIMITS["vocabulary"]  # of a model of characters, in NFC
SYMBOLS = len(VOCABULARY)


def generate(body: dict[str, Any]) -> set[str]:
    """The fields of a valid body that the model refuses."""
    keys = [unicodedata.normalize("NFC", key) for key in body.get("logit_bias") or {}]
    return {"logit_bias"} if len(keys) != len(set(keys) & set(VOCABULARY)) else set()


def detokenize(body: dict[str, Any]) -> set[str]:
    """The fields of a valid body that the model refuses."""
    return {"tokens"} if has_unknown(body.get("tokens") or []) else set()


def inspect(body: dict[str, Any]) -> set[str]:
    """The fields of a valid body that the model refuses."""
    layer, units = body.get("layer"), body.get("units") or []
    refused = {"layer"} if layer is not None and (layer >= LIMITS["layers"] or units) else set()
    refused |= {f"units.{index}.0" for index, (of, _) in enumerate(units) if of >= LIMITS["layers"]}
    return refused | {f"units.{index}.1" for index, (_, unit) in enumerate(units) if unit >= LIMITS["units"]}


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
    if choices > LIMITS["choices"]:
        refused |= {"prompt", "best_of", "n"}
    if given.get("max_tokens", 16) * choices > LIMITS["max_length"]:
        refused.add("max_tokens")
    if any(isinstance(ids, list) and has_unknown(ids) for ids in prompts):
        refused.add("prompt")
    if sum(map(len, prompts)) * candidates > LIMITS["max_prompt"]:
        refused.add("prompt")
    ids = {str(id_) for id_ in range(1, SYMBOLS)}
    return refused | ({"logit_bias"} if given.get("logit_bias", {}).keys() - ids else set())


REFUSED: dict[str, Callable[[dict[str, Any]], set[str]]] = {
    "/generate": generate,
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

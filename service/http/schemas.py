"""Request bodies and their limits. Knows no route, model or engine."""

import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError, PydanticUseDefault
from pydantic_core.core_schema import CoreSchema, with_info_after_validator_function

from service.config import Config
from service.http.errors import shorten
from service.model.guesses import MAX_GUESSES

MIN_TOP_P = 1.2e-38  # above the smallest normal float32; the model would take a smaller number for 0
MAX_INTEGER = 2**63 - 1
MAX_NAME_CHARS = 84  # of a model, with its version
MAX_INSPECTED_CHARS = 10_000
MAX_BIASES = 1024  # of a request
MAX_RANKING_CHARS = 100_000
MAX_RANKED_UNITS = 1000


def length_of(text: str) -> int:
    """The characters of a text as it is or composed (NFC), whichever are more: a model may read either.

    Some characters have no composed form of one character, and become up to three.
    """
    return len(text) if text.isascii() else max(len(text), len(unicodedata.normalize("NFC", text)))


@dataclass(frozen=True)
class Limit:
    """The greatest number of a field, or the most characters of its text; and the fewest characters.

    `at_most` is a number or the name of a setting. The schema has the name as `x-setting`, because it does not know the
    configuration.
    """

    at_most: int | str
    at_least: int = 0

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return with_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        described = handler(schema)
        if self.at_least:
            described["minLength"] = self.at_least
        if isinstance(self.at_most, str):
            return described | {"x-setting": self.at_most}
        return described | {"maxLength" if described["type"] == "string" else "maximum": self.at_most}

    def _check(self, value: int | str, info: ValidationInfo) -> int | str:
        limit = self.at_most if isinstance(self.at_most, int) else getattr(_config(info), self.at_most)
        size = length_of(value) if isinstance(value, str) else value
        if size < self.at_least:
            raise _out_of_range("should have at least {limit} character, not {value}", self.at_least, size)
        if size > limit and isinstance(value, str):
            raise _out_of_range("should have at most {limit} characters, not {value}", limit, size)
        if size > limit:
            raise _out_of_range("should be at most {limit}, not {value}", limit, size)
        return value


def _is_a_float32(top_p: float) -> float:
    if top_p < MIN_TOP_P:
        raise _out_of_range("should be at least {limit}, not {value}", MIN_TOP_P, top_p)
    return top_p


Seed = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Bias = Annotated[float, Field(ge=-100, le=100)]
StopString = Annotated[str, StringConstraints(min_length=1, max_length=256)]
# For long lists: an error for each wrong item would hold the interpreter's lock and take hundreds of megabytes.
FAIL_FAST = Field(fail_fast=True)
Index = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Unit = Annotated[tuple[Index, Index], Field(strict=False)]  # strict, it would refuse JSON's arrays
"""A layer, and the index of a unit in it."""
TopP = Annotated[
    float,
    Field(gt=0, le=1),
    AfterValidator(_is_a_float32),
    WithJsonSchema({"type": "number", "minimum": MIN_TOP_P, "maximum": 1}),
]


class RequestBody(BaseModel):
    """The fields of a request. Null means the default of a field that has one."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _null_is_the_default(cls, value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if value is None and not cls.model_fields[str(info.field_name)].is_required():
            raise PydanticUseDefault
        return validate(value)

    @field_validator("model", check_fields=False)
    @classmethod
    def _shown(cls, name: str | None) -> str | None:
        # No model has a longer name, and the message of the 404 shows it.
        return name and shorten(name, MAX_NAME_CHARS)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        described = handler.resolve_ref_schema(handler(schema))
        optional = described["properties"].keys() - set(described.get("required", ()))
        described["properties"] |= {name: _or_null(described["properties"][name]) for name in optional}
        return described


class ModelBody(RequestBody):
    """The fields that select a model."""

    model: str | None = None
    """The name of a model; by default the service's default model."""
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    """A version of the model; by default the newest valid one."""


class GenerateBody(ModelBody):
    """The body of POST /generate."""

    prompt: Annotated[str, Limit("max_prompt")] = ""
    """The text to continue. A character outside the model's vocabulary is read as "unknown"."""
    length: Annotated[int, Field(ge=1), Limit("max_length")] = 500
    """The characters to generate, at most."""
    temperature: Annotated[float, Field(ge=0, le=5)] = 1.0
    """The divisor of the logits; 0 always takes the most likely character."""
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Sample from the `top_k` most likely symbols only; 0: from all."""
    top_p: TopP = 1.0
    """Sample from the fewest symbols whose probability reaches `top_p`; 1: from all."""
    seed: Seed | None = None
    """The same request with the same seed gives the same text; by default a random seed, which the response has."""
    stop: Annotated[list[StopString], Field(max_length=4)] = []
    """The text ends before the first of these strings."""
    logit_bias: Annotated[dict[str, Bias], Field(max_length=MAX_BIASES)] = {}
    """Numbers that are added to the logits, by character."""
    top_guesses: Annotated[int, Field(ge=0, le=MAX_GUESSES)] = 0
    """Return so many of the most likely characters before each character, with their logprobs."""
    stream: bool = True
    """Send each character as it is generated; `false`: one JSON object at the end."""


class TokenizeBody(ModelBody):
    """The body of POST /tokenize, with llama.cpp's name of the text."""

    content: Annotated[str, Limit("max_prompt")] = ""
    """The text."""


class DetokenizeBody(ModelBody):
    """The body of POST /detokenize."""

    tokens: Annotated[list[int], FAIL_FAST] = []
    """Ids of symbols, from 0 to the number of the model's symbols - 1."""


class ScoreBody(ModelBody):
    """The body of POST /score."""

    text: Annotated[str, Limit("max_text", at_least=1)]
    """The text to score."""
    logprobs: bool = False
    """Return the logprob of each character too; for more than 100,000 characters only as NDJSON."""


class InspectBody(ModelBody):
    """The body of POST /inspect."""

    text: Annotated[str, Limit(MAX_INSPECTED_CHARS, at_least=1)]
    """The text to read."""
    units: list[Unit] = []
    """The units whose activations are returned, each as `[layer, unit]`; both are counted from 0."""
    layer: Index | None = None
    """All units of this layer; not together with `units`."""


class NeuronsBody(ModelBody):
    """The body of POST /neurons."""

    text: Annotated[str, Limit(MAX_RANKING_CHARS, at_least=1)]
    """The text to read."""
    limit: Annotated[int, Field(ge=1, le=MAX_RANKED_UNITS)] = 5
    """The units to return for each feature."""


def max_body_bytes(config: Config) -> int:
    """The most bytes of a body whose longest text is a prompt."""
    return body_bytes(config.max_prompt)


def max_body_bytes_of(config: Config) -> dict[bytes, int]:
    """The most bytes of a body whose longest text is another, by the path of its route."""
    chars = {b"/score": config.max_text, b"/inspect": MAX_INSPECTED_CHARS, b"/neurons": MAX_RANKING_CHARS}
    return {path: body_bytes(count) for path, count in chars.items()}


def body_bytes(chars: int) -> int:
    """The longest text with every character escaped (at most twelve bytes each), and 64 KiB for the other fields."""
    return 12 * chars + 64 * 1024


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that accepts null too."""
    if "anyOf" in schema:
        forms = schema["anyOf"]
        return schema if {"type": "null"} in forms else schema | {"anyOf": [*forms, {"type": "null"}]}
    return schema | {"type": [schema["type"], "null"]}


def _out_of_range(message: str, limit: float, value: float) -> PydanticCustomError:
    return PydanticCustomError("out_of_range", message, {"limit": str(limit), "value": str(value)})


def _config(info: ValidationInfo) -> Config:
    context: Any = info.context
    assert isinstance(context, Config)
    return context

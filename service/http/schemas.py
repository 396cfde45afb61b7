"""Request bodies and their limits. Knows no route, model or engine."""

import logging
from typing import Annotated, Any, TypeVar

from flask import Request
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError, PydanticUseDefault
from werkzeug.exceptions import RequestEntityTooLarge

from service.config import Config
from service.http.errors import BodyTooLarge, InvalidField, NotJson, Unreadable, WrongContentType, shorten
from service.model.guesses import MAX_GUESSES

log = logging.getLogger(__name__)

MIN_TOP_P = 1.2e-38  # above the smallest normal float32; the model would take a smaller number for 0
MAX_INTEGER = 2**63 - 1
MAX_ERRORS = 100  # describing the errors of 100,000 unknown fields would block the interpreter for half a second
MAX_NAME_CHARS = 84  # of a model, with its version
MAX_INSPECTED_CHARS = 10_000
MAX_BIASES = 1024  # of a request
MAX_RANKING_CHARS = 100_000
MAX_RANKED_UNITS = 1000

Body = TypeVar("Body", bound=BaseModel)


def _is_a_float32(top_p: float) -> float:
    if top_p < MIN_TOP_P:
        raise _out_of_range("should be at least {limit}, not {value}", MIN_TOP_P, top_p)
    return top_p


Seed = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Bias = Annotated[float, Field(ge=-100, le=100)]
StopString = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Index = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Unit = Annotated[tuple[Index, Index], Field(strict=False)]  # strict, it would refuse JSON's arrays
"""A layer, and the index of a unit in it."""
TopP = Annotated[float, Field(gt=0, le=1), AfterValidator(_is_a_float32)]


class RequestBody(BaseModel):
    """The fields of a request. Null means the default of a field that has one."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

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


class ModelBody(RequestBody):
    """The fields that select a model."""

    model: str | None = None
    version: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None


class GenerateBody(ModelBody):
    """The body of POST /generate."""

    prompt: str = ""
    length: Annotated[int, Field(ge=1)] = 500
    temperature: Annotated[float, Field(ge=0, le=5)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    top_p: TopP = 1.0
    seed: Seed | None = None
    stop: Annotated[list[StopString], Field(max_length=4)] = []
    logit_bias: Annotated[dict[str, Bias], Field(max_length=MAX_BIASES)] = {}
    top_guesses: Annotated[int, Field(ge=0, le=MAX_GUESSES)] = 0
    stream: bool = True

    @field_validator("prompt")
    @classmethod
    def _prompt_fits(cls, prompt: str, info: ValidationInfo) -> str:
        limit = _config(info).max_prompt
        if len(prompt) > limit:
            raise _out_of_range("should have at most {limit} characters, not {value}", limit, len(prompt))
        return prompt

    @field_validator("length")
    @classmethod
    def _length_fits(cls, length: int, info: ValidationInfo) -> int:
        limit = _config(info).max_length
        if length > limit:
            raise _out_of_range("should be at most {limit}, not {value}", limit, length)
        return length


class TokenizeBody(ModelBody):
    """The body of POST /tokenize, with llama.cpp's name of the text."""

    content: str = ""

    @field_validator("content")
    @classmethod
    def _content_fits(cls, content: str, info: ValidationInfo) -> str:
        limit = _config(info).max_prompt
        if len(content) > limit:
            raise _out_of_range("should have at most {limit} characters, not {value}", limit, len(content))
        return content


class DetokenizeBody(ModelBody):
    """The body of POST /detokenize."""

    tokens: list[int] = []


class ScoreBody(ModelBody):
    """The body of POST /score."""

    text: str
    logprobs: bool = False

    @field_validator("text")
    @classmethod
    def _text_fits(cls, text: str, info: ValidationInfo) -> str:
        return _text_of(text, _config(info).max_text)


class InspectBody(ModelBody):
    """The body of POST /inspect."""

    text: str
    units: list[Unit] = []
    layer: Index | None = None

    @field_validator("text")
    @classmethod
    def _text_fits(cls, text: str) -> str:
        return _text_of(text, MAX_INSPECTED_CHARS)


class NeuronsBody(ModelBody):
    """The body of POST /neurons."""

    text: str
    limit: Annotated[int, Field(ge=1, le=MAX_RANKED_UNITS)] = 5

    @field_validator("text")
    @classmethod
    def _text_fits(cls, text: str) -> str:
        return _text_of(text, MAX_RANKING_CHARS)


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


def read_body(kind: type[Body], request: Request, config: Config, *, max_bytes: int | None = None) -> Body:
    """The request's JSON body, by default of at most `max_body_bytes`.

    Raises:
        ApiError: the body is too long, incomplete or not JSON, its Content-Type is not JSON, or a field is wrong; the
            message names the first such field.
    """
    if not request.is_json:
        found = shorten(request.content_type or "absent")
        raise WrongContentType(f"Content-Type must be application/json, not {found}.", "Content-Type")
    try:
        return kind.model_validate_json(_content(request, max_bytes or max_body_bytes(config)), context=config)
    except ValidationError as error:
        if (count := error.error_count()) > MAX_ERRORS:
            raise InvalidField(f"The body has {count:,} fields or values that are unknown or invalid.") from None
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise NotJson(f"The body is not JSON: {first['ctx']['error']}.") from None
        field = shorten(".".join(str(part) for part in first["loc"]))
        raise InvalidField(_sentence(first, field), field or None) from None


def _content(request: Request, limit: int) -> bytes:
    # Flask truncates a body without Content-Length at its limit; one more byte shows that the body is longer.
    request.max_content_length = limit + 1
    try:
        content = request.get_data()
    except RequestEntityTooLarge:
        raise _too_large(request, limit) from None
    except Exception as error:  # noqa: BLE001
        # The client causes every error while reading: malformed chunks, a lost connection.
        log.info("A request's body could not be read: %s.", type(error).__name__)
        raise Unreadable("The body could not be read: it is incomplete or its chunks are malformed.") from None
    if len(content) > limit:
        raise _too_large(request, limit)
    return content


def _too_large(request: Request, limit: int) -> BodyTooLarge:
    size = f"{request.content_length:,} bytes" if request.content_length else "more"
    return BodyTooLarge(f"The body should have at most {limit:,} bytes; it has {size}.")


def _sentence(error: ErrorDetails, field: str) -> str:
    match error["type"]:
        case "extra_forbidden":
            return f"{field} is not a field of this request."
        case "missing":
            return f"{field} is required."
        case "out_of_range":
            return f"{field} {error['msg']}."
    return f"{field or 'The body'} {error['msg'].removeprefix('Input ')}, not {shorten(repr(error['input']))}."


def _text_of(text: str, limit: int) -> str:
    """A text that must have at least one character and at most `limit`."""
    if not text:
        raise _out_of_range("should have at least {limit} character, not {value}", 1, 0)
    if len(text) > limit:
        raise _out_of_range("should have at most {limit} characters, not {value}", limit, len(text))
    return text


def _out_of_range(message: str, limit: float, value: float) -> PydanticCustomError:
    return PydanticCustomError("out_of_range", message, {"limit": str(limit), "value": str(value)})


def _config(info: ValidationInfo) -> Config:
    context: Any = info.context
    assert isinstance(context, Config)
    return context

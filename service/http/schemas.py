"""Request bodies and every limit on them."""

from typing import Annotated, Any, TypeVar

from flask import Request
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from werkzeug.exceptions import RequestEntityTooLarge

from service.config import Config
from service.http.errors import BodyTooLarge, InvalidField, NotJson, WrongContentType

MAX_SHOWN_CHARS = 60  # of a value that was refused

Body = TypeVar("Body", bound=BaseModel)
StopString = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class GenerateBody(BaseModel):
    """The body of POST /generate."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    prompt: str = ""
    model: str | None = None
    version: Annotated[int, Field(ge=1)] | None = None
    length: Annotated[int, Field(ge=1)] = 500
    temperature: Annotated[float, Field(ge=0, le=5)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    stop: Annotated[list[StopString], Field(max_length=4)] = []
    stream: bool = True

    @field_validator("prompt")
    @classmethod
    def _prompt_fits(cls, prompt: str, info: ValidationInfo) -> str:
        limit = _config(info).max_prompt
        if len(prompt) > limit:
            raise _too_much("should have at most {limit} characters, not {value}", limit, len(prompt))
        return prompt

    @field_validator("length")
    @classmethod
    def _length_fits(cls, length: int, info: ValidationInfo) -> int:
        limit = _config(info).max_length
        if length > limit:
            raise _too_much("should be at most {limit}, not {value}", limit, length)
        return length


def max_body_bytes(config: Config) -> int:
    """Room for the longest prompt with every character escaped (twelve bytes at most), and for the other fields."""
    return 12 * config.max_prompt + 64 * 1024


def read_body(kind: type[Body], request: Request, config: Config) -> Body:
    """The request's JSON body.

    Raises:
        ApiError: the body is too long, not announced as JSON, not JSON, or a field is wrong; names the first one.
    """
    if not request.is_json:
        raise WrongContentType(
            f"Content-Type must be application/json, not {request.content_type or 'absent'}.", "Content-Type"
        )
    limit = max_body_bytes(config)
    try:
        content = request.get_data()
    except RequestEntityTooLarge:
        size = f"{request.content_length:,} bytes" if request.content_length else "longer"
        raise BodyTooLarge(f"The body may have at most {limit:,} bytes; this one is {size}.") from None
    try:
        return kind.model_validate_json(content, context=config)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise NotJson(f"The body is not JSON: {first['ctx']['error']}.") from None
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidField(_sentence(first, field), field or None) from None


def _sentence(error: ErrorDetails, field: str) -> str:
    match error["type"]:
        case "extra_forbidden":
            return f"{field} is not a field of this request."
        case "missing":
            return f"{field} is required."
        case "prompt_or_length":
            return f"{field} {error['msg']}."
    value = repr(error["input"])
    shown = value if len(value) <= MAX_SHOWN_CHARS else value[:MAX_SHOWN_CHARS] + "…"
    return f"{field or 'The body'} {error['msg'].removeprefix('Input ')}, not {shown}."


def _too_much(message: str, limit: int, value: int) -> PydanticCustomError:
    return PydanticCustomError("prompt_or_length", message, {"limit": limit, "value": value})


def _config(info: ValidationInfo) -> Config:
    context: Any = info.context
    assert isinstance(context, Config)
    return context

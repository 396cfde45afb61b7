"""Reads the JSON body of a request. What is wrong with it becomes one sentence, with the first field that is wrong."""

import logging
from typing import TypeVar

from flask import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import RequestEntityTooLarge

from service.config import Config
from service.http.errors import BodyTooLarge, InvalidField, NotJson, Unreadable, WrongContentType, shorten
from service.http.schemas import max_body_bytes

MAX_ERRORS = 100  # describing the errors of 100,000 unknown fields would block the interpreter for half a second

Body = TypeVar("Body", bound=BaseModel)

log = logging.getLogger(__name__)


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
        case "too_long":
            count = error["ctx"]["actual_length"] or "more"  # an object is not counted past its limit
            return f"{field} should have at most {error['ctx']['max_length']} items, not {count}."
    rule = error["msg"].partition(" ")[2]  # without Pydantic's word for the value: Input, List, String
    return f"{field or 'The body'} {rule}, not {shorten(repr(error['input']))}."

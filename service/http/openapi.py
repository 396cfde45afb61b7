"""The OpenAPI document of the service, made of the table of operations and the schemas that validate requests.

Knows no route but those of the table. The document is made once, when the service starts.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from service.config import Config, variable_of
from service.http.access import OPEN_PATHS
from service.http.openapi_operations import JSON, OPERATIONS, SSE, STREAMS, Models, Operation
from service.http.responses import ErrorBody

API_VERSION = "1"
REFERENCE = "#/components/schemas/"
DESCRIPTION = """Character-level LSTMs as an HTTP API. Every number counts characters, that is Unicode code points.

Integers are written without a fraction or an exponent: 500, not 500.0 or 5e2. `null` means the default of a field that
has one. A path with another method is 405, and every other path is 404."""

ERRORS = {
    400: "The request is not valid HTTP/1.1, its body is not JSON, or a field of OpenAI's API is not supported.",
    401: "No key, or a wrong one.",
    404: "There is no such model or version.",
    408: "The request did not arrive in time.",
    413: "The body is longer than any valid request.",
    415: "The content type is not JSON.",
    422: "A field is out of range, unknown or mistyped.",
    429: "Every slot and the queue are full, or the rate limit is reached.",
    431: "The request line or a header is too long, or there are too many headers.",
    500: "Unexpected error; the log of the service has the reason.",
    501: "The version of the model was published without a function that the request needs.",
    503: "No model is ready, or the service is stopping.",
}
OF_EVERY_OPERATION = (400, 408, 413, 429, 431, 500)
OF_A_BODY = (415, 422)

TEXT, COUNT, POSITIVE = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "integer", "minimum": 1}
HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {"description": "The id of the request: that which was sent, or a new one.", "schema": TEXT},
    "X-Model": {"description": "The model.", "schema": TEXT},
    "X-Model-Version": {"description": "Its version.", "schema": COUNT},
    "X-Seed": {"description": "The seed of the request.", "schema": COUNT},
    "ETag": {"description": "The identity of the content, for If-None-Match.", "schema": TEXT},
    "Retry-After": {"description": "Seconds to wait.", "schema": COUNT},
    "WWW-Authenticate": {"description": "The challenge.", "schema": TEXT},
    "RateLimit-Limit": {"description": "The requests that the limit allows in its window.", "schema": COUNT},
    "RateLimit-Remaining": {"description": "The requests that are allowed now.", "schema": COUNT},
    "RateLimit-Reset": {"description": "Seconds until one more request is allowed.", "schema": COUNT},
}
RATE_HEADERS = tuple(name for name in HEADERS if name.startswith("RateLimit-"))
ERROR: Models = (ErrorBody,)
HEADERS_OF_ERRORS = {401: ("WWW-Authenticate",), 429: ("Retry-After",)}


class _Schemas(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        """Names of fields need no title."""
        return False


def document(config: Config) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a service with this configuration."""
    has_keys = config.api_keys_file is not None
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})["post" if operation.body else "get"] = _operation(operation, config)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Charloom", "version": API_VERSION, "description": DESCRIPTION},
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in OPERATIONS)],
        "security": [{"key": []}] if has_keys else [{}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(config),
            "headers": {name: {"required": True, **header} for name, header in HEADERS.items()},
            "responses": {str(status): _error(status) for status in ERRORS},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation, config: Config) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.path.strip("/").translate(str.maketrans("/{}.", "____")),
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": _responses(operation, config),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.parameters:
        described["parameters"] = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": POSITIVE if isinstance(example, int) else {"type": "string", "minLength": 1},
                "example": example,
            }
            for name, example in operation.parameters.items()
        ]
    if operation.body:
        examples = {name: {"value": value} for name, value in operation.examples.items()}
        content = {JSON: {"schema": _reference(operation.body), "examples": examples}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.path in OPEN_PATHS:
        described["security"] = []
    return described


def _responses(operation: Operation, config: Config) -> dict[str, Any]:
    is_open = operation.path in OPEN_PATHS
    needs_key, has_rate = (not is_open and setting is not None for setting in (config.api_keys_file, config.rate_limit))
    success = {
        "description": "Success.",
        "headers": _headers(*operation.headers, *["ETag"] * operation.is_cached, *RATE_HEADERS * has_rate),
        "content": {media_type: _content(media_type, models) for media_type, models in operation.content.items()},
    }
    errors = {*OF_EVERY_OPERATION, *operation.errors, *(OF_A_BODY if operation.body else ()), *([401] * needs_key)}
    not_modified = {"304": {"description": "The client has this content.", "headers": _headers("ETag")}}
    return {
        "200": success,
        **(not_modified if operation.is_cached else {}),
        **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(errors)},
    }


def _error(status: int) -> dict[str, Any]:
    return {
        "description": ERRORS[status],
        "headers": _headers(*HEADERS_OF_ERRORS.get(status, ())),
        "content": {JSON: {"schema": _reference(*ERROR)}},
    }


def _content(media_type: str, models: Models) -> dict[str, Any]:
    if media_type in STREAMS:
        events = [_reference(model) for model in (*models, *ERROR)]
        return {"schema": _sse(events) if media_type == SSE else TEXT, "x-events": events}
    if models:
        return {"schema": _reference(*models)}
    return {"schema": {"type": "object"} if media_type == JSON else TEXT}


def _sse(events: list[dict[str, str]]) -> dict[str, Any]:
    """The schema of a server-sent event, in the form that OpenAPI 3.2 defines."""
    data = {"type": "string", "contentMediaType": JSON, "contentSchema": {"anyOf": events}}
    return {"type": "object", "properties": {"data": {"anyOf": [{"const": "[DONE]"}, data]}}, "required": ["data"]}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCE + model.__name__}


def _schemas(config: Config) -> dict[str, Any]:
    """The schemas of all bodies, with the configured limits in place of the names of their settings."""
    models = dict.fromkeys(model for operation in OPERATIONS for model in _models(operation))
    _, definitions = models_json_schema(
        [(model, "validation") for model in (*models, *ERROR)],
        ref_template=REFERENCE + "{model}",
        schema_generator=_Schemas,
    )
    schemas: dict[str, Any] = definitions["$defs"]
    for node in _nodes(schemas):
        if setting := node.get("x-setting"):
            node["maxLength" if "string" in node["type"] else "maximum"] = getattr(config, setting)
            node["x-setting"] = variable_of(setting)
    for schema in schemas.values():
        del schema["title"]
    return schemas


def _models(operation: Operation) -> Iterator[type[BaseModel]]:
    if operation.body:
        yield operation.body
    for models in operation.content.values():
        yield from models


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(item)

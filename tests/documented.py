"""The OpenAPI document of a running service, against which tests check real responses."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

JSON, SSE, NDJSON = "application/json", "text/event-stream", "application/x-ndjson"


class Document:
    """A parsed document."""

    def __init__(self, parsed: dict[str, Any]) -> None:
        self.parsed = parsed

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Method, path and description of each operation."""
        for path, methods in self.parsed["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def bodies(self, operation: dict[str, Any]) -> dict[str, Any]:
        """The examples of an operation's body."""
        content = operation.get("requestBody", {}).get("content", {JSON: {}})
        return {name: example["value"] for name, example in content[JSON].get("examples", {}).items()}

    def errors_of(self, schema: dict[str, Any], value: Any) -> list[str]:
        """The differences between a value and a schema of the document."""
        components = self.parsed["components"]
        validator = jsonschema_rs.Draft202012Validator(schema | {"components": components})
        return [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(value)]

    def check(self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Check a response of an operation: its status, headers, media type and content.

        Raises:
            AssertionError: it is not as documented.
        """
        response = self.resolved(self.parsed["paths"][path][method.lower()]["responses"].get(str(status), {}))
        assert response, f"{method} {path} has answered {status}, which is not documented: {body[:200]!r}"
        sent = {name.lower() for name in headers}
        missing = [name for name in response.get("headers", {}) if name.lower() not in sent]
        assert not missing, f"{method} {path} has answered {status} without {missing}"
        if status == 304:
            return
        media_type = headers["Content-Type"].partition(";")[0]
        assert media_type in response["content"], f"{method} {path} has answered with {media_type}"
        content = response["content"][media_type]
        for value in _values(media_type, body):
            schemas = content.get("x-events", [content["schema"]])
            problems = [self.errors_of(schema, value) for schema in schemas]
            assert not all(problems), f"{method} {path}: {problems}, {str(value)[:200]}"

    def resolved(self, value: dict[str, Any]) -> dict[str, Any]:
        """The object that a reference names."""
        if "$ref" not in value:
            return value
        found = self.parsed
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return found


def _values(media_type: str, body: bytes) -> list[Any]:
    """The JSON values of a response, or its text."""
    text = body.decode()
    if media_type == JSON:
        return [json.loads(text, parse_constant=_refuse)]
    if media_type == NDJSON:
        return [json.loads(line, parse_constant=_refuse) for line in text.splitlines()]
    if media_type == SSE:
        data = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
        return [json.loads(event, parse_constant=_refuse) for event in data if event != "[DONE]"]
    return [text]


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")

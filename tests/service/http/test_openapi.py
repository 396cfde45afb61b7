"""The document is valid, complete and has the configured limits."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from service.config import Config
from service.http.errors import ApiError
from service.http.openapi import ERRORS, document
from service.http.openapi_operations import OPERATIONS
from service.http.schemas import GenerateBody
from tests.documented import Document

SCHEMAS = document(Config(max_prompt=100, max_length=200, max_text=300))["components"]["schemas"]


def test_the_document_is_valid() -> None:
    assert list(OPENAPI_31_VALIDATOR.iter_errors(document(Config()))) == []


def test_every_reference_names_a_component_and_every_component_is_used() -> None:
    described = document(Config())
    found = Document(described)
    references = {value for value in _strings(described) if value.startswith("#/")}
    assert all(found.resolved({"$ref": reference}) for reference in references)
    components = described["components"]
    parts = [(kind, name) for kind in ("schemas", "responses") for name in components[kind]]
    unused = [name for kind, name in parts if f"#/components/{kind}/{name}" not in references]
    assert unused == ["401"], "which only a service with keys uses"


def _strings(value: object):
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(item)


def test_configured_limits_are_in_the_schemas() -> None:
    properties = SCHEMAS["GenerateBody"]["properties"]
    assert (properties["prompt"]["maxLength"], properties["prompt"]["x-setting"]) == (100, "CHARLOOM_MAX_PROMPT")
    assert properties["length"]["maximum"] == 200
    assert SCHEMAS["ScoreBody"]["properties"]["text"]["maxLength"] == 300
    assert SCHEMAS["CompletionBody"]["properties"]["prompt"]["anyOf"][0]["maxLength"] == 100


@pytest.mark.parametrize("operation", [it for it in OPERATIONS if it.body], ids=lambda it: it.path)
def test_every_field_is_described_and_null_is_allowed_where_there_is_a_default(operation) -> None:
    schema = document(Config())["components"]["schemas"][operation.body.__name__]
    assert schema["additionalProperties"] is False
    for name, described in schema["properties"].items():
        assert described["description"], name
        accepts_null = "null" in described.get("type", ()) or {"type": "null"} in described.get("anyOf", ())
        assert accepts_null == ("default" in described) == (name not in schema.get("required", ()))


def test_a_key_is_optional_unless_keys_are_configured(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("alpha")
    is_open, is_closed = document(Config()), document(Config(api_keys_file=tmp_path / "keys"))
    assert (is_open["security"], is_closed["security"]) == ([{}, {"key": []}], [{"key": []}])
    assert "401" not in is_open["paths"]["/generate"]["post"]["responses"]
    assert "401" in is_closed["paths"]["/docs"]["get"]["responses"]
    assert "401" not in is_closed["paths"]["/livez"]["get"]["responses"]
    assert is_closed["paths"]["/livez"]["get"]["security"] == []


def test_examples_have_the_fields_of_their_schemas(client: FlaskClient) -> None:
    found = Document(document(Config()))
    for method, path, operation in found.operations():
        for title, body in found.bodies(operation).items():
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert found.errors_of(schema, body) == [], (method, path, title)
    assert found.errors_of({"$ref": "#/components/schemas/GenerateBody"}, {"length": 0}) != []
    assert GenerateBody.__name__ in found.parsed["components"]["schemas"]


def test_every_error_of_the_application_has_a_documented_status() -> None:
    def subclasses(kind: type[ApiError]) -> set[type[ApiError]]:
        return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))

    of_the_server = {400, 408, 413, 429, 431}
    assert {kind.status for kind in subclasses(ApiError)} | of_the_server == set(ERRORS)

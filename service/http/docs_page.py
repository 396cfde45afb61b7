"""The OpenAPI document -> the page /docs, without scripts, and the page that asks for its key.

Knows the keywords that the document uses, and no route.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

TEMPLATES = Path(__file__).parent / "templates"

Json = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """A field of a body, as a row shows it."""

    name: str
    """With the names of the objects that it is in: `usage.prompt_chars`."""
    type: str
    default: str | None
    limits: str
    description: str
    is_required: bool


def render(document: Json, address: str) -> str:
    """The page; its examples send requests to `address`."""
    operations = [
        _operation(document, path, method, operation, address)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    groups = {tag["name"]: [it for it in operations if it["tag"] == tag["name"]] for tag in document["tags"]}
    needs_key = {} not in document["security"]
    return _template("docs.html").render(info=document["info"], groups=groups, needs_key=needs_key)


def render_key_page(document: Json) -> str:
    """The page that asks for a key, and then shows the other one. It tells nothing but the API's title."""
    return _template("docs_key.html").render(info={"title": document["info"]["title"]})


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"prose": _prose, "breakable": lambda name: escape(name).replace(".", Markup(".<wbr>"))}
    return environment.get_template(name)


def _prose(text: str) -> Markup:
    """A text whose `words` in backticks are code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _operation(document: Json, path: str, method: str, operation: Json, address: str) -> Json:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    answers: list[Json] = []  # neighbours of the same form are one
    for media_type, content in operation["responses"]["200"]["content"].items():
        parts = list(_parts(document, content))
        if answers and answers[-1]["parts"] == parts:
            answers[-1]["media_type"] += f", {media_type}"
        else:
            answers.append({"media_type": media_type, "parts": parts})
    statuses = [
        (status, _resolved(document, response)["description"])
        for status, response in operation["responses"].items()
        if status != "200"
    ]
    security = operation["security"] if "security" in operation else document["security"]
    needs_key = security != [] and {} not in security
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "tag": operation["tags"][0],
        "summary": operation["summary"],
        "description": operation.get("description", ""),
        "fields": list(_fields(document, body["schema"])) if body else [],
        "answers": answers,
        "headers": list(operation["responses"]["200"]["headers"]),
        "statuses": statuses,
        "examples": list(_examples(path, operation, body, address, needs_key=needs_key)),
    }


def _parts(document: Json, content: Json) -> Iterator[tuple[str, list[Field]]]:
    """The title and the fields of each object that a response has."""
    for schema in content.get("x-events", [content["schema"]]):
        resolved = _resolved(document, schema)
        if fields := list(_fields(document, schema)):
            yield resolved.get("description", ""), fields


def _examples(path: str, operation: Json, body: Json, address: str, *, needs_key: bool) -> Iterator[tuple[str, str]]:
    """The title and the command of each example."""
    for parameter in operation.get("parameters", []):
        path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
    key = ' \\\n  -H "Authorization: Bearer $CHARLOOM_KEY"' * needs_key
    if not body:
        yield "", f"curl {address}{path}{key}"
    for title, example in body.get("examples", {}).items():
        fields = json.dumps(example["value"], ensure_ascii=False).replace("'", "'\\''")
        no_buffer = "-N " * ("stream" in title.lower())
        content_type = "-H 'Content-Type: application/json'"
        yield title, f"curl {no_buffer}{address}{path}{key} \\\n  {content_type} \\\n  -d '{fields}'"


def _fields(document: Json, schema: Json, prefix: str = "") -> Iterator[Field]:
    """The fields of an object, each followed by those of the objects in it."""
    resolved = _resolved(document, schema)
    for name, described in resolved.get("properties", {}).items():
        is_required = name in resolved.get("required", ())
        default = json.dumps(described["default"], ensure_ascii=False) if "default" in described else None
        form = _without_null(document, described)
        yield Field(
            prefix + name,
            _type(document, described, hides_null=not is_required),
            None if default == "null" else default,
            _limits(form),
            described.get("description", ""),
            is_required,
        )
        inner = _resolved(document, form["items"]) if form.get("items") else form
        yield from _fields(document, inner, f"{prefix}{name}{'[]' if form.get('items') else ''}.")


def _resolved(document: Json, schema: Json) -> Json:
    """The object that a reference names."""
    if "$ref" not in schema:
        return schema
    found = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def _without_null(document: Json, schema: Json) -> Json:
    """The only form of a schema besides null, or the schema."""
    forms = [form for form in schema.get("anyOf", []) if form != {"type": "null"}]
    return _resolved(document, forms[0] if len(forms) == 1 else schema)


def _type(document: Json, schema: Json, *, hides_null: bool = False) -> str:
    """The type of a value in words: `list of integer or null`."""
    schema = _resolved(document, schema)
    if "anyOf" in schema:
        names = [_type(document, form) for form in schema["anyOf"]]
    elif "enum" in schema or "const" in schema:
        names = [json.dumps(value) for value in schema.get("enum", [schema.get("const")])]
    else:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        names = [_list_type(document, schema) if type_ == "array" else type_ for type_ in types]
    return " or ".join(name for name in names if not (hides_null and name == "null"))


def _list_type(document: Json, schema: Json) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(_type(document, item) for item in schema['prefixItems'])}]"
    return f"list of {_type(document, schema['items'])}"


def _limits(schema: Json) -> str:
    """The limits of a value in words: `1 … 100,000`, `at most 4 items`."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and low == high:
        return f"{low}"
    if low is not None:
        return f"{_number(low)} … {_number(high)}" if high is not None else f"at least {_number(low)}"
    for keyword, unit in (("Length", "characters"), ("Items", "items"), ("Properties", "entries")):
        if (most := schema.get(f"max{keyword}")) is not None:
            least = schema.get(f"min{keyword}")
            return f"{least} … {most:,} {unit}" if least else f"at most {most:,} {unit}"
    return ""


def _number(value: float) -> str:
    return {2**63 - 1: "2⁶³ − 1", 2**31 - 1: "2³¹ − 1"}.get(int(value)) or (
        f"{value:,}" if isinstance(value, int) else f"{value}"
    )

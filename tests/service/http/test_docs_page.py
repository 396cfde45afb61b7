"""The page shows every operation, with its fields, limits, statuses and examples."""

import re
import shlex
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from service.config import Config
from service.http.docs_page import render
from service.http.openapi import document
from service.http.openapi_operations import OPERATIONS

ADDRESS = "http://localhost:8000"
PAGE = render(document(Config(max_length=1234)), ADDRESS)


class Elements(HTMLParser):
    """The start tags of a page, and whether each element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "wbr"):
            self._open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self._open.pop() == tag


def text_of(identifier: str) -> str:
    """The text of the section with this id."""
    section = PAGE.partition(f'<section id="{identifier}"')[2].partition("</section>")[0]
    return unescape(re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", section)))


def test_the_page_is_well_formed_and_has_no_inline_script_or_style() -> None:
    tags = Elements(PAGE).tags
    assert not [tag for tag, attributes in tags if tag in ("script", "style") or "style" in attributes]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [attributes["href"][1:] for tag, attributes in tags if attributes.get("href", "").startswith("#")]
    assert set(targets) <= set(ids)


def test_every_operation_and_field_is_shown() -> None:
    for operation in OPERATIONS:
        assert f">{operation.path}</a></h3>" in PAGE
        for name in operation.body.model_fields if operation.body else ():
            assert f"<dt><code>{name}</code>" in PAGE


def test_a_field_has_its_type_limits_default_and_description() -> None:
    text = text_of("generate")
    assert "integer · 1 … 1,234 · default 500" in text
    assert "list of string · at most 4 items · default []" in text
    assert "number · 0 … 5 · default 1.0" in text
    assert "integer · 0 … 2⁶³ − 1" in text
    assert "usage. prompt_chars" in text, "a line may be broken after the dot"
    assert text_of("score").count("required") == 1, "fields of responses are not marked"
    assert "list of [integer, integer]" in text_of("inspect")
    assert text.count("usage. prompt_chars") == 2, "once for both kinds of streams, and once for one object"
    assert "string or list of string or list of integer or list of list of integer" in text_of("v1_completions")


def test_statuses_are_explained() -> None:
    assert "A field is out of range, unknown or mistyped." in text_of("generate")
    assert "415" not in text_of("models")


@pytest.mark.parametrize("has_keys", [False, True])
def test_an_example_is_a_command_that_a_shell_splits_as_intended(tmp_path: Path, has_keys: bool) -> None:
    (tmp_path / "keys").write_text("alpha")
    page = render(document(Config(api_keys_file=tmp_path / "keys" if has_keys else None)), ADDRESS)
    commands = [unescape(command) for command in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)]
    split = [shlex.split(command.replace("\\\n", "")) for command in commands]
    assert all(words[0] == "curl" for words in split)
    assert [
        "curl",
        f"{ADDRESS}/models/shakespeare/1",
        *["-H", "Authorization: Bearer $CHARLOOM_KEY"] * has_keys,
    ] in split
    probes = [words for words in split if words[1].endswith("/livez")]
    assert probes == [["curl", f"{ADDRESS}/livez"]]
    assert len(commands) == sum(max(1, len(operation.examples)) for operation in OPERATIONS)


def test_texts_are_escaped() -> None:
    described = document(Config())
    described["info"]["title"] = "<script>"
    assert "<script>" not in render(described, ADDRESS)

"""Every setting and every field of a request is documented."""

import re
from dataclasses import fields

from service.config import Config, variable_of
from service.http.completion_body import CompletionBody
from service.http.schemas import DetokenizeBody, GenerateBody, InspectBody, ScoreBody, TokenizeBody
from tests.processes import ROOT

DOCUMENT = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")


VARIABLES = {variable_of(field.name) for field in fields(Config)}
OF_THE_IMAGE = {"CHARLOOM_MODELS", "CHARLOOM_HOST", "CHARLOOM_ADMIN_PORT"}  # paths and ports inside the container


def test_the_table_of_settings_is_complete() -> None:
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", DOCUMENT.partition("\n## Settings\n")[2], re.MULTILINE)
    assert sorted(re.findall(r"[A-Z_]+", " ".join(rows))) == sorted(VARIABLES)


def test_every_field_of_a_request_is_documented() -> None:
    for body in (GenerateBody, CompletionBody, TokenizeBody, DetokenizeBody, ScoreBody, InspectBody):
        for name in body.model_fields:
            assert f"`{name}`" in DOCUMENT


def test_the_example_env_file_has_every_setting_of_compose_and_compose_every_one_of_the_service() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)[:}]", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    example = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(used - {"VARIABLE"}) == sorted(example)
    assert used >= VARIABLES - OF_THE_IMAGE

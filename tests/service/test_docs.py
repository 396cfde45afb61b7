"""What can be set and asked for is written down."""

import re
from dataclasses import fields

from service.config import Config
from service.http.schemas import GenerateBody
from tests.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")


VARIABLES = {"PORT" if field.name == "port" else f"CHARLOOM_{field.name.upper()}" for field in fields(Config)}


def test_every_setting_is_documented() -> None:
    for variable in VARIABLES:
        assert f"`{variable}`" in DOCUMENT


def test_every_field_of_a_request_is_documented() -> None:
    for name in GenerateBody.model_fields:
        assert f"`{name}`" in DOCUMENT


def test_every_setting_of_compose_stands_in_the_example_and_compose_has_every_one_of_the_service() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)[:}]", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    example = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(used - {"VARIABLE"}) == sorted(example)
    assert VARIABLES - {"CHARLOOM_MODELS"} <= used  # which is where the volume is

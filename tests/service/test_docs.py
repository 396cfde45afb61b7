"""What can be set and asked for is written down."""

from dataclasses import fields

from service.config import Config
from service.http.schemas import GenerateBody
from tests.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")


def test_every_setting_is_documented() -> None:
    for setting in fields(Config):
        variable = "PORT" if setting.name == "port" else f"CHARLOOM_{setting.name.upper()}"
        assert f"`{variable}`" in DOCUMENT


def test_every_field_of_a_request_is_documented() -> None:
    for name in GenerateBody.model_fields:
        assert f"`{name}`" in DOCUMENT

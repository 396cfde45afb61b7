"""Every setting and every field of a request is documented, and the examples of routes that read a text are true."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from service.config import Config, variable_of
from service.http.completion_body import CompletionBody
from service.http.schemas import DetokenizeBody, GenerateBody, InspectBody, NeuronsBody, ScoreBody, TokenizeBody
from tests.processes import ROOT
from tests.servers import Server

DOCUMENT = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")


VARIABLES = {variable_of(field.name) for field in fields(Config)}
OF_THE_IMAGE = {
    "CHARLOOM_MODELS",
    "CHARLOOM_MODELS_CACHE",
    "CHARLOOM_HOST",
    "CHARLOOM_ADMIN_PORT",
}  # paths and ports inside the container


def test_the_table_of_settings_is_complete() -> None:
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", DOCUMENT.partition("\n## Settings\n")[2], re.MULTILINE)
    assert sorted(re.findall(r"[A-Z_]+", " ".join(rows))) == sorted(VARIABLES)


def test_every_field_of_a_request_is_documented() -> None:
    for body in (GenerateBody, CompletionBody, TokenizeBody, DetokenizeBody, ScoreBody, InspectBody, NeuronsBody):
        for name in body.model_fields:
            assert f"`{name}`" in DOCUMENT


def test_the_example_env_file_has_every_setting_of_compose_and_compose_every_one_of_the_service() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)[:}]", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    example = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(used - {"VARIABLE"}) == sorted(example)
    assert used >= VARIABLES - OF_THE_IMAGE


@pytest.fixture(scope="module")
def included(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the included model."""
    models = tmp_path_factory.mktemp("included") / "models"  # the server's log is written beside it
    models.symlink_to(ROOT / "models")
    started = Server(models, engines=1)
    yield started
    started.stop()


def example_of(server: Server, route: str, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answer of a route's section to its request, and that of the service to the request with `changes`."""
    section = DOCUMENT.partition(f"\n## POST {route}\n")[2].partition("\n## ")[0]
    sent, answered = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL)[:2])
    return answered, json.loads(server.request("POST", route, sent | changes)[2])


def test_the_score_of_the_example(included: Server) -> None:
    documented, found = example_of(included, "/score")
    assert documented.pop("timings").keys() == found.pop("timings").keys()
    assert found == {
        name: pytest.approx(value, abs=1e-4) if isinstance(value, float) else value
        for name, value in documented.items()
    }


def test_the_inspection_of_the_example(included: Server) -> None:
    documented, found = example_of(included, "/inspect")
    assert found.keys() == documented.keys()
    for expected, character in zip(documented.pop("characters"), found.pop("characters"), strict=True):
        assert character["text"] == expected["text"]
        assert character["logprob"] == pytest.approx(expected["logprob"], abs=1e-4)
        assert character["activations"] == pytest.approx(expected["activations"], abs=1e-4)
        assert [guess for guess, _ in character["top"]] == [guess for guess, _ in expected["top"]]
        assert [logprob for _, logprob in character["top"]] == pytest.approx(
            [logprob for _, logprob in expected["top"]], abs=1e-4
        )
    assert found == documented


def test_the_rankings_of_the_example(included: Server) -> None:
    """On another processor an activation may be in the next bin, so a unit may have another rank."""
    documented, found = example_of(included, "/neurons", limit=5)
    assert found.keys() == documented.keys()
    for expected, ranking in zip(documented.pop("features"), found.pop("features"), strict=True):
        (unit,) = expected.pop("units")
        same = [
            other for other in ranking.pop("units") if (other["layer"], other["unit"]) == (unit["layer"], unit["unit"])
        ]
        assert [other["score"] for other in same] == pytest.approx([unit.pop("score")], abs=0.02)
        assert [other | unit for other in same] == same
        assert ranking == expected | {"max_score": pytest.approx(expected["max_score"], abs=1e-4)}
    assert found == documented

"""The card of each included model, models/<name>/README.md, says what its manifest says and what the model writes."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from tests.contract.published import manifest_of
from tests.processes import ROOT
from training.commands import cli
from training.flags import config_of
from training.release.published import PublishedModel
from training.release.store import versions

MODELS = ROOT / "models"
INCLUDED = re.findall(r"^!/models/([a-z0-9._-]+)/$", (ROOT / ".gitignore").read_text(), re.MULTILINE)
SECTIONS = ["Text and licence", "Sample", "What it is bad at", "Train it again"]

cards = pytest.mark.parametrize("name", INCLUDED)


def card_of(name: str) -> str:
    return (MODELS / name / "README.md").read_text(encoding="utf-8")


def section_of(card: str, title: str) -> str:
    return card.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def version_of(name: str) -> Path:
    """The folder of the newest version, which the card describes."""
    return MODELS / name / str(versions(MODELS, name)[-1])


def parsed(card: str, command: str) -> click.Context:
    """The context of the card's line that begins with `charloom` and this command."""
    (line,) = re.findall(rf"^charloom ({command} .*)$", card, re.MULTILINE)
    return cli.commands[command].make_context(command, shlex.split(line)[1:])


def test_at_least_one_model_is_included() -> None:
    assert "shakespeare" in INCLUDED


@cards
def test_a_card_has_every_section_in_order(name: str) -> None:
    card = card_of(name)
    assert card.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", card, re.MULTILINE) == SECTIONS


@cards
def test_the_numbers_of_a_card_are_those_of_the_manifest(name: str) -> None:
    card, folder = card_of(name), version_of(name)
    fields = manifest_of(folder)
    bytes_ = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", card, re.MULTILINE))
    assert re.match(r"\d+", rows["version"])[0] == str(fields["version"])
    assert rows["network"] == (
        f"{fields['cell'].upper()} {fields['layers']} × {fields['units']}, {fields['parameters']:,} parameters, "
        f"{bytes_ / 1e6:.1f} MB"
    )
    for part, found in fields["metrics"].items():
        assert rows[part] == (
            f"{found['nats_per_char']:.4f} nats/char, {found['bits_per_char']:.4f} bits/char, "
            f"{found['characters']:,} characters"
        )
    assert {"validation", "test"} & rows.keys() == fields["metrics"].keys()


@cards
def test_a_card_names_the_text_with_its_checksum(name: str) -> None:
    text = section_of(card_of(name), "Text and licence")
    corpus = manifest_of(version_of(name))["corpus"]
    for file in corpus["files"]:
        assert file["sha256"] in text
        assert Path(file["path"]).name in text
    assert f"{corpus['characters']:,} characters" in text


@cards
def test_the_sample_of_a_card_is_the_text_that_the_model_writes(name: str) -> None:
    card = card_of(name)
    params = parsed(card, "sample").params
    assert params["name"] == f"{name}/{version_of(name).name}"
    section = re.sub(r"```sh\n.*?```", "", section_of(card, "Sample"), flags=re.DOTALL)
    (sample,) = re.findall(r"```\n(.*?)\n```", section, re.DOTALL)
    rule: dict[str, Any] = {key: params[key] for key in ("length", "temperature", "seed", "top_k", "top_p")}
    text = params["prompt"] + "".join(PublishedModel(version_of(name)).generate(params["prompt"], **rule))
    assert sample == text.strip("\n")


@cards
def test_the_command_of_a_card_has_the_settings_of_the_manifest(name: str) -> None:
    """All but --minutes, in whose place the command states the number of steps."""
    context, fields = parsed(card_of(name), "train"), manifest_of(version_of(name))
    params = context.params
    assert params["name"] == name
    assert [Path(path).name for path in params["corpus"]] == [
        Path(file["path"]).name for file in fields["corpus"]["files"]
    ]
    found = config_of(context, params, params["preset"], None).to_json()
    assert {key: found[key] for key in fields["config"] if key != "minutes"} == {
        key: value for key, value in fields["config"].items() if key != "minutes"
    }

"""The flags of `train`: each has help and a default, and an invalid value is one sentence."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

from tests.training.commands.cli import refusal, run
from training.commands import cli
from training.config import CHOICES, INHERITED, TrainConfig
from training.flags import HELP, config_of, config_options
from training.presets import PRESETS

FIELDS = [field.name for field in fields(TrainConfig)]


def config(*flags: str, preset: str | None = None, parent: dict[str, Any] | None = None) -> TrainConfig:
    """The configuration that these flags make."""
    found: list[TrainConfig] = []

    @click.command()
    @config_options
    @click.pass_context
    def command(context: click.Context, /, **options: Any) -> None:
        found.append(config_of(context, options, preset, parent))

    command.main([*flags], standalone_mode=False)
    return found[0]


def test_every_setting_has_a_flag_with_help_and_its_default() -> None:
    assert list(HELP) == FIELDS
    flags = {parameter.name: parameter for parameter in cli.commands["train"].params}
    for name in FIELDS:
        flag = flags[name]
        assert isinstance(flag, click.Option)
        assert flag.opts == ["--" + name.replace("_", "-")]
        assert len(flag.help or "") >= 15
        assert flag.help.endswith(".")
    page = " ".join(run("train", "--help").output.split())
    for name in FIELDS:
        value = getattr(TrainConfig(), name)
        shown = ",".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)
        after = page.partition(f" --{name.replace('_', '-')} ")[2]
        assert f"[default: {shown}]" in after[: after.index("[default: ") + len(shown) + 20], name


def test_every_flag_and_command_of_the_command_line_has_help() -> None:
    commands_ = [*cli.commands.values()]
    for command in commands_:
        commands_ += getattr(command, "commands", {}).values()
        assert command.help, command.name
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (command.name, parameter.name)


def test_help_of_train_is_in_sections_with_char_rnns_names() -> None:
    page = run("train", "--help").output
    sections = {part.partition(":\n")[0]: part for part in page.split("\n\n")}
    for title, flags in {
        "Text": ["--corpus", "--split "],
        "Network": ["--layers", "--units", "--init-from"],
        "Regularisation": ["--dropout", "--weight-decay"],
        "Optimisation": ["--batch-size", "--window", "--learning-rate"],
        "Watching": ["--eval-every"],
        "Run": ["--name", "--resume", "--runs", "--help"],
    }.items():
        assert all(flag in sections[title] for flag in flags), title
    listed = re.findall(r"^  (?:-h, )?(--[a-z-]+)", page, re.MULTILINE)
    assert sorted(listed) == sorted([flag.opts[0] for flag in cli.commands["train"].params] + ["--help"])
    words = " ".join(page.split()).replace("char- rnn", "char-rnn")
    for name in (
        *("model", "num_layers", "rnn_size", "batch_size", "seq_length", "max_epochs", "learning_rate"),
        *("learning_rate_decay", "learning_rate_decay_after", "grad_clip", "train_frac", "eval_val_every", "dropout"),
    ):
        assert f"(char-rnn: {name}" in words, name


def float_flags() -> list[tuple[str, str]]:
    """Every flag of every command that is a floating-point number."""
    return [
        (command, parameter.opts[0])
        for command, made in cli.commands.items()
        for parameter in made.params
        if isinstance(parameter.type, click.types.FloatParamType)
    ]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "NaN", "1e999"])
@pytest.mark.parametrize(("command", "flag"), float_flags())
def test_a_number_that_is_not_finite_is_refused_by_every_flag(
    tmp_path: Path, command: str, flag: str, value: str
) -> None:
    (tmp_path / "a.txt").write_text("ab" * 100)
    others = {"train": ["--name", "a", "--corpus", str(tmp_path / "a.txt"), "--runs", str(tmp_path)]}
    sentence = refusal(command, *others.get(command, ["a"]), f"{flag}={value}")
    assert flag in sentence
    assert "finite" in sentence


def test_float_flags_are_found_by_this_test() -> None:
    assert {("sample", "--temperature"), ("sample", "--top-p"), ("train", "--dropout")} < set(float_flags())


def test_without_flags_the_configuration_is_the_default() -> None:
    assert config() == TrainConfig()


def test_each_flag_sets_its_own_field() -> None:
    others = {"split": "0.5,0.25,0.25", "encoding": "latin-1", "leave_out": "1/4"}
    others |= {name: values[1] for name, values in CHOICES.items()}
    for name in FIELDS:
        default = getattr(TrainConfig(), name)
        value = others.get(name) or str(default + 1 if isinstance(default, int) else default / 2 + 0.0625)
        made = config(f"--{name.replace('_', '-')}", value)
        changed = [field for field in FIELDS if getattr(made, field) != getattr(TrainConfig(), field)]
        # Another optimizer has another default for the decay.
        assert sorted(changed) == (["optimizer", "weight_decay"] if name == "optimizer" else [name])
        assert type(getattr(made, name)) is type(default)


@pytest.mark.parametrize("name", PRESETS)
def test_flags_win_over_presets_and_presets_over_defaults(name: str) -> None:
    assert config(preset=name) == TrainConfig(**PRESETS[name])
    given = config("--units", "77", "--split", "0.8,0.1,0.1", preset=name)
    assert given == TrainConfig(**(PRESETS[name] | {"units": 77, "split": (0.8, 0.1, 0.1)}))


@pytest.mark.parametrize(("flag", "field"), [("--epochs", "epochs"), ("--steps", "steps")])
def test_a_length_that_is_given_replaces_the_minutes_of_a_preset(flag: str, field: str) -> None:
    assert config(preset="war-and-peace").minutes > 0
    given = config(flag, "3", preset="war-and-peace")
    assert (given.minutes, getattr(given, field)) == (0, 3)
    assert config(flag, "3", "--minutes", "9", preset="war-and-peace").minutes == 9


def test_a_flag_with_the_default_value_wins_over_the_preset() -> None:
    assert config("--layers", "2", preset="shakespeare").layers == 2


def test_a_parent_decides_the_settings_that_its_weights_need_and_no_other() -> None:
    parent = TrainConfig(cell="gru", layers=3, units=9, embedding=0, unit="byte", learning_rate=0.5, seed=9).to_json()
    made = config("--epochs", "7", preset="tiny", parent=parent)
    assert (made.cell, made.layers, made.units, made.embedding, made.unit) == ("gru", 3, 9, 0, "byte")
    assert (made.epochs, made.learning_rate, made.seed) == (7, PRESETS["tiny"]["learning_rate"], 1)
    assert config("--units", "9", parent=parent).units == 9  # the same value


@pytest.mark.parametrize("name", INHERITED)
def test_a_flag_that_contradicts_the_parent_is_refused(name: str) -> None:
    other = {"cell": "rnn", "unit": "byte", "normalization": "none"}.get(name, "5")
    with pytest.raises(click.UsageError) as refused:
        config(f"--{name}", other, parent=TrainConfig().to_json())
    assert str(refused.value) == (
        f"--{name} {other} contradicts --init-from, whose model has {getattr(TrainConfig(), name)}."
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--units", "0"], ["--units must be at least 1, not 0."]),
        (["--units", "many"], ["--units", "'many'"]),
        (["--dropout", "1"], ["--dropout", "at least 0 and below 1", "1.0"]),
        (["--learning-rate", "nan"], ["--learning-rate", "a finite number, not nan", "nan"]),
        (["--grad-clip", "-1"], ["--grad-clip", "at least 0", "-1"]),
        (["--decay-rate", "0"], ["--decay-rate", "above 0 and at most 1", "0.0"]),
        (["--cold-start", "2"], ["--cold-start", "between 0 and 1", "2.0"]),
        (["--seed", "-1"], ["--seed", "between 0 and 2^63-1", "-1"]),
        (["--seed", str(2**63)], ["--seed", "2^63-1", str(2**63)]),
        (["--patience", "-1"], ["--patience", "at least 0", "-1"]),
        (["--split", "0.9,0.1"], ["'0.9,0.1'", "three numbers"]),
        (["--split", "a,b,c"], ["'a,b,c'", "three numbers"]),
        (["--split", "0.9,0.2,0.1"], ["--split must add up to 1, not 1.2 (0.9,0.2,0.1)."]),
        (["--split", "nan,0.5,0.5"], ["'nan,0.5,0.5'", "three numbers"]),
        (["--split", "1,0,0"], ["--split", "validation part above 0", "1,0,0"]),
        (["--preset", "novel"], ["--preset", "'novel'", "shakespeare"]),
        (["--hidden", "9"], ["--hidden"]),
        (["b.txt", "c.txt"], ["'b.txt' belongs to no flag: --corpus takes one entry, so put a pattern in quotes"]),
    ],
)
def test_a_bad_value_is_one_sentence(tmp_path: Path, flags: list[str], words: list[str]) -> None:
    (tmp_path / "a.txt").write_text("ab" * 100)
    folders = ["--runs", str(tmp_path / "runs"), "--models", str(tmp_path / "models")]
    sentence = refusal("train", "--name", "a", "--corpus", str(tmp_path / "a.txt"), *folders, *flags)
    for word in words:
        assert word in sentence
    assert not list((tmp_path / "runs").rglob("*.json"))


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    sentence = refusal("train", "--name", "a", "--corpus", "-", f"--{name.replace('_', '-')}", "other")
    assert all(repr(choice) in sentence for choice in CHOICES[name])


@pytest.mark.parametrize(
    ("flags", "preset", "decay"),
    [
        ([], None, 0.05),
        (["--optimizer", "adamw"], None, 0.05),
        (["--optimizer", "sgd"], None, 0.0),
        (["--optimizer", "adam", "--weight-decay", "0.1"], None, 0.1),
        (["--optimizer", "adamw"], "names", 0.0),  # the preset's own
        (["--optimizer", "rmsprop"], "tiny", 0.0),
        ([], "tiny", 0.05),
    ],
)
def test_only_adamw_decays_weights_unless_it_is_asked_for(flags: list[str], preset: str | None, decay: float) -> None:
    assert config(*flags, preset=preset).weight_decay == decay

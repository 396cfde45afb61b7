"""The flags of `train`: complete, explained, and refused in one sentence."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from training import commands
from training.commands import cli
from training.config import CHOICES, INHERITED, TrainConfig
from training.corpora.catalogue import CATALOGUE
from training.flags import HELP, config_of, config_options
from training.presets import PRESETS
from training.release.store import NAME

FIELDS = [field.name for field in fields(TrainConfig)]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="python -m training")


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


def refusal(*arguments: str) -> str:
    """The one sentence of a usage error."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    usage, *_, sentence = result.stderr.strip().splitlines()
    assert usage.startswith("Usage: python -m training")
    assert sentence.startswith("Error: ")
    assert result.stderr.count("Error") == 1
    return sentence


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


def test_the_flags_that_are_checked_are_there() -> None:
    assert {("sample", "--temperature"), ("sample", "--top-p"), ("train", "--dropout")} < set(float_flags())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--temperature", "5.1"], ["--temperature", "5.1", "0<=x<=5"]),
        (["--top-p", "0"], ["--top-p", "0<x<=1"]),
        (["--top-k", "-1"], ["--top-k", "-1", "0<=x"]),
        (["--count", "0"], ["--count", "x>=1"]),
        (["--seed", str(2**63 - 1), "--count", "2"], ["--seed", "--count 2", str(2**63 - 1)]),
        (["--prompt", "a", "--prompt-file", "b"], ["either --prompt or --prompt-file"]),
        (["--run", "."], ["either NAME of a published model or --run FOLDER"]),
    ],
)
def test_a_sample_out_of_its_range_is_one_sentence(flags: list[str], words: list[str]) -> None:
    sentence = refusal("sample", "a", *flags)
    assert all(word in sentence for word in words)
    assert "Give either NAME" in refusal("sample")


@pytest.mark.parametrize(
    ("given", "proposed"),
    [
        ("Upper", "upper"),
        ("a/b", "a-b"),
        ("Émile Zola", "emile-zola"),
        ("..my model..", "my-model"),
        ("x" * 65, "x" * 64),
    ],
)
def test_a_name_that_is_refused_comes_with_one_that_is_not(given: str, proposed: str) -> None:
    assert refusal("train", f"--name={given}", "--corpus", "-").endswith(f", for example {proposed}.")
    assert re.fullmatch(NAME, proposed)


@pytest.mark.parametrize("given", ["", "本", "--", "..."])
def test_a_name_of_which_nothing_is_left_comes_with_a_name_of_ours(given: str) -> None:
    assert "for example my-model." in refusal("train", f"--name={given}", "--corpus", "-")


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("list", "--models=~/models").output == f"There is no model in {tmp_path}/models yet.\n"


def test_corpora_are_listed_in_columns() -> None:
    head, *lines = run("corpus", "list").output.splitlines()
    assert head.split() == ["name", "size", "licence"]
    assert len(lines) == len(CATALOGUE)
    for line, entry in zip(lines, CATALOGUE.values(), strict=True):
        assert line.startswith(f"{entry.name} ")
        assert line.index(entry.licence) == head.index("licence")
        assert line[head.index("size") + len("size") :].startswith("  ")


def test_no_flag_is_the_default_configuration() -> None:
    assert config() == TrainConfig()


def test_each_flag_sets_its_own_field() -> None:
    others = {"split": "0.5,0.25,0.25", "encoding": "latin-1"}
    others |= {name: values[1] for name, values in CHOICES.items()}
    for name in FIELDS:
        default = getattr(TrainConfig(), name)
        value = others.get(name) or str(default + 1 if isinstance(default, int) else default / 2 + 0.0625)
        made = config(f"--{name.replace('_', '-')}", value)
        changed = [field for field in FIELDS if getattr(made, field) != getattr(TrainConfig(), field)]
        assert changed == [name]
        assert type(getattr(made, name)) is type(default)


@pytest.mark.parametrize("name", PRESETS)
def test_flags_go_before_presets_and_presets_before_defaults(name: str) -> None:
    assert config(preset=name) == TrainConfig(**PRESETS[name])
    by_hand = config("--units", "77", "--split", "0.8,0.1,0.1", preset=name)
    assert by_hand == TrainConfig(**(PRESETS[name] | {"units": 77, "split": (0.8, 0.1, 0.1)}))


def test_a_flag_that_says_the_default_still_goes_before_the_preset() -> None:
    assert config("--layers", "2", preset="shakespeare").layers == 2


def test_the_parent_decides_what_its_weights_need_and_nothing_else() -> None:
    parent = TrainConfig(cell="gru", layers=3, units=9, embedding=0, unit="byte", learning_rate=0.5, seed=9).to_json()
    made = config("--epochs", "7", preset="tiny", parent=parent)
    assert (made.cell, made.layers, made.units, made.embedding, made.unit) == ("gru", 3, 9, 0, "byte")
    assert (made.epochs, made.learning_rate, made.seed) == (7, PRESETS["tiny"]["learning_rate"], 1)
    assert config("--units", "9", parent=parent).units == 9  # says the same


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
def test_a_choice_that_there_is_not_names_those_that_there_are(tmp_path: Path, name: str) -> None:
    sentence = refusal("train", "--name", "a", "--corpus", "-", f"--{name.replace('_', '-')}", "other")
    assert all(repr(choice) in sentence for choice in CHOICES[name])


@pytest.mark.parametrize("name", ["", "Upper", "-dash", "a/b", "..", "x" * 65, "é"])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    assert "1 to 64 of a-z" in refusal("train", f"--name={name}", "--corpus", "-")


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        ("My Novel", "my-novel"),
        ("-Über/alles-", "uber-alles"),
        ("x" * 65, "x" * 64),
        ("..", "my-model"),
        ("戦争", "my-model"),
        ("a_b.c 1", "a_b.c-1"),
    ],
)
def test_a_refused_name_proposes_a_valid_one(name: str, proposed: str) -> None:
    assert f"for example {proposed}." in refusal("train", f"--name={name}", "--corpus", "-")
    assert re.fullmatch(NAME, proposed)


def test_a_tilde_is_the_home_folder_where_the_shell_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "nightly.toml").write_text('[[model]]\nname = "mine"\ncorpus = "~/texts"\nminutes = 1\n')
    assert f"There is no model in {tmp_path}/models yet." in run("list", "--models=~/models").output
    resumed = run("train", "--name", "mine", "--resume", "--runs=~/runs")
    assert str(resumed.exception).startswith(f"There is no run to resume in {tmp_path}/runs/mine")
    missing = run("train", "--name", "mine", "--corpus=~/texts", "--runs=~/runs", "--models=~/models")
    assert str(missing.exception) == f"--corpus {tmp_path}/texts does not exist."
    unknown = run("retrain", "other", "--config=~/nightly.toml")
    assert str(unknown.exception) == "No model 'other' is configured, only mine."


@pytest.mark.parametrize("start", ["", "a/b/c", "../models", "a/", "a/one", "a/0", "a/-1", "/1", "Tale"])
def test_what_cannot_be_a_version_to_start_from_is_refused(tmp_path: Path, start: str) -> None:
    sentence = refusal("train", "--name", "a", "--corpus", "-", "--init-from", start, "--runs", str(tmp_path))
    assert f"{start!r} must be NAME or NAME/VERSION" in sentence


def test_a_corpus_is_asked_for(tmp_path: Path) -> None:
    assert "--corpus" in refusal("train", "--name", "a", "--runs", str(tmp_path))


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--units", ["4"]),
        ("--patience", ["4"]),
        ("--corpus", ["x"]),
        ("--preset", ["tiny"]),
        ("--init-from", ["x"]),
        ("--restart", []),
    ],
)
def test_resume_takes_no_setting(tmp_path: Path, flag: str, value: list[str]) -> None:
    sentence = refusal("train", "--name", "a", "--resume", "--runs", str(tmp_path), flag, *value)
    assert f"leave out {flag}" in sentence


def failure(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a command that fails with exit code 1."""
    monkeypatch.setattr("sys.argv", ["training", *arguments])
    with pytest.raises(SystemExit) as exit_:
        commands.main()
    assert exit_.value.code == 1
    (line,) = capfd.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "There is no run to resume"),
        ("{", "run.json is damaged"),
        ("[]", "run.json is damaged"),
        (json.dumps({"config": {"split": [0.9, 0.05, 0.05], "gates": 4}, "corpus": []}), "run.json is damaged"),
        (json.dumps({"corpus": [], "corpus_key": "k"}), "run.json is damaged"),
    ],
)
def test_a_run_that_cannot_be_resumed_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], content: str | None, words: str
) -> None:
    (tmp_path / "a").mkdir()
    if content is not None:
        (tmp_path / "a/run.json").write_text(content)
    assert words in failure(monkeypatch, capfd, "train", "--name", "a", "--resume", "--runs", str(tmp_path))


def test_files_of_a_corpus_are_chosen_by_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("ab" * 100)
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\r\n")
    train = ["train", "--name", "a", "--corpus", str(tmp_path), "--runs", str(tmp_path / ".runs")]
    for flags, words in [
        (["--include", "*.md"], "no text file in it (--include applied)"),
        (["--exclude", "*.txt"], "logo.png is a PNG image"),
        (["--skip-unreadable"], "The training part has 180 characters"),
    ]:
        assert words in failure(monkeypatch, capfd, *train, *flags)

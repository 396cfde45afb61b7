"""nightly.toml: its defaults, its keys, and one sentence for each invalid value."""

from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from training.errors import InputError
from training.retraining.config import NightlyConfig

MODEL = '[[model]]\nname = "a"\ncorpus = "texts"\n'


def read(folder: Path, content: str) -> NightlyConfig:
    path = folder / "nightly.toml"
    path.write_text(content)
    return NightlyConfig.read(path)


def test_keys_that_are_left_out_have_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, MODEL)
    (job,) = config.model
    assert (config.at, config.time_zone) == (time(3), ZoneInfo("UTC"))
    assert (job.name, job.corpus, job.minutes, job.gate, job.keep) == ("a", ("texts",), 60, 0.01, 5)
    assert job.first_config().split_by == "each-file"


def test_every_key_is_read(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        'at = "23:30"\ntime_zone = "Europe/Berlin"\n' + MODEL + "minutes = 5\ngate = 0.05\nkeep = 2\nepochs = 3\n"
        'preset = "tiny"\nlearning_rate = 0.002\n'
        "settings = { units = 64, weight-dropout = 0.25, split = [0.8, 0.2, 0] }\n"
        '[[model]]\nname = "b"\ncorpus = ["x", "y"]',
    )
    job, other = config.model
    first = job.first_config()
    assert (config.at, config.time_zone) == (time(23, 30), ZoneInfo("Europe/Berlin"))
    assert (first.units, first.weight_dropout, first.split) == (64, 0.25, (0.8, 0.2, 0))
    assert (first.layers, first.epochs) == (1, 4)  # the preset's
    assert other.corpus == ("x", "y")
    assert config.chosen(()) == (job, other)
    assert config.chosen(("b",)) == (other,)
    with pytest.raises(InputError, match="No model 'c' is configured, only a, b"):
        config.chosen(("c",))


def test_the_minutes_of_a_preset_do_not_limit_a_retraining(tmp_path: Path) -> None:
    (job,) = read(tmp_path, MODEL + 'preset = "war-and-peace"\n').model
    assert (job.minutes, job.first_config().minutes, job.first_config().units) == (60, 0, 512)


@pytest.mark.parametrize("at", ['"04:30"', "04:30:00"])
def test_a_time_is_a_string_or_a_local_time_of_toml_also_behind_a_byte_order_mark(tmp_path: Path, at: str) -> None:
    assert read(tmp_path, f"\ufeffat = {at}\n{MODEL}").at == time(4, 30)


def test_another_optimizer_than_adamw_has_no_decay_unless_it_is_given(tmp_path: Path) -> None:
    def decay(settings: str) -> float:
        return read(tmp_path, f"{MODEL}settings = {settings}").model[0].first_config().weight_decay

    assert decay('{ optimizer = "sgd" }') == 0
    assert decay('{ optimizer = "sgd", weight-decay = 0.1 }') == 0.1
    assert decay("{}") > 0


def test_settings_have_the_types_of_their_flags(tmp_path: Path) -> None:
    (job,) = read(tmp_path, MODEL + 'settings = { dropout = "0.4", units = 128.0 }').model
    assert job.settings == {"dropout": 0.4, "units": 128}
    assert isinstance(job.settings["units"], int)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["model is required"]),
        ("model = 3", ["model: each model must be a table", "[[model]]"]),
        (MODEL.replace("[[model]]", "[model]"), ["model: each model must be a table", "[[model]]"]),
        ("[[model", ["not TOML"]),
        ("[[model]]\nname = 'a'", ["model.1.corpus is required"]),
        (MODEL + "minutes = 0", ["model.1.minutes", "greater than 0", "it is 0"]),
        (MODEL + "minutes = inf", ["model.1.minutes", "finite", "inf"]),
        (MODEL + "minutes = 1e308", ["model.1.minutes", "less than or equal to 1000000", "it is 1e+308"]),
        (MODEL + "minutes = true", ["model.1.minutes: it cannot be true."]),
        (MODEL + "learning_rate = 1e308", ["model.1.learning_rate", "less than or equal to 1000", "it is 1e+308"]),
        (MODEL + "gate = 1.5", ["model.1.gate", "less than 1", "1.5"]),
        (MODEL + "keep = 0", ["model.1.keep", "greater than or equal to 1"]),
        (MODEL + "budget = 3", ["model.1.budget is not a known key."]),
        (MODEL + "preset = 'big'", ["model.1.preset", "'tiny'", "'big'"]),
        (MODEL + "settings = { unit = 'word' }", ["model.1.settings", "--unit", "char, byte", "word"]),
        (MODEL + "settings = { unts = 3 }", ["model.1.settings", "--unts"]),
        (MODEL + "settings = { minutes = 5 }", ["model.1.settings", "minutes is a key of [[model]] itself"]),
        (MODEL + "settings = { units = 'many' }", ["model.1.settings: units: ", "integer", "; it is 'many'."]),
        (MODEL + "settings = { units = true }", ["model.1.settings: units cannot be true."]),
        (MODEL + "settings = { split = '0.9,0.1,0' }", ["settings: split: it must be a list; it is '0.9,0.1,0'."]),
        (MODEL + "settings = { learning_rate = 1e300 }", ["--learning-rate must be above 0 and at most 1,000"]),
        (MODEL.replace('"a"', '"A b"'), ["model.1.name: it must be 1 to 64 of a-z", "A b"]),
        (MODEL.replace('"texts"', "[]"), ["model.1.corpus", "[]"]),
        (MODEL.replace('"texts"', '""'), ["model.1.corpus.1", "at least 1 character"]),
        (MODEL + MODEL, ["2 models have the name 'a'"]),
        *(
            (f"at = {at}\n" + MODEL, ["at: it must be a time in hours and minutes", at.strip("'")])
            for at in ("'noon'", "3", "'03:00+05:00'", "'03:00:30'", "03:00:30", "2026-01-01")
        ),
        ("time_zone = 'Mars/Base'\n" + MODEL, ["time_zone", "Mars/Base"]),
    ],
)
def test_an_invalid_value_is_one_sentence(tmp_path: Path, content: str, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, content)
    for word in [*words, "nightly.toml"]:
        assert word in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).count("; it is ") <= 1


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no .*nightly.toml"):
        NightlyConfig.read(tmp_path / "nightly.toml")

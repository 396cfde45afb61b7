"""The settings of runs on a page."""

import json
import re
from pathlib import Path

from tests.training.report.pages import rows
from tests.training.report.runs import write_run
from training.report.configuration import configuration_section, differing, setting
from training.report.recorded import read_run


def test_every_setting_is_in_a_table_and_defaults_are_folded(tmp_path: Path) -> None:
    source = configuration_section(read_run(write_run(tmp_path)))
    changed, same = rows(source, "setting"), rows(source, "setting at its default")
    assert [row[0] for row in changed] == ["corpus", "vocabulary", "split", "batch size", "window"]
    assert changed[0] == ["corpus", "text.txt", ""]
    assert changed[2:] == [
        ["split", "0.8, 0.2, 0.0", "0.9, 0.05, 0.05"], ["batch size", "4", "32"], ["window", "20", "100"],
    ]  # fmt: skip
    config = json.loads((tmp_path / "run.json").read_text())["config"]
    assert sorted(row[0] for row in [*changed[2:], *same]) == sorted(name.replace("_", " ") for name in config)
    unfolded = re.sub(r"<details.*?</details>", "", source, flags=re.DOTALL)
    assert "warmup steps" not in unfolded
    assert "batch size" in unfolded


def test_settings_that_differ_are_listed_with_each_runs_value(tmp_path: Path) -> None:
    one = read_run(write_run(tmp_path / "1", settings={"units": 64}))
    other = read_run(write_run(tmp_path / "2", settings={"units": 512, "dropout": 0.5}))
    assert differing([one, other]) == {"units": ["64", "512"], "dropout": ["0.3", "0.5"]}
    assert differing([one, one]) == {}


def test_a_setting_that_a_run_does_not_have_is_the_default(tmp_path: Path) -> None:
    one, other = (read_run(write_run(tmp_path / name)) for name in ("1", "2"))
    del other.plan["config"]["dropout"]
    assert differing([one, other]) == {}


def test_a_list_is_shown_with_commas() -> None:
    assert [setting(value) for value in ([0.8, 0.2], "lstm", None)] == ["0.8, 0.2", "lstm", "None"]


def test_the_time_scale_of_weight_decay_is_given_in_epochs(tmp_path: Path) -> None:
    with_decay = read_run(write_run(tmp_path / "1", settings={"learning_rate": 0.01, "weight_decay": 0.25}))
    without = read_run(write_run(tmp_path / "2", settings={"weight_decay": 0.0}))
    assert "time scale of 20 epochs" in configuration_section(with_decay)  # of 20 steps
    assert "time scale" not in configuration_section(without)

"""Event files, read with TensorFlow's own reader."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from training.learning.tensorboard import EventLog


def record(step: int, nats: float = 2.0, **fields: Any) -> dict[str, Any]:
    """A line of history.jsonl, as it comes back from the file."""
    line = {
        "step": step,
        "epoch": step / 10,
        "chars_seen": step * 3200,
        "training_nats_per_char": nats,
        "validation_nats_per_char": nats + 0.25,
        "logit_scale": 1.0,
        "learning_rate": 0.004,
        "chars_per_second": 51234.5,
        "samples": {"0.5": "to be\n  or not", "1.0": "x"},
    }
    return json.loads(json.dumps(line | fields))


def events(folder: Path) -> list[Any]:
    """Every event, in the order in which TensorBoard reads them."""
    files = sorted(str(file) for file in folder.iterdir() if "tfevents" in file.name)
    return [tf.compat.v1.Event.FromString(item.numpy()) for item in tf.data.TFRecordDataset(files)]


def shown(folder: Path) -> dict[str, dict[int, Any]]:
    """The values that TensorBoard shows: tag -> step -> value. A session drops earlier events from its start on."""
    tags: dict[str, dict[int, Any]] = {}
    for event in events(folder):
        if event.session_log.status == tf.compat.v1.SessionLog.START:
            tags = {tag: {step: v for step, v in steps.items() if step < event.step} for tag, steps in tags.items()}
        for value in event.summary.value:
            text = value.WhichOneof("value") == "tensor"
            content = tf.make_ndarray(value.tensor).item().decode() if text else value.simple_value
            assert event.step not in tags.setdefault(value.tag, {}), "TensorBoard would draw this step twice"
            tags[value.tag][event.step] = content
    return tags


def test_every_curve_has_a_value_at_its_step(tmp_path: Path) -> None:
    with EventLog(tmp_path / "tensorboard") as log:
        log.evaluation(record(25, nats=3.0))
        log.evaluation(record(50, nats=2.0))
    tags = shown(tmp_path / "tensorboard")
    assert tags["loss/training"] == {25: 3.0, 50: 2.0}
    assert tags["loss/validation"] == {25: 3.25, 50: 2.25}
    assert tags["bits_per_char/validation"] == pytest.approx({25: 3.25 / math.log(2), 50: 2.25 / math.log(2)})
    assert tags["learning_rate"] == pytest.approx({25: 0.004, 50: 0.004})
    assert tags["chars_per_second"] == {25: 51234.5, 50: 51234.5}
    assert "novelty/new" not in tags


def test_novelty_is_drawn_where_it_was_measured(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        log.evaluation(record(1, novelty=None))
        log.evaluation(record(2, novelty={"lines": 200, "new": 0.75, "in_training": 0.25}))
    assert shown(tmp_path)["novelty/new"] == {2: 0.75}


def test_samples_are_texts_that_keep_their_lines(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        log.evaluation(record(7))
    tags = shown(tmp_path)
    assert tags["sample/temperature_0.5"] == {7: "```\nto be\n  or not\n```"}
    assert tags["sample/temperature_1.0"] == {7: "```\nx\n```"}
    plugins = {value.metadata.plugin_data.plugin_name for e in events(tmp_path) for value in e.summary.value}
    assert plugins == {"", "text"}


def test_a_sample_cannot_end_its_code_block(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        log.evaluation(record(7, samples={"1.0": "a\n````\n# b 漢\x00"}))
    assert shown(tmp_path)["sample/temperature_1.0"] == {7: "`````\na\n````\n# b 漢\x00\n`````"}


def test_an_evaluation_is_readable_at_once(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.evaluation(record(1))
    assert shown(tmp_path)["loss/training"] == {1: 2.0}
    log.evaluation(record(2))
    assert shown(tmp_path)["loss/training"] == {1: 2.0, 2: 2.0}
    log.close()


def test_a_resumed_run_shows_each_step_once(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        for step in (10, 20, 30):
            log.evaluation(record(step, nats=3.0))
    with EventLog(tmp_path) as log:
        for step in (20, 30, 40):
            log.evaluation(record(step, nats=1.0))
    assert len(list(tmp_path.iterdir())) == 2
    assert shown(tmp_path)["loss/training"] == {10: 3.0, 20: 1.0, 30: 1.0, 40: 1.0}
    assert list(shown(tmp_path)["sample/temperature_0.5"]) == [10, 20, 30, 40]


def test_every_file_starts_with_its_version_and_a_session(tmp_path: Path) -> None:
    for _ in range(2):
        with EventLog(tmp_path) as log:
            log.evaluation(record(5))
    versions = [event.file_version for event in events(tmp_path)]
    assert versions == ["brain.Event:2", "", ""] * 2
    assert [event.session_log.status for event in events(tmp_path)] == [0, tf.compat.v1.SessionLog.START, 0] * 2


def test_a_run_without_an_evaluation_leaves_no_file(tmp_path: Path) -> None:
    EventLog(tmp_path / "tensorboard").close()
    assert list(tmp_path.iterdir()) == []

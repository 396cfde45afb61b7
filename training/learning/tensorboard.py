"""Writes the lines of history.jsonl as TensorBoard event files. Knows that file format; decides nothing.

The files are written with TensorFlow alone: the package `tensorboard` is not needed where training runs.

`tf.summary` cannot write the start of a session. Here it is the first event of each file, with the step of the first
evaluation: TensorBoard then drops the events of earlier files from that step on. A run that is resumed from a
checkpoint and repeats evaluations shows each step once.
"""

import math
import os
import re
import socket
import time
from pathlib import Path
from typing import Any

import tensorflow as tf

Event = tf.compat.v1.Event
Summary = tf.compat.v1.Summary


class EventLog:
    """One event file in `folder`, created at the first evaluation. Close it, or use it in a `with`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def evaluation(self, record: dict[str, Any]) -> None:
        """Write one line of history.jsonl, and flush: TensorBoard shows it at once."""
        step = record["step"]
        if self._writer is None:
            self._begin(step)
        # Not as tensors: most readers of event files other than TensorBoard find scalars in this field only.
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in _curves(record).items()]
        values += [_text(f"sample/temperature_{key}", text) for key, text in record.get("samples", {}).items()]
        self._write(step=step, summary=Summary(value=values))
        self._writer.flush()

    def close(self) -> None:
        """Flush and close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _begin(self, step: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads every file with "tfevents" in its name, in name order: the time must come first.
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self._writer = tf.io.TFRecordWriter(str(self._folder / name))
        self._write(file_version="brain.Event:2")
        self._write(step=step, session_log=tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START))

    def _write(self, **fields: Any) -> None:
        self._writer.write(Event(wall_time=time.time(), **fields).SerializeToString())


def _curves(record: dict[str, Any]) -> dict[str, float]:
    validation = record["validation_nats_per_char"]
    curves = {
        "loss/training": record["training_nats_per_char"],
        "loss/validation": validation,
        "bits_per_char/validation": validation / math.log(2),
        "learning_rate": record["learning_rate"],
        "chars_per_second": record["chars_per_second"],
    }
    if record.get("novelty"):
        curves["novelty/new"] = record["novelty"]["new"]
    return curves


def _text(tag: str, text: str) -> Any:
    """A text as a Markdown code block: TensorBoard renders Markdown, which would join the lines."""
    runs = re.findall("`+", text)
    fence = "`" * max(3, 1 + max(map(len, runs), default=0))
    tensor = tf.make_tensor_proto(f"{fence}\n{text}\n{fence}".encode(), tf.string)
    metadata = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "text"}, data_class="DATA_CLASS_TENSOR")
    return Summary.Value(tag=tag, tensor=tensor, metadata=metadata)

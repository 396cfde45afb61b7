"""Writes the lines of history.jsonl as TensorBoard event files. Knows that file format; decides nothing.

Neither TensorBoard nor TensorFlow is needed where training runs: the few messages of event.proto, summary.proto and
tensor.proto that a curve and a text need are encoded here (protobuf.dev/programming-guides/encoding), and framed as
TFRecords.

The start of a session is the first event of each file, with the step of the first evaluation: TensorBoard then drops
the events of earlier files from that step on. A run that is resumed from a checkpoint and repeats evaluations shows
each step once.
"""

import math
import os
import re
import socket
import struct
import time
from pathlib import Path
from typing import Any, BinaryIO

START = 1  # of SessionLog.SessionStatus
STRING = 7  # of DataType
TENSOR = 2  # of DataClass


class EventLog:
    """One event file in `folder`, created at the first evaluation. Close it, or use it in a `with`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None

    def evaluation(self, record: dict[str, Any]) -> None:
        """Write one line of history.jsonl, and flush: TensorBoard shows it at once."""
        step = record["step"]
        if self._file is None:
            self._file = self._begun(step)
        # Not as tensors: most readers of event files other than TensorBoard find scalars in this field only.
        values = [_bytes(1, tag.encode()) + _float(2, value) for tag, value in _curves(record).items()]
        values += [_text(f"sample/temperature_{key}", text) for key, text in record.get("samples", {}).items()]
        self._file.write(_event(_varint(2, step) + _bytes(5, b"".join(_bytes(1, value) for value in values))))
        self._file.flush()

    def close(self) -> None:
        """Flush and close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _begun(self, step: int) -> BinaryIO:
        self._folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads every file with "tfevents" in its name, in name order: the time must come first.
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        file = (self._folder / name).open("xb")
        file.write(_event(_bytes(3, b"brain.Event:2")))
        file.write(_event(_varint(2, step) + _bytes(7, _varint(1, START))))
        return file


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


def _text(tag: str, text: str) -> bytes:
    """A text as a Markdown code block: TensorBoard renders Markdown, which would join the lines."""
    runs = re.findall("`+", text)
    fence = "`" * max(3, 1 + max(map(len, runs), default=0))
    tensor = _varint(1, STRING) + _bytes(2, b"") + _bytes(8, f"{fence}\n{text}\n{fence}".encode())  # of shape ()
    metadata = _bytes(1, _bytes(1, b"text")) + _varint(4, TENSOR)  # the plugin's name
    return _bytes(1, tag.encode()) + _bytes(9, metadata) + _bytes(8, tensor)


def _event(fields: bytes) -> bytes:
    """An Event of now with these fields, as a TFRecord: its length and its bytes, each with a masked CRC-32C."""
    event = struct.pack("<Bd", 1 << 3 | 1, time.time()) + fields  # field 1, 64 bits
    length = struct.pack("<Q", len(event))
    return length + _masked_crc(length) + event + _masked_crc(event)


def _varint(field: int, number: int) -> bytes:
    """A field with a whole number that is not negative."""
    return _digits(field << 3) + _digits(number)


def _float(field: int, number: float) -> bytes:
    """A field with a 32-bit float."""
    return _digits(field << 3 | 5) + struct.pack("<f", number)


def _bytes(field: int, content: bytes) -> bytes:
    """A field with a string or a message."""
    return _digits(field << 3 | 2) + _digits(len(content)) + content


def _digits(number: int) -> bytes:
    """A varint: digits of 7 bits, the lowest first; the top bit says that another follows."""
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def _masked_crc(content: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _crc_of_byte(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)  # Castagnoli's polynomial
    return crc


CRC_TABLE = [_crc_of_byte(byte) for byte in range(256)]

"""Helpers for tests of text: files with given contents, and small blocks so that their ends fall anywhere."""

import io
import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from training.config import TrainConfig
from training.data import encode, reader, shuffle

# Characters that make cuts difficult: accents of several classes, letters that compose, Hangul, three line ends.
HARD = ["a", "e", "é", "\u0301", "\u0323", "\u0344", "\u1100", "\u1161", "\u11a8", "각", "가", "か", "\u3099", "漢"]
HARD += ["\u212b", "\r", "\n", "\r\n", "\r\n", " ", "x", "\U0001f600", "\u0b47", "\u0b3e", "\ufeff", "\u0f71", "\u0f72"]


def config(**changes: Any) -> TrainConfig:
    """The defaults, with the smallest batch and window, so that a short text is long enough."""
    return TrainConfig(**({"batch_size": 1, "window": 1} | changes))


def write(folder: Path, *contents: str | bytes) -> str:
    """A folder with files of these contents, in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(contents):
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{number:03}.txt").write_bytes(data)
    return str(folder)


def set_small_blocks(monkeypatch: pytest.MonkeyPatch, generator: random.Random) -> None:
    """Make blocks so small that every text has many of them."""
    monkeypatch.setattr(reader, "BLOCK_BYTES", generator.choice([1, 2, 3, 5, 8, 13, 64]))
    block = generator.choice([1, 2, 7, 16])
    monkeypatch.setattr(encode, "BLOCK_SYMBOLS", block)
    monkeypatch.setattr(shuffle, "BLOCK_SYMBOLS", block)
    monkeypatch.setattr(shuffle, "BUCKET_SYMBOLS", generator.choice([1, 3, 20, 1000]))


def hard_text(generator: random.Random, length: int) -> str:
    return "".join(generator.choice(HARD) for _ in range(length))


def plain_text(*contents: str, normalization: str = "NFC") -> str:
    """The normalized text of files, in the simplest way: all of it in memory."""
    texts = [io.TextIOWrapper(io.BytesIO(content.encode()), "utf-8", newline=None).read() for content in contents]
    text = "".join(text.removeprefix("\ufeff") for text in texts)
    return unicodedata.normalize("NFC", text) if normalization == "NFC" else text

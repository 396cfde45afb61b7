"""Texts in files, and how tests that are about text want them read."""

import random
from pathlib import Path
from typing import Any

import pytest

from training.config import TrainConfig
from training.data import encode, reader, shuffle


def config(**changes: Any) -> TrainConfig:
    """The defaults, but for any text that has a validation part."""
    return TrainConfig(**({"batch_size": 1, "window": 1} | changes))


def write(folder: Path, *contents: str | bytes) -> str:
    """A folder with these files in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(contents):
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{number:03}.txt").write_bytes(data)
    return str(folder)


def set_small_blocks(monkeypatch: pytest.MonkeyPatch, generator: random.Random) -> None:
    """Let every border of a block fall where it hurts."""
    monkeypatch.setattr(reader, "BLOCK_BYTES", generator.choice([1, 2, 3, 5, 8, 13, 64]))
    monkeypatch.setattr(encode, "BLOCK_SYMBOLS", generator.choice([1, 2, 7, 16]))
    monkeypatch.setattr(shuffle, "BUCKET_SYMBOLS", generator.choice([1, 3, 20, 1000]))

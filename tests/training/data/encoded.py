"""Encoded parts of a text, for tests."""

from pathlib import Path

import pytest

from training.config import TrainConfig
from training.data import corpus
from training.data.encode_part import encode_part
from training.data.parts import Part
from training.data.storage import Folder


def encode_all(text: str, settings: TrainConfig, to: Path | str, parts: int) -> list[Part]:
    """Encode every part of the text at this path."""
    return [encode_part([text], settings, str(to), part=part, parts=parts)[0] for part in range(parts)]


class CountingFolder(Folder):
    """A folder that counts the bytes of ranges that are read."""

    read_bytes = 0

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        self.read_bytes += stop - start
        return super().read_range(path, start, stop)


def count_read_bytes(monkeypatch: pytest.MonkeyPatch) -> list[CountingFolder]:
    """The folders of all corpora of encoded parts that are opened from now on, in order."""
    opened: list[CountingFolder] = []

    def storage_of(location: str) -> CountingFolder:
        opened.append(CountingFolder(location))
        return opened[-1]

    monkeypatch.setattr(corpus, "storage_of", storage_of)
    return opened

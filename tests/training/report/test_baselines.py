"""N-gram losses that are kept in a run's folder."""

import json
from pathlib import Path

import numpy as np
import pytest

from training.report import ngrams
from training.report.baselines import kept_baselines

GENERATOR = np.random.Generator(np.random.PCG64(1))
TRAINING = GENERATOR.integers(1, 9, 500).astype(np.uint8)
VALIDATION = GENERATOR.integers(1, 9, 100).astype(np.uint8)


def test_baselines_are_those_of_the_parts(tmp_path: Path) -> None:
    found = kept_baselines(tmp_path, TRAINING, VALIDATION, 9)
    assert found.nats_per_char == ngrams.baselines(TRAINING, VALIDATION, 9)
    assert (found.counted, found.predicted) == (500, 100)
    assert kept_baselines(tmp_path, TRAINING, VALIDATION, 9) == found


def test_baselines_are_kept_until_the_text_changes(tmp_path: Path) -> None:
    kept_baselines(tmp_path, TRAINING, VALIDATION, 9)
    path = tmp_path / "baselines.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"nats_per_char": {"1": 1.2345}}))
    assert kept_baselines(tmp_path, TRAINING, VALIDATION, 9).nats_per_char == {1: 1.2345}
    for other in ((TRAINING[:-1], VALIDATION, 9), (TRAINING, VALIDATION[::-1], 9), (TRAINING, VALIDATION, 10)):
        path.write_text(json.dumps(kept | {"nats_per_char": {"1": 1.2345}}))
        assert len(kept_baselines(tmp_path, *other).nats_per_char) == 8
        assert json.loads(path.read_text())["fingerprint"] != kept["fingerprint"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fingerprint": "other"}'])
def test_damaged_baselines_are_computed_again(tmp_path: Path, content: str) -> None:
    (tmp_path / "baselines.json").write_text(content)
    assert len(kept_baselines(tmp_path, TRAINING, VALIDATION, 9).nats_per_char) == 8


def test_only_parts_of_a_long_text_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "TRAINING_SYMBOLS", 101)
    monkeypatch.setattr(ngrams, "VALIDATION_SYMBOLS", 11)
    found = kept_baselines(tmp_path, TRAINING, VALIDATION, 9)
    assert (found.counted, found.predicted) == (101, 11)

"""The model that ships is what the README says it is."""

import json
from pathlib import Path

import pytest

from tests.processes import ROOT, training
from training.config import TrainConfig
from training.data.corpus import Corpus, prepare
from training.learning.folder import Plan

VERSION = ROOT / "models/shakespeare/1"
# A real text, where there is one beside the checkout; it is never part of the project.
CORPUS = ROOT.parent / "shared/corpora/tinyshakespeare.txt"
TINYSHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def manifest() -> dict:
    return json.loads((VERSION / "assets.extra/manifest.json").read_text())


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in VERSION.rglob("*") if path.is_file()) <= 8_000_000


def test_it_was_trained_on_tinyshakespeare_and_measured_on_the_last_tenth() -> None:
    facts = manifest()
    assert (facts["layers"], facts["units"]) == (2, 256)
    assert [file["sha256"] for file in facts["corpus"]["files"]] == [TINYSHAKESPEARE_SHA256]
    assert facts["corpus"]["split"] == {
        "train": [0, 1_003_854],
        "validation": [1_003_854, 1_115_394],
        "test": [1_115_394, 1_115_394],
    }
    assert facts["metrics"]["validation"]["characters"] == 111_540
    assert facts["metrics"]["validation"]["nats_per_char"] <= 1.46


def test_it_was_published_before_weights_were_kept_and_nothing_can_start_from_it(tmp_path: Path) -> None:
    text = tmp_path / "corpus.txt"
    text.write_text("the old text\n" * 50)
    plan = Plan(TrainConfig(), ("corpus.txt",), "key", None)
    old = prepare([str(text)], TrainConfig(batch_size=1, window=1), tmp_path / "runs/mine/corpus")
    plan.save(tmp_path / "runs/mine")
    flags = ["--name", "mine", "--init-from", "shakespeare/1", "--models", str(ROOT / "models")]
    text.write_text("a new one\n" * 1000)
    refused = training("train", *flags, "--corpus", "corpus.txt", "--restart", cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert refused.stderr == "Error: shakespeare 1 does not hold its trained weights: train it anew to start from it.\n"
    # What was there before is still there.
    assert Corpus.open(tmp_path / "runs/mine/corpus").text(0, len(old)) == "the old text\n" * 50
    assert Plan.load(tmp_path / "runs/mine") == plan


@pytest.mark.skipif(not CORPUS.exists(), reason="needs ../shared/corpora/tinyshakespeare.txt")
def test_evaluate_prints_what_the_manifest_says() -> None:
    printed = training("evaluate", "shakespeare", "--corpus", str(CORPUS), cwd=ROOT).stdout
    nats = manifest()["metrics"]["validation"]["nats_per_char"]
    assert printed.startswith(f"shakespeare 1, validation: {nats:.4f} nats/char")

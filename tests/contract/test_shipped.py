"""The shipped model is as the README describes it."""

import json
import shutil
from pathlib import Path

import pytest

from service.engine.generation import GenerationRequest
from service.engine.prefix_cache import PrefixCache
from service.engine.sampling import SamplingParams
from service.engine.scheduler import Scheduler
from service.engine.stream import Stream
from service.model.model import Model
from tests.processes import ROOT, training

VERSION = ROOT / "models/shakespeare/3"
# Optional, beside the checkout; never part of the project.
CORPUS = ROOT.parent / "shared/corpora/tinyshakespeare.txt"
TINYSHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def manifest() -> dict:
    return json.loads((VERSION / "assets.extra/manifest.json").read_text())


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in VERSION.rglob("*") if path.is_file()) <= 8_000_000


def test_it_was_trained_on_tinyshakespeare_and_evaluated_on_the_last_tenth() -> None:
    fields = manifest()
    assert (fields["layers"], fields["units"]) == (2, 256)
    assert [file["sha256"] for file in fields["corpus"]["files"]] == [TINYSHAKESPEARE_SHA256]
    assert fields["corpus"]["split"] == {
        "train": [0, 1_003_854],
        "validation": [1_003_854, 1_115_394],
        "test": [1_115_394, 1_115_394],
    }
    assert fields["metrics"]["validation"]["characters"] == 111_540
    assert fields["metrics"]["validation"]["nats_per_char"] <= 1.42


def test_a_training_can_start_from_it(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("ROMEO:\nWherefore to Mantua?\n\n" * 200)
    shutil.copytree(VERSION.parent, tmp_path / "models/shakespeare")
    flags = ["--init-from", "shakespeare", "--batch-size", "2", "--window", "20", "--steps", "5"]
    training("train", "--name", "mine", "--corpus", "corpus.txt", *flags, cwd=tmp_path)
    mine = json.loads((tmp_path / "models/mine/1/assets.extra/manifest.json").read_text())
    assert mine["vocabulary"] == manifest()["vocabulary"]
    assert mine["parameters"] == manifest()["parameters"]


@pytest.mark.skipif(not CORPUS.exists(), reason="needs ../shared/corpora/tinyshakespeare.txt")
def test_evaluate_prints_the_loss_of_the_manifest() -> None:
    printed = training("evaluate", "shakespeare", "--corpus", str(CORPUS), cwd=ROOT).stdout
    nats = manifest()["metrics"]["validation"]["nats_per_char"]
    assert printed.startswith(f"shakespeare 3, validation: {nats:.4f} nats/char")


def test_it_is_version_2_published_again_with_guesses() -> None:
    assert manifest()["parent"] == 2
    model = Model(VERSION)  # repeats the probe of version 2
    model.require("advance_top")
    model.require("inspect")


def test_extreme_parameters_of_a_stream_do_not_affect_others() -> None:
    """Parameters that underflow to 0 in float32 select the most likely symbol."""
    model = Model(VERSION)
    scheduler = Scheduler(engines=1, slots=16, queue=16, chunk=8, cache=PrefixCache(0))
    extremes = [{"top_p": p} for p in (1e-40, 1e-45, 1e-320)] + [{"temperature": t} for t in (1e-40, 1e-45, 1e-320)]

    def start(rule: dict[str, float]) -> Stream:
        sampling = SamplingParams(**({"seed": 1} | rule))
        return Stream(model, GenerationRequest(prompt="ROMEO:", length=40, sampling=sampling), scheduler)

    def text(stream: Stream) -> str:
        for _ in stream.chunks(10):
            pass
        return stream.result().text

    alone, greedy = text(start({})), text(start({"temperature": 0.0}))
    together = [start(rule) for rule in ({}, *extremes, {})]
    assert [text(stream) for stream in together] == [alone, *[greedy] * len(extremes), alone]
    scheduler.close()

"""The shipped model is as the README describes it."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.engine.generation import GenerationRequest
from service.engine.prefix_cache import PrefixCache
from service.engine.sampling import SamplingParams
from service.engine.scheduler import Scheduler
from service.engine.stream import Stream
from service.model.model import Model
from tests.processes import ROOT, training

VERSION = ROOT / "models/shakespeare/5"
# Optional, beside the checkout; never part of the project.
CORPUS = ROOT.parent / "shared/corpora/shakespeare_input.txt"
PLAYS_SHA256 = "4ac6b91b2842499efcdfb853adbe4e51da4a367c5444acb17032d4c3dd4162cf"


def manifest() -> dict:
    return json.loads((VERSION / "assets.extra/manifest.json").read_text())


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in VERSION.rglob("*") if path.is_file()) <= 8_000_000


def test_it_was_trained_on_the_plays_and_evaluated_on_two_that_it_has_not_seen() -> None:
    fields = manifest()
    assert (fields["layers"], fields["units"]) == (2, 360)
    assert [file["sha256"] for file in fields["corpus"]["files"]] == [PLAYS_SHA256]
    assert fields["corpus"]["split"]["test"] == [4_316_060, 4_573_338]
    assert fields["metrics"]["test"]["characters"] == 257_278
    assert fields["metrics"]["test"]["nats_per_char"] <= 1.35


def test_a_training_can_start_from_it(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("ROMEO:\nWherefore to Mantua?\n\n" * 200)
    shutil.copytree(VERSION.parent, tmp_path / "models/shakespeare")
    flags = ["--init-from", "shakespeare", "--batch-size", "2", "--window", "20", "--steps", "5"]
    training("train", "--name", "mine", "--corpus", "corpus.txt", *flags, cwd=tmp_path)
    mine = json.loads((tmp_path / "models/mine/1/assets.extra/manifest.json").read_text())
    assert mine["vocabulary"] == manifest()["vocabulary"]
    assert mine["parameters"] == manifest()["parameters"]


@pytest.mark.skipif(not CORPUS.exists(), reason="needs ../shared/corpora/shakespeare_input.txt")
def test_the_commands_of_its_card_give_its_text_and_evaluate_prints_the_loss_of_the_manifest(tmp_path: Path) -> None:
    shutil.copy(CORPUS, tmp_path / "shakespeare_input.txt")
    (commands,) = re.findall(r"```\ncd texts\n(.*?)```", (VERSION.parent / "README.md").read_text(), re.DOTALL)
    subprocess.run(["sh", "-ec", commands], check=True, cwd=tmp_path)
    plays = tmp_path / "plays.txt"
    assert hashlib.sha256(plays.read_bytes()).hexdigest() == PLAYS_SHA256
    flags = ["--corpus", str(plays), "--part", "validation"]
    printed = training("evaluate", "shakespeare", *flags, cwd=ROOT).stdout
    nats = manifest()["metrics"]["validation"]["nats_per_char"]
    assert printed.startswith(f"shakespeare 5, validation: {nats:.4f} nats/char")


def test_it_has_every_function() -> None:
    model = Model(VERSION, "bfloat16")
    assert model.precision == "bfloat16"
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

"""A byte model, trained on a file that is no text in any encoding: published, scored, sampled and served."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.model.codec import TextCodec
from service.model.manifest import Manifest
from tests.contract.published import history_of, manifest_of, says_loss
from tests.processes import training
from tests.servers import Server
from training.data.vocabulary import Vocabulary

WORDS = ["мама ", "мыла ", "раму. ", "床前", "明月光\n", "😀", "🧵 ", "e\u0301 "]


def mixed_bytes() -> bytes:
    """UTF-8 of two to four bytes a character, with bytes between that can stand in no UTF-8."""
    generator = random.Random(4)
    words = [generator.choice(WORDS).encode() for _ in range(500)]
    return b"".join(word + (b"\xff\xe9" if generator.random() < 0.02 else b"") for word in words) + b"\r\n\0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "data.bin").write_bytes(mixed_bytes())
    size = ["--layers", "2", "--units", "16", "--embedding", "0", "--batch-size", "4", "--window", "40"]
    learning = ["--epochs", "4", "--learning-rate", "0.02", "--warmup-steps", "5", "--dropout", "0.1"]
    given = ["--unit", "byte", "--cell", "gru", "--weight-dropout", "0.1", "--output-dropout", "0"]
    training("train", "--name", "raw", "--corpus", "data.bin", *given, *size, *learning, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def byte_server(folder: Path) -> Iterator[Server]:
    started = Server(folder / "models", engines=2, slots=4, chunk=7)
    yield started
    started.stop()


def test_the_manifest_says_that_symbols_are_bytes_as_they_stand(folder: Path) -> None:
    manifest, data = manifest_of(folder / "models/raw/1"), mixed_bytes()
    assert (manifest["unit"], manifest["normalization"], manifest["cell"]) == ("byte", "none", "gru")
    assert manifest["vocabulary"] == [None, *sorted(set(data))]
    assert manifest["corpus"]["characters"] == len(data)
    assert (manifest["layers"], manifest["units"]) == (2, 16)
    symbols, gates, units = len(manifest["vocabulary"]), 3, 16
    # One-hot below, a bias for the gates and a candidate's of its own in each layer, a dense layer above.
    layers = [(inputs + units + 1) * gates * units + units for inputs in (symbols, units)]
    assert manifest["parameters"] == sum(layers) + (units + 1) * symbols


def test_samples_and_losses_are_recorded_for_a_person(folder: Path) -> None:
    lines = history_of(folder / "models/raw/1")
    assert lines == [json.loads(line) for line in (folder / "runs/raw/history.jsonl").read_text().splitlines()]
    assert lines[-1]["validation_nats_per_char"] < np.log(len(set(mixed_bytes())))
    texts = [text for line in lines for text in line["samples"].values()]
    assert all(text.encode() for text in texts)  # half a character is U+FFFD, not half a surrogate
    assert any(character in text for text in texts for character in "мылраупт月😀")


def test_evaluate_prints_the_numbers_of_the_manifest(folder: Path) -> None:
    printed = training("evaluate", "raw", "--corpus", "data.bin", cwd=folder).stdout
    for part in ("validation", "test"):
        assert says_loss(printed, "raw 1", part, manifest_of(folder / "models/raw/1"))


@pytest.mark.parametrize("prompt", ["", "мама 床", "😀ж\u0301"])
def test_the_command_line_and_the_service_write_the_same_text(folder: Path, byte_server: Server, prompt: str) -> None:
    wanted = {"prompt": prompt, "temperature": 0.8, "length": 80, "seed": 5}
    served = byte_server.generate(**wanted)["text"]
    flags = [item for name, value in wanted.items() for item in (f"--{name}", str(value))]
    assert training("sample", "raw", *flags, cwd=folder).stdout == prompt + served + "\n"
    assert len(served) == 80
    assert len(served.encode()) > 120  # most characters took several bytes


def test_both_wings_read_the_same_bytes(folder: Path) -> None:
    path = folder / "models/raw/1/assets.extra/manifest.json"
    ours, theirs = (
        TextCodec(Manifest.read(path.parents[1])),
        Vocabulary.from_json(manifest_of(path.parents[1])["vocabulary"], "byte"),
    )
    text = "раму 明月\U0001f600e\u0301 Zé\ud800\x00end"
    np.testing.assert_array_equal(ours.encode(text), theirs.encode(text))
    everything = np.random.default_rng(1).integers(1, len(theirs), 500)
    assert ours.decode(everything.tolist()) == theirs.decode(everything)

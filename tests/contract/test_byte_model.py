"""A byte model, trained on a file that is not valid UTF-8: published, evaluated, sampled and served."""

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
    """UTF-8 of two to four bytes a character, with invalid bytes between the words."""
    generator = random.Random(4)
    words = [generator.choice(WORDS).encode() for _ in range(500)]
    return b"".join(word + (b"\xff\xe9" if generator.random() < 0.02 else b"") for word in words) + b"\r\n\0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data.bin` and `models/raw/1`, a small GRU over its bytes."""
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "data.bin").write_bytes(mixed_bytes())
    size = ["--layers", "2", "--units", "16", "--embedding", "0", "--batch-size", "4", "--window", "40"]
    learning = ["--epochs", "4", "--learning-rate", "0.02", "--warmup-steps", "5", "--dropout", "0.1"]
    kind = ["--unit", "byte", "--cell", "gru", "--weight-dropout", "0.1", "--output-dropout", "0"]
    training("train", "--name", "raw", "--corpus", "data.bin", *kind, *size, *learning, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def byte_server(folder: Path) -> Iterator[Server]:
    started = Server(folder / "models", engines=2, slots=4, chunk=7)
    yield started
    started.stop()


def test_the_manifest_describes_bytes_without_normalization(folder: Path) -> None:
    manifest, data = manifest_of(folder / "models/raw/1"), mixed_bytes()
    assert (manifest["unit"], manifest["normalization"], manifest["cell"]) == ("byte", "none", "gru")
    assert manifest["vocabulary"] == [None, *sorted(set(data))]
    assert manifest["corpus"]["characters"] == len(data)
    assert (manifest["layers"], manifest["units"]) == (2, 16)
    symbols, gates, units = len(manifest["vocabulary"]), 3, 16
    # One-hot input; in each layer the gates' bias and the candidate's; a linear layer to the logits.
    layers = [(inputs + units + 1) * gates * units + units for inputs in (symbols, units)]
    assert manifest["parameters"] == sum(layers) + (units + 1) * symbols


def test_the_history_has_losses_and_samples_as_text(folder: Path) -> None:
    lines = history_of(folder / "models/raw/1")
    assert lines == [json.loads(line) for line in (folder / "runs/raw/history.jsonl").read_text().splitlines()]
    assert lines[-1]["validation_nats_per_char"] < np.log(len(set(mixed_bytes())))
    texts = [text for line in lines for text in line["samples"].values()]
    assert all(text.encode() for text in texts)  # an incomplete character is U+FFFD, not a lone surrogate
    assert any(character in text for text in texts for character in "мылраупт月😀")


def test_evaluate_prints_the_losses_of_the_manifest(folder: Path) -> None:
    printed = training("evaluate", "raw", "--corpus", "data.bin", cwd=folder).stdout
    for part in ("validation", "test"):
        assert says_loss(printed, "raw 1", part, manifest_of(folder / "models/raw/1"))


@pytest.mark.parametrize("prompt", ["", "мама 床", "😀ж\u0301"])
def test_sample_and_the_service_write_the_same_text(folder: Path, byte_server: Server, prompt: str) -> None:
    fields = {"prompt": prompt, "temperature": 0.8, "length": 80, "seed": 5}
    served = byte_server.generate(**fields)["text"]
    flags = [item for name, value in fields.items() for item in (f"--{name}", str(value))]
    assert training("sample", "raw", *flags, cwd=folder).stdout == prompt + served + "\n"
    assert len(served) == 80
    assert len(served.encode()) > 120  # most characters have several bytes


def test_service_and_training_encode_and_decode_bytes_the_same(folder: Path) -> None:
    version = folder / "models/raw/1"
    codec = TextCodec(Manifest.read(version))
    vocabulary = Vocabulary.from_json(manifest_of(version)["vocabulary"], "byte")
    text = "раму 明月\U0001f600e\u0301 Zé\ud800\x00end"
    np.testing.assert_array_equal(codec.encode(text), vocabulary.encode(text))
    ids = np.random.default_rng(1).integers(1, len(vocabulary), 500)
    assert codec.decode(ids.tolist()) == vocabulary.decode(ids)

"""Products in bfloat16, from publishing to a service that computes with them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.model.model import Model, ModelError
from tests.processes import training
from tests.texts import write_corpus
from training.errors import InputError
from training.release.published import PublishedModel

NETWORK = ["--units", "256", "--layers", "1", "--embedding", "8"]
LEARNING = ["--batch-size", "8", "--window", "20", "--steps", "150", "--learning-rate", "0.003"]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a published version of 256 units, from which functions in bfloat16 are exported."""
    folder = tmp_path_factory.mktemp("wide")
    write_corpus(folder / "corpus.txt")
    training("train", "--name", "wide", "--corpus", "corpus.txt", *NETWORK, *LEARNING, cwd=folder)
    return folder


def test_a_narrow_version_is_served_in_float32_and_not_evaluated_in_bfloat16(tiny: Path) -> None:
    assert Model(tiny / "models/tiny/1", "bfloat16").precision == "float32"
    with pytest.raises(InputError, match="fewer than 256 units have none; it has 8"):
        PublishedModel(tiny / "models/tiny/1", "bfloat16")


def test_a_version_whose_bfloat16_functions_disagree_is_refused(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.model.model.BFLOAT16_TOLERANCE_NATS", 1e-9)
    with pytest.raises(ModelError, match="'advance_bfloat16' does not agree with its probe"):
        Model(wide / "models/wide/1", "bfloat16")


def test_the_cost_is_evaluated(wide: Path) -> None:
    command = ["evaluate", "wide", "--corpus", "corpus.txt", "--part", "validation"]
    (exact,) = (line for line in training(*command, cwd=wide).stdout.splitlines() if line.startswith("wide 1,"))
    lines = training(*command, "--precision", "bfloat16", cwd=wide).stdout.splitlines()
    assert lines[0].startswith("wide 1 in bfloat16, validation: ")
    nats, of_float32 = (float(line.split(": ")[1].split()[0]) for line in (lines[0], exact))
    assert nats == pytest.approx(of_float32, abs=0.01)
    assert f"than wide 1, which has {of_float32:.4f}" in lines[-1]


def test_streams_are_bit_for_bit_the_same_alone_and_beside_others(wide: Path, serve: Any) -> None:
    requests = [{"prompt": "the cat "[: seed % 8], "length": 40 + seed, "seed": seed} for seed in range(24)]
    server = serve(wide / "models", engines=2, slots=16, precision="bfloat16")
    with ThreadPoolExecutor(len(requests)) as pool:
        together = list(pool.map(lambda request: server.generate(**request), requests))
    alone = [server.generate(**request) for request in requests[:6]]
    for one, many in zip(alone, together, strict=False):
        assert (one["text"], one["logprobs"]) == (many["text"], many["logprobs"])
    in_float32 = serve(wide / "models", engines=1).generate(**requests[0])
    assert in_float32["logprobs"] != alone[0]["logprobs"]
    assert "its products are bfloat16" in server.log()
    np.testing.assert_allclose(in_float32["logprobs"][:2], alone[0]["logprobs"][:2], atol=0.2)

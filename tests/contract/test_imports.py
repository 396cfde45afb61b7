"""Service and training share only the artifact: neither imports the other, and both read the same vocabulary."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from service.model.codec import TextCodec
from service.model.manifest import Manifest
from tests.processes import ROOT
from training.data.vocabulary import Vocabulary


def modules_after(statement: str) -> set[str]:
    """The top-level packages that a new interpreter has loaded after this statement."""
    program = f"{statement}; import sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(result.stdout.split())


def test_the_service_imports_neither_training_nor_keras_nor_tensorflow() -> None:
    assert not modules_after("import service.app") & {"training", "keras", "tensorflow"}


def test_training_imports_neither_the_service_nor_flask() -> None:
    statement = "import training.commands, training.learning.run, training.release.publish"
    assert not modules_after(statement) & {"service", "flask", "gunicorn"}


def test_service_and_training_encode_and_decode_a_text_the_same(tiny: Path) -> None:
    path = tiny / "models/tiny/1/assets.extra/manifest.json"
    codec = TextCodec(Manifest.read(path.parents[1]))
    vocabulary = Vocabulary.from_json(json.loads(path.read_text())["vocabulary"])
    text = "the mat.\nZ\u0301é\U0001f600 \x00end"
    np.testing.assert_array_equal(codec.encode(text), vocabulary.encode(text))
    known = [id_ for id_ in vocabulary.encode(text).tolist() if id_]
    assert codec.decode(known) == vocabulary.decode(known)

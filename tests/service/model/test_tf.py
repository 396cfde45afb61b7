import json
import subprocess
import sys

import pytest
import tensorflow
from tensorflow.core.protobuf.config_pb2 import CallableOptions

from service.model import tf
from tests.processes import ROOT

LOAD = """
import hashlib, sys
from pathlib import Path
import numpy as np
from service.model.model import Model

model = Model(Path("models/names/2"))  # replays its probe
logprobs = model.inspect(np.arange(1, 33, dtype=np.int32).reshape(2, 16), model.initial_state(2)).logprobs
print(sorted({"tensorflow", "keras", "jax"} & sys.modules.keys()), hashlib.sha256(logprobs.tobytes()).hexdigest())
"""
OTHER_VERSION = """
from service.model.bare_package import bare_package

with bare_package("tensorflow"):
    from tensorflow.python.framework import versions
versions.VERSION = "2.99.0"
"""
# A module that is missing, or that fails, unless `tensorflow/__init__.py` runs.
FAILING_MODULE = """
import sys

class Failing:
    def find_spec(name, path, target=None):
        if name == "tensorflow.python.saved_model.loader_impl" and "tensorflow._api" not in sys.modules:
            raise {error}("no such part")

sys.meta_path.insert(0, Failing)
"""
# The classes, functions and plain values that the modules of TensorFlow have.
SHOW_MODULES = """
import json, sys, types, tensorflow

def shown(value):
    if isinstance(value, type | types.FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    return str(value) if isinstance(value, bool | int | str | types.NoneType) else "other"

found = {
    f"{name}.{key}": shown(value)
    for name, module in sys.modules.copy().items()
    if name.startswith("tensorflow")
    for key, value in vars(module).copy().items()
    if not isinstance(value, types.ModuleType)
}
print(json.dumps(found))
"""


def output(program: str) -> tuple[str, str]:
    """Stdout and stderr of a Python program. Its sets of strings have the same order each time."""
    environment = {"PYTHONHASHSEED": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, check=True, text=True
    )
    return result.stdout, result.stderr


@pytest.fixture(scope="module")
def logprobs() -> str:
    """The hash of the logprobs that a model gives without the rest of TensorFlow."""
    packages, digest = output(LOAD)[0].rsplit(maxsplit=1)
    assert packages == "[]"
    return digest


def test_its_names_are_those_of_the_public_interface() -> None:
    v1 = tensorflow.compat.v1
    assert (tf.Session, tf.ConfigProto) == (v1.Session, v1.ConfigProto)
    assert (tf.Graph, tf.TensorShape) == (tensorflow.Graph, tensorflow.TensorShape)
    assert (tf.as_dtype, tf.constant) == (tensorflow.as_dtype, tensorflow.constant)
    assert (tensorflow.__version__, tensorflow.saved_model.SERVING) == (tf.VERSION, tf.SERVING)
    assert tf.CallableOptions is CallableOptions


def test_the_installed_version_is_the_checked_one() -> None:
    assert tensorflow.__version__.startswith(tf.CHECKED_VERSION)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (OTHER_VERSION, "its parts were checked in version 2.21.*, and this is 2.99.0"),
        pytest.param(FAILING_MODULE.format(error="ModuleNotFoundError"), "no such part", marks=pytest.mark.slow),
        pytest.param(FAILING_MODULE.format(error="AttributeError"), "no such part", marks=pytest.mark.slow),
    ],
)
def test_a_model_gives_the_same_bits_where_all_of_tensorflow_must_be_imported(
    logprobs: str, program: str, reason: str
) -> None:
    out, err = output(program + LOAD)
    packages, digest = out.rsplit(maxsplit=1)
    assert "tensorflow" in packages
    assert digest == logprobs
    assert f"All of TensorFlow is imported, which takes longer: {reason}\n" in err


def test_a_later_import_gives_the_same_tensorflow_as_an_import_at_the_start() -> None:
    at_the_start = json.loads(output(SHOW_MODULES)[0])
    afterwards = json.loads(output("import service.model.tf\n" + SHOW_MODULES)[0])
    assert len(at_the_start) > 10_000
    different = {name for name, value in at_the_start.items() if afterwards.get(name) != value}
    # Packages without code, whose modules were imported before.
    empty = {"tensorflow.core.lib", "tensorflow.core.lib.core", "tensorflow.dtensor.proto"}
    assert {name.rpartition(".")[0] for name in different} <= empty

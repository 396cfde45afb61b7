import subprocess
import sys
from pathlib import Path

import tensorflow

from service.model import tf
from tests.processes import ROOT
from tests.service.scripted import write_version

LOADS = """
import sys
from pathlib import Path
from service.model.model import Model

Model(Path(sys.argv[1]))  # replays its probe
assert not {"tensorflow", "keras", "jax"} & sys.modules.keys()
"""
IMPORTS_ALL_AFTERWARDS = """
import tensorflow

assert tensorflow.add(1, 2).numpy() == 3
"""


def test_its_names_are_those_of_the_public_interface() -> None:
    v1 = tensorflow.compat.v1
    assert (tf.Session, tf.ConfigProto, tf.load) == (v1.Session, v1.ConfigProto, v1.saved_model.load)
    assert (tf.Graph, tf.TensorShape, tf.as_dtype) == (tensorflow.Graph, tensorflow.TensorShape, tensorflow.as_dtype)
    assert (tensorflow.__version__, tensorflow.saved_model.SERVING) == (tf.VERSION, tf.SERVING)


def test_a_model_runs_without_the_rest_of_tensorflow_which_can_be_imported_afterwards(tmp_path: Path) -> None:
    program = [sys.executable, "-c", LOADS + IMPORTS_ALL_AFTERWARDS, write_version(tmp_path)]
    subprocess.run(program, cwd=ROOT, check=True)

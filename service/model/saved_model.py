"""The functions of a SavedModel over NumPy arrays.

TensorFlow (`tf.py`) is not imported with this module, because its import takes a second. A call goes through a session:
a call of a restored function spends one to three milliseconds in Python, as long as several steps of a network, and
holds the interpreter's lock meanwhile (docs/experiments.md).
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_inter_op_threads = 0  # TensorFlow's default


class SavedModelError(Exception):
    """TensorFlow cannot load the folder. The message completes a sentence that names the version."""


class SavedModel:
    """A loaded SavedModel. Any number of threads may call its functions."""

    def __init__(self, folder: Path) -> None:
        """Load the folder.

        Raises:
            SavedModelError: TensorFlow cannot load it.
        """
        from service.model import tf

        graph = tf.Graph()
        self._session = _session(graph)
        try:
            with graph.as_default():
                loaded = tf.load(self._session, [tf.SERVING], str(folder))
            self._signatures = {name: found for name, found in loaded.signature_def.items() if found.inputs}
        except Exception as error:  # damaged files raise many kinds of exception
            raise SavedModelError(f"TensorFlow {tf.VERSION} cannot load it: {error}") from error
        self._compiled: dict[str, Callable[[Arrays], Arrays]] = {}

    def has(self, function: str) -> bool:
        """Whether it has a function of this name."""
        return function in self._signatures

    def compile(self, function: str) -> None:
        """Compile a function, which takes up to a second. The first `call` does so otherwise.

        Raises:
            SavedModelError: TensorFlow cannot compile it.
        """
        from service.model import tf

        try:
            self._compiled[function] = self._callable(self._signatures[function])
        except Exception as error:  # of many kinds, as above
            raise SavedModelError(f"TensorFlow {tf.VERSION} cannot compile {function}: {error}") from error

    def check_inputs(self, function: str, arrays: Arrays) -> None:
        """Check that a function takes these arrays; `call`, which is called all the time, does not.

        Raises:
            ValueError: it takes others. The message names one.
        """
        from service.model import tf

        expected = dict(self._signatures[function].inputs)
        if expected.keys() != arrays.keys():
            raise ValueError(f"{function} takes {', '.join(sorted(expected))}, not {', '.join(sorted(arrays))}")
        for name, tensor in expected.items():
            shape, dtype = tf.TensorShape(tensor.tensor_shape), tf.as_dtype(tensor.dtype).as_numpy_dtype
            found = arrays[name]
            if not shape.is_compatible_with(found.shape) or found.dtype != dtype:
                wanted = f"{np.dtype(dtype)} {shape}"
                raise ValueError(f"{function} takes {name} as {wanted}, not {found.dtype} {found.shape}")

    def call(self, function: str, inputs: Arrays) -> Arrays:
        """The outputs of a function, by name. One that is an unchanged input may share its memory."""
        if function not in self._compiled:
            self.compile(function)
        return self._compiled[function](inputs)

    def weights(self) -> Arrays:
        """Every variable by name."""
        reads = [op for op in self._session.graph.get_operations() if op.type == "ReadVariableOp"]
        values = self._session.run([op.outputs[0] for op in reads])
        return {op.inputs[0].op.name: value for op, value in zip(reads, values, strict=True)}

    def _callable(self, signature: Any) -> Callable[[Arrays], Arrays]:
        """A function of named arrays."""
        from service.model.tf import CallableOptions

        inputs, outputs = dict(signature.inputs), dict(signature.outputs)
        options = CallableOptions(
            feed=[tensor.name for tensor in inputs.values()], fetch=[tensor.name for tensor in outputs.values()]
        )
        # `Session.make_callable` is public, and spends as long in Python as a restored function.
        run = self._session._make_callable_from_options(options)
        return lambda arrays: dict(zip(outputs, run(*[arrays[name] for name in inputs]), strict=True))


def _session(graph: Any) -> Any:
    from service.model import tf

    # TensorFlow warns that sessions are deprecated, which is meant for building models, not for running them.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # By default one matrix product uses every core; concurrent engines use them better (docs/experiments.md).
    threads = {"intra_op_parallelism_threads": 1, "inter_op_parallelism_threads": _inter_op_threads}
    return tf.Session(graph=graph, config=tf.ConfigProto(**threads))


def configure_threads(engines: int) -> None:
    """Let each of so many engines use one core. Must be called before a model loads.

    Also imports TensorFlow and runs a first session, so that all lines that its native code writes to stderr come now.
    """
    global _inter_op_threads
    _inter_op_threads = engines
    from service.model import tf

    graph = tf.Graph()
    with graph.as_default(), _session(graph) as session:
        session.run(tf.constant(0))

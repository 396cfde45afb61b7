"""The functions of a SavedModel over NumPy arrays.

TensorFlow (`tf.py`) is not imported with this module, because its import takes a second. A call goes through a session:
a call of a restored function spends one to three milliseconds in Python, as long as several steps of a network, and
holds the interpreter's lock meanwhile (docs/experiments.md).

TensorFlow is told to leave the loops of the graph whole: by default it splits each into operations that a slower
executor runs, which costs 10 to 20 % of a step. It is also told not to optimize the session's graph, which takes a
third of a second for each function and makes none faster; it still optimizes the functions that the graph calls
(docs/experiments.md).
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

CALLING_THREAD = -1  # as a pool of threads, for TensorFlow
SPLITS = "_lower_using_switch_merge"  # the attribute of loops and branches that TensorFlow may split

_inter_op_threads = 0  # TensorFlow's default


class SavedModelError(Exception):
    """TensorFlow cannot load the folder. The message completes a sentence that names the version."""


class Ways(NamedTuple):
    """The ways to compute a function, whose outputs have the same bits."""

    alone: Callable[[Arrays], Arrays]
    """On the threads of the pool, which compute the gates of a step at the same time. On one core, and where it would
    not be faster, it is the other way."""

    beside_others: Callable[[Arrays], Arrays]
    """On the calling thread, without the cost of passing work to another one."""


class _Running:
    """Counts the calls that run, of all models. Use it as a context: whether no other call ran when this one began."""

    def __init__(self) -> None:
        self._calls = 0
        self._lock = threading.Lock()

    def __enter__(self) -> bool:
        with self._lock:
            self._calls += 1
            return self._calls == 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._calls -= 1


_running = _Running()


class SavedModel:
    """A loaded SavedModel. Any number of threads may call its functions."""

    def __init__(self, folder: Path, *, divides: bool = True) -> None:
        """Load the folder. `divides`: whether a call that runs alone divides its operations among several cores.

        Raises:
            SavedModelError: TensorFlow cannot load it.
        """
        from service.model import tf

        graph = tf.Graph()
        self._session = _session(graph)
        self._divides = divides and _inter_op_threads != 1
        try:
            loader = tf.SavedModelLoader(str(folder))
            _keep_loops(loader.get_meta_graph_def_from_tags([tf.SERVING]).graph_def)
            with graph.as_default():
                loaded = loader.load(self._session, [tf.SERVING])
            self._signatures = {name: found for name, found in loaded.signature_def.items() if found.inputs}
        except Exception as error:  # damaged files raise many kinds of exception
            raise SavedModelError(f"TensorFlow {tf.VERSION} cannot load it: {error}") from error
        self._compiled: dict[str, Ways] = {}

    def has(self, function: str) -> bool:
        """Whether it has a function of this name."""
        return function in self._signatures

    def first_call(self, function: str, inputs: Arrays) -> Arrays:
        """The outputs of a function, computed each way, so that no later call is delayed by its preparation.

        Raises:
            SavedModelError: TensorFlow cannot compile it.
        """
        for compute in set(self._ways(function)):
            outputs = compute(inputs)
        return outputs

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
        """The outputs of a function, by name. One that is an unchanged input may share its memory.

        Raises:
            SavedModelError: TensorFlow cannot compile it.
        """
        ways = self._ways(function)
        with _running as alone:
            return ways.alone(inputs) if alone else ways.beside_others(inputs)

    def weights(self) -> Arrays:
        """Every variable by name."""
        reads = [op for op in self._session.graph.get_operations() if op.type == "ReadVariableOp"]
        values = self._session.run([op.outputs[0] for op in reads])
        return {op.inputs[0].op.name: value for op, value in zip(reads, values, strict=True)}

    def _ways(self, function: str) -> Ways:
        """The ways to compute a function, which is compiled for its first call."""
        from service.model import tf

        if function not in self._compiled:
            try:
                signature = self._signatures[function]
                own_thread = self._callable(signature, CALLING_THREAD)
                alone = self._callable(signature) if self._divides else own_thread
                self._compiled[function] = Ways(alone, own_thread)
            except Exception as error:  # of many kinds, as above
                raise SavedModelError(f"TensorFlow {tf.VERSION} cannot compile {function}: {error}") from error
        return self._compiled[function]

    def _callable(self, signature: Any, pool: int = 0) -> Callable[[Arrays], Arrays]:
        """A function of named arrays, computed by a pool of threads or the `CALLING_THREAD`."""
        from service.model.tf import CallableOptions

        inputs, outputs = dict(signature.inputs), dict(signature.outputs)
        options = CallableOptions(
            feed=[tensor.name for tensor in inputs.values()], fetch=[tensor.name for tensor in outputs.values()]
        )
        options.run_options.inter_op_thread_pool = pool
        # `Session.make_callable` is public, and spends as long in Python as a restored function.
        run = self._session._make_callable_from_options(options)
        return lambda arrays: dict(zip(outputs, run(*[arrays[name] for name in inputs]), strict=True))


def _keep_loops(graph_def: Any) -> None:
    """Let TensorFlow run the loops and branches of a graph without splitting them."""
    for function in graph_def.library.function:
        for node in function.node_def:
            if SPLITS in node.attr:
                node.attr[SPLITS].b = False


def _session(graph: Any) -> Any:
    from service.model import tf

    # TensorFlow warns that sessions are deprecated, which is meant for building models, not for running them.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # By default one matrix product uses every core; concurrent engines use them better (docs/experiments.md).
    config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=_inter_op_threads)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return tf.Session(graph=graph, config=config)


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

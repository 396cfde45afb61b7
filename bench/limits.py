"""Upper limits of this machine: the time of a step's matrix products alone, and of reading the weights alone.

Knows the sizes of a model, not its weights, whose values do not affect the time.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bench.contender import Sample, Turn
from service.model.manifest import Manifest
from service.model.model import Model

STEPS_PER_CALL = 32


class MatrixProducts:
    """The products of a step, one after the other, on a thread for each engine, one core each."""

    def __init__(self, model: Model, engines: int) -> None:
        self._model, self._engines = model, engines

    def __call__(self, turn: Turn) -> Sample:
        """Characters/s if a step were only its products, for the engines' rows with their padding."""
        threads = min(self._engines, turn.streams)
        rows = -(-turn.streams // threads)
        padded = -(-rows // self._model.row_multiple) * self._model.row_multiple
        compute = products(self._model.manifest, padded, self._engines)
        compute()  # optimizes the graph before the threads start
        return Sample(_steps_per_second(compute, threads, turn.seconds) * turn.streams / threads)


def weight_shapes(manifest: Manifest) -> list[tuple[int, int]]:
    """The matrices that a step multiplies with; the bottom layer's input product is a row of a table."""
    units, above = manifest.units, manifest.layers - 1
    return [(units, 4 * units), *[(2 * units, 4 * units)] * above, (units, manifest.symbols)]


def products(manifest: Manifest, rows: int, threads: int) -> Callable[[], Any]:
    """A function of `STEPS_PER_CALL` steps, in which every product depends on the one before it.

    So many threads may call it; each uses one core, as a call of the service does (service/model/saved_model.py).
    """
    units, generator = manifest.units, np.random.default_rng(0)
    graph = tf.Graph()
    with graph.as_default():
        # Scaled so that the values neither overflow nor become denormal, which is slower.
        matrices = [tf.constant(generator.normal(0, s[0] ** -0.5, s), tf.float32) for s in weight_shapes(manifest)]
        begin = tf.constant(generator.normal(0, 1, (rows, units)), tf.float32)

        def step(t: Any, h: Any, _: Any) -> Any:
            gates = h @ matrices[0]
            for matrix in matrices[1:-1]:
                gates = gates[:, : 2 * units] @ matrix
            h = gates[:, :units]
            return t + 1, h, h @ matrices[-1]

        start = (0, begin, tf.zeros((rows, manifest.symbols)))
        last = tf.while_loop(lambda t, *_: t < STEPS_PER_CALL, step, start)[2]
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=threads)
    return tf.compat.v1.Session(graph=graph, config=config).make_callable(last)


def _steps_per_second(compute: Callable[[], Any], threads: int, seconds: float) -> float:
    """Of all threads together."""
    steps = [0] * threads
    started = time.perf_counter()

    def run(thread: int) -> None:
        while time.perf_counter() - started < seconds:
            compute()
            steps[thread] += STEPS_PER_CALL

    running = [threading.Thread(target=run, args=(thread,)) for thread in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(steps) / (time.perf_counter() - started)


class WeightReads:
    """One core reads as many bytes as a step has weights: the limit of a single stream."""

    def __init__(self, manifest: Manifest) -> None:
        weights = sum(rows * columns for rows, columns in weight_shapes(manifest))
        self._words = np.ones(weights // 2, np.int64)  # two float32 in each

    def __call__(self, turn: Turn) -> Sample:
        """Characters/s of one stream; the turn's number of streams is ignored."""
        reads, started = 0, time.perf_counter()
        while (passed := time.perf_counter() - started) < turn.seconds:
            # Of NumPy's single-threaded operations, this is the closest to the speed of the memory.
            np.bitwise_or.reduce(self._words)
            reads += 1
        return Sample(reads / passed)

"""The connection between the workers of a run: sums over all, messages of the chief, and the loss of a worker.

Of tf.distribute, it uses the connections and the all-reduce of MultiWorkerMirroredStrategy. Knows no network or run.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import tensorflow as tf

from training.errors import InputError, ReportedError
from training.learning.backend import local_replicas
from training.learning.cluster import Cluster, WorkerLost
from training.learning.stages import Stopped

MESSAGE_BLOCK = 4096  # bytes: each number of blocks compiles an all-reduce of its own
STOP, SAVE = 0, 1  # positions among the requests
# The errors of a collective whose peer is gone.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


class ChiefFailed(ReportedError):
    """The chief ended with an error, which it has reported."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Workers:
    """The connection of this worker to the others.

    Every method that is called a collective must be called by all workers in the same order; it waits for all.
    """

    def __init__(self, cluster: Cluster) -> None:
        """Connect to the others; waits until all are there. Call before anything is computed.

        Raises:
            InputError: the port of this worker is not free, or it has several GPUs.
            WorkerLost: another worker ended meanwhile.
        """
        self.cluster = cluster
        self.should_stop: Callable[[], bool] = lambda: False  # of this worker
        self.should_save: Callable[[], bool] = lambda: False
        self.agreed = np.zeros(2, bool)  # the requests of any worker, before the last step
        os.environ["TF_CONFIG"] = cluster.to_tf_config()
        try:
            with lost_workers_reported():
                self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except tf.errors.UnknownError as error:
            address = cluster.workers[cluster.worker]
            raise InputError(f"Worker {cluster.worker} cannot listen on the port of {address}: is it free?") from error
        if self._strategy.num_replicas_in_sync != len(cluster.workers):
            raise InputError("Start one worker for each GPU, with the GPU's number in CUDA_VISIBLE_DEVICES.")
        self._sum = tf.function(self.all_reduce, autograph=False)
        own = np.zeros(len(cluster.workers))
        own[cluster.worker] = local_replicas()
        self.replicas: list[int] = self.sum(own).astype(int).tolist()  # that each worker computes side by side

    @property
    def is_chief(self) -> bool:
        """Whether this worker prepares, evaluates, saves and publishes."""
        return self.cluster.is_chief

    def is_stopping(self) -> bool:
        """Whether a worker was asked to stop before the last step; the same on all workers."""
        return bool(self.agreed[STOP])

    def requests(self) -> list[bool]:
        """The requests of this worker, for `STOP` and `SAVE`."""
        return [self.should_stop(), self.is_chief and self.should_save()]

    def all_reduce(self, vector: Any) -> Any:
        """The sum of the workers' vectors: a collective, inside a tf.function."""

        def reduced(own: Any) -> Any:
            own = tf.identity(own)  # on this replica's device: an argument has none, which all_reduce refuses
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)

        return self._strategy.run(reduced, args=(vector,))

    def sum(self, values: Any) -> Any:
        """The sum of the workers' arrays of float32, of any one shape: a collective."""
        array = np.asarray(values, np.float32)
        with lost_workers_reported():
            return self._sum(tf.constant(array.ravel())).numpy().reshape(array.shape)

    def from_chief(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of `work`, plain values for JSON, which the chief alone calls: a collective.

        Raises:
            Stopped: the chief was asked to stop in its work.
            ChiefFailed: its work failed. On the chief, the error itself is raised.
        """
        if not self.is_chief:
            answer = self._broadcast({})
            if "message" in answer:
                self.leave()
                if answer["stopped"]:
                    raise Stopped(answer["message"])
                raise ChiefFailed(answer["message"], answer["exit_code"])
            result: dict[str, Any] = answer["result"]
            return result
        try:
            result = work()
        except WorkerLost:
            raise
        except (Exception, SystemExit) as error:
            code = error.code if isinstance(error, SystemExit) else getattr(error, "exit_code", 1)
            message = f"Worker 0 ended: {error}"
            self._broadcast({"message": message, "exit_code": code, "stopped": isinstance(error, Stopped)})
            self.leave()
            raise
        self._broadcast({"result": result})
        return result

    def leave(self) -> None:
        """Wait until all workers have the results of earlier collectives: a collective before the process ends.

        A worker fetches the last part of a sum from another one, which may have the whole sum already.
        """
        with suppress(WorkerLost):  # another worker has left already
            self.sum([0])

    def _broadcast(self, message: dict[str, Any]) -> dict[str, Any]:
        """The chief's message, to all. Its bytes are summed with the zeros of the others."""
        own = json.dumps(message).encode() if self.is_chief else b""
        (size,) = self.sum([len(own)])
        padded = np.zeros(-(-int(size) // MESSAGE_BLOCK) * MESSAGE_BLOCK, np.float32)
        padded[: len(own)] = np.frombuffer(own, np.uint8)
        received: dict[str, Any] = json.loads(self.sum(padded)[: int(size)].astype(np.uint8).tobytes())
        return received


@contextmanager
def lost_workers_reported() -> Iterator[None]:
    """Raise `WorkerLost` for the errors of TensorFlow that mean it."""
    try:
        yield
    except LOST as error:
        raise WorkerLost(
            "The connection to another worker is lost: start all workers again with --resume, "
            "which continues from the last checkpoint."
        ) from error

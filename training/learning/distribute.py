"""Training on several workers: each takes the steps of its streams, and one sum a step keeps their weights the same.

Of tf.distribute, it uses the connections and the all-reduce of MultiWorkerMirroredStrategy; variables and optimizer are
those of one process. Knows no command line and publishes nothing.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import tensorflow as tf

from training.config import TrainConfig
from training.data.windows import Window
from training.errors import InputError, ReportedError
from training.learning.backend import local_replicas
from training.learning.cluster import Cluster, WorkerLost
from training.learning.run import Diverged, TrainingRun
from training.learning.stages import Stopped
from training.learning.step import TensorFlowTrainer
from training.network.network import Network

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
        """Connect to the others; waits until all are there. Call before anything is computed."""
        self.cluster = cluster
        self.should_stop: Callable[[], bool] = lambda: False  # of this worker
        self.should_save: Callable[[], bool] = lambda: False
        self.agreed = np.zeros(2, bool)  # the requests of any worker, before the last step
        os.environ["TF_CONFIG"] = cluster.to_tf_config()
        with lost_workers_reported():
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        if self._strategy.num_replicas_in_sync != len(cluster.workers):
            raise InputError("Start one worker for each GPU, with the GPU's number in CUDA_VISIBLE_DEVICES.")
        self._sum = tf.function(self.all_reduce, autograph=False)
        own = local_replicas()
        self.replicas = int(self.sum([own]).item())  # that all workers together compute side by side

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

    def share(self, replicas: int) -> range:
        """This worker's part of the replicas of a run.

        Raises:
            InputError: there are fewer replicas than workers.
        """
        count, worker = len(self.cluster.workers), self.cluster.worker
        if replicas < count:
            raise InputError(
                f"The run splits each batch between {replicas} replicas, which is too few for {count} workers: "
                f"use at most {replicas} workers."
            )
        return range(replicas * worker // count, replicas * (worker + 1) // count)


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


class DistributedTrainer(TensorFlowTrainer):
    """A `TensorFlowTrainer` of the streams of one worker. All trainers end a step with the same weights.

    `train` takes the window of all N streams, the state of all or of its own, and returns the state of its own.
    """

    def __init__(self, network: Network, config: TrainConfig, workers: Workers, *, replicas: int) -> None:
        replicas = min(replicas, config.batch_size)
        super().__init__(network, config, replicas=replicas, share=workers.share(replicas))
        self._workers = workers
        self._requests = tf.Variable(tf.zeros(2, network.variable_dtype), trainable=False)
        self._agreed = tf.Variable(tf.zeros(2, network.variable_dtype), trainable=False)

    def train(self, window: Window, state: Any, *, rate: float, step: int) -> tuple[float, float, Any]:
        """One optimisation step of all workers, as `Trainer.train`: a collective."""
        own = Window(window.previous[self.streams], window.targets[self.streams], window.reset[self.streams])
        if state.shape[1] == self._config.batch_size:
            state = state[:, self.streams]
        self._requests.assign(self._workers.requests())
        with lost_workers_reported():
            result = super().train(own, state, rate=rate, step=step)
        self._workers.agreed = self._agreed.numpy() > 0
        return result

    def gathered(self, state: Any) -> Any:
        """The state [S, N, H] of all streams, from a state that `train` returned or took: a collective."""
        state = tf.convert_to_tensor(state)
        if state.shape[1] == self._config.batch_size:
            return state
        all_streams = np.zeros((state.shape[0], self._config.batch_size, state.shape[2]), np.float32)
        all_streams[:, self.streams] = tf.cast(state, tf.float32)
        return tf.cast(self._workers.sum(all_streams), state.dtype)

    def _summed(self, losses: Any, gradients: Any) -> tuple[Any, list[Any]]:
        """Over all workers: one all-reduce of a vector of gradients, loss and requests."""
        loss, sums = super()._summed(losses, gradients)
        dtype = self._requests.dtype
        parts = [tf.reshape(gradient, [-1]) for gradient in sums]
        parts += [tf.reshape(tf.cast(loss, dtype), [1]), self._requests]
        vector = self._workers.all_reduce(tf.concat(parts, axis=0))
        shapes = [variable.shape for variable in self.network.trainable_variables]
        sizes = [math.prod(shape) for shape in shapes]
        *flat, total, requests = tf.split(vector, [*sizes, 1, self._requests.shape[0]])
        self._agreed.assign(requests)
        shaped = [tf.reshape(part, shape) for part, shape in zip(flat, shapes, strict=True)]
        return tf.cast(total[0], loss.dtype), shaped


class DistributedRun(TrainingRun):
    """A run that several workers train. The chief evaluates and saves; the others get its history."""

    trainer: DistributedTrainer

    def __init__(self, *arguments: Any, workers: Workers, **options: Any) -> None:
        self.workers = workers
        super().__init__(*arguments, workers=workers, **options)
        workers.should_save = super().is_checkpoint_due
        self.stages.should_stop = workers.is_stopping

    def wait(self) -> None:
        """Read the losses of the steps in flight, as `TrainingRun.wait`."""
        try:
            super().wait()
        except Diverged:  # on all workers
            self.workers.leave()
            raise

    def is_checkpoint_due(self) -> bool:
        """Whether the chief found a checkpoint due before the last step; the same on all workers."""
        return bool(self.workers.agreed[SAVE])

    def evaluate(self) -> dict[str, Any]:
        """Evaluate on the chief, as `TrainingRun.evaluate`; the others wait for its record: a collective."""
        self.wait()
        record = self.workers.from_chief(self._evaluate)
        if not self.workers.is_chief:
            self.history.append(record)
            self._losses, self._clipped, self._seconds = [], 0, 0.0
        return record

    def _evaluate(self) -> dict[str, Any]:
        """The chief's evaluation, which a signal to the chief stops at once."""
        agreed, self.stages.should_stop = self.stages.should_stop, self.workers.should_stop
        try:
            return super().evaluate()
        finally:
            self.stages.should_stop = agreed

    def save(self) -> None:
        """Gather the state, and save on the chief: a collective after the first step."""
        self.wait()
        self._state = self.trainer.gathered(self._state)
        if self.workers.is_chief:
            super().save()


def follow(run: DistributedRun) -> bool:
    """Take part in a run as a worker that is not the chief; returns as `training.learning.loop.train`.

    The collectives are those of that loop, in its order.
    """
    try:
        while True:
            if run.is_evaluation_due():
                run.evaluate()
                run.save()
            if run.is_finished:
                return True
            run.take_step()
            if run.workers.is_stopping():
                break
            if run.is_checkpoint_due():
                run.save()
    except Stopped:
        pass
    run.save()
    return False

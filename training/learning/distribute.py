"""Training on several workers: each takes the steps of its streams, and one sum a step keeps their weights the same.

Variables and optimizer are those of one process. Knows no command line and publishes nothing.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from training.config import TrainConfig
from training.data.windows import Window, Windows
from training.learning.cluster import WorkerLost
from training.learning.collectives import SAVE, Workers, lost_workers_reported
from training.learning.run import Diverged, TrainingRun
from training.learning.stages import Stopped
from training.learning.step import TensorFlowTrainer
from training.network.network import Network


class DistributedTrainer(TensorFlowTrainer):
    """A `TensorFlowTrainer` of the streams of one worker. All trainers end a step with the same weights.

    `train` takes the window of all N streams, the state of all or of its own, and returns the state of its own.
    """

    def __init__(self, network: Network, config: TrainConfig, workers: Workers, *, replicas: int) -> None:
        """Set up the streams of a worker.

        Raises:
            InputError: there are fewer replicas than workers.
            WorkerLost: this process would compute other bits than the others.
        """
        threads = tf.config.threading.get_intra_op_parallelism_threads()  # set by `use_devices`
        if not tf.config.list_physical_devices("GPU") and threads != replicas:
            raise WorkerLost(
                f"This worker is set up for {threads} replicas and the run has {replicas}: "
                "start all workers again with the same flags, all with --resume or none."
            )
        replicas = min(replicas, config.batch_size)
        super().__init__(network, config, replicas=replicas, share=workers.cluster.share(replicas))
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
        assert isinstance(self._windows, Windows)  # no teachers
        self._windows.streams = self.trainer.streams
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

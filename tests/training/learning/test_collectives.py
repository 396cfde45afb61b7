"""The connection of two workers: sums, messages of the chief, and its errors."""

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import training
from tests.training.learning.workers import results_of
from training.errors import InputError
from training.learning.cluster import WorkerLost


def exchange(workers: Any) -> list[Any]:
    """Runs in each worker's process."""
    from training.learning.collectives import ChiefFailed
    from training.learning.stages import Stopped

    own = np.arange(6).reshape(2, 3) * (workers.cluster.worker + 1)
    found: list[Any] = [workers.replicas, workers.sum(own).tolist()]
    found.append(workers.from_chief(lambda: {"text": "é" * 5000, "loss": 0.1}))
    for error in (InputError("The text is too short."), Stopped("Stopped during evaluation.")):

        def fail(error: Exception = error) -> Any:
            raise error

        try:
            workers.from_chief(fail)
        except (InputError, ChiefFailed, Stopped) as raised:
            found.append((type(raised).__name__, str(raised)))
    return found


def test_two_workers_exchange_sums_and_messages() -> None:
    chief, worker = results_of(exchange, processes=2)
    assert chief[:3] == worker[:3] == [[1, 1], [[0, 3, 6], [9, 12, 15]], {"text": "é" * 5000, "loss": 0.1}]
    assert chief[3:] == [("InputError", "The text is too short."), ("Stopped", "Stopped during evaluation.")]
    assert worker[3:] == [
        ("ChiefFailed", "Worker 0 ended: The text is too short."),
        ("Stopped", "Worker 0 ended: Stopped during evaluation."),
    ]


def test_errors_of_a_lost_connection_are_one_sentence() -> None:
    import tensorflow as tf

    from training.learning.collectives import lost_workers_reported

    with pytest.raises(WorkerLost, match="--resume"), lost_workers_reported():
        raise tf.errors.UnavailableError(None, None, "Connection reset by peer")


def test_a_port_that_is_not_free_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        result = training(
            *("train", "--name", "a", "--corpus", "none", "--worker", "0"),
            *("--workers", f"127.0.0.1:{taken.getsockname()[1]},127.0.0.1:1"),
            cwd=tmp_path,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("Error: Worker 0 cannot listen on the port of 127.0.0.1:")

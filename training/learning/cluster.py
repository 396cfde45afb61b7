"""The workers of a training run, from TF_CONFIG or from the command line. Imports no framework and connects to nothing.

TF_CONFIG is the environment variable in which Kubeflow, Vertex AI and Ray name the workers:
https://www.tensorflow.org/guide/distributed_training#TF_CONFIG
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from training.errors import InputError, ReportedError

ADDRESS = re.compile(r"[^\s:,]+:[0-9]{1,5}")


class WorkerLost(ReportedError):
    """Another worker ended or cannot be reached. All are to be restarted with --resume."""

    exit_code = 4


@dataclass(frozen=True)
class Cluster:
    """The addresses of all workers, and the index of this process. Worker 0 is the chief."""

    workers: tuple[str, ...]  # host:port
    worker: int

    def __post_init__(self) -> None:
        for address in self.workers:
            if not ADDRESS.fullmatch(address):
                raise InputError(f"--workers must be addresses host:port with commas between them, not {address!r}.")
        if len(set(self.workers)) < len(self.workers):
            raise InputError(f"--workers must be different addresses, not {','.join(self.workers)}.")
        if not 0 <= self.worker < len(self.workers):
            raise InputError(
                f"--worker must be from 0 to {len(self.workers) - 1} with {len(self.workers)} workers, "
                f"not {self.worker}."
            )

    @property
    def is_chief(self) -> bool:
        """Whether this process prepares, evaluates, saves and publishes."""
        return self.worker == 0

    def share(self, replicas: int) -> range:
        """This worker's part of the replicas of a run.

        Raises:
            InputError: there are fewer replicas than workers.
        """
        count = len(self.workers)
        if replicas < count:
            raise InputError(
                f"The run splits each batch between {replicas} replicas, which is too few for {count} workers: "
                f"use at most {replicas} workers."
            )
        return range(replicas * self.worker // count, replicas * (self.worker + 1) // count)

    def to_tf_config(self) -> str:
        """The value of TF_CONFIG."""
        task = {"type": "worker", "index": self.worker}
        return json.dumps({"cluster": {"worker": list(self.workers)}, "task": task})


def cluster_of(workers: str | None, worker: int | None) -> Cluster | None:
    """The cluster that the flags or else TF_CONFIG describe; None where one process trains alone.

    Args:
        workers: addresses host:port, with commas between them, or None.
        worker: the index of this process among them, or None.

    Raises:
        InputError: the description is not valid.
    """
    if (workers is None) != (worker is None):
        raise InputError("--workers and --worker are given together: all addresses, and the index of this process.")
    if workers is not None and worker is not None:
        cluster = Cluster(tuple(workers.split(",")), worker)
    else:
        cluster = _from_environment(os.environ.get("TF_CONFIG", ""))
    return cluster if len(cluster.workers) > 1 else None


def replicas_of(each: Sequence[int]) -> int:
    """The replicas of a new run: those of `each` worker together.

    Raises:
        InputError: the workers have different numbers of cores.
    """
    if len(set(each)) > 1:
        raise InputError(
            f"A run begins on workers with equal numbers of cores, not {', '.join(map(str, each))}: "
            "limit the larger ones with taskset or a CPU quota."
        )
    return sum(each)


def _from_environment(text: str) -> Cluster:
    """The cluster of TF_CONFIG, whose task `chief`, if there is one, comes before its workers."""
    try:
        given = json.loads(text or "{}")
        jobs = given.get("cluster", {})
        if not jobs:
            return Cluster(("localhost:0",), 0)
        chiefs, workers = jobs.get("chief", []), jobs.get("worker", [])
        task = given["task"]
        if task["type"] not in ("chief", "worker"):
            raise InputError(f"the type of the task must be chief or worker, not {task['type']!r}.")
        before = len(chiefs) if task["type"] == "worker" else 0
        return Cluster((*chiefs, *workers), before + int(task["index"]))
    except InputError as error:
        raise InputError(f"TF_CONFIG describes workers that are not valid: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"TF_CONFIG does not describe a cluster and this process's task ({error}): {text}") from error

"""Workers of a small run as processes of their own, each on one core, and the results that must be equal."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.ports import free_port
from tests.processes import CONTEXT
from tests.training.learning.runs import SETTING, history_of, run_in
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.learning.cluster import Cluster
from training.learning.folder import CHECKPOINT, CORPUS

STEPS = 20
TIMEOUT_S = 300  # for processes that share one core, and that with other tests
WALL_TIMES = ("chars_per_second", "seconds", "elapsed_seconds")


def free_addresses(count: int) -> tuple[str, ...]:
    """Addresses of this machine on which nothing listens."""
    return tuple(f"127.0.0.1:{free_port()}" for _ in range(count))


def checkpoint_of(folder: Path) -> dict[str, Any]:
    """The arrays of the checkpoint in the folder of a run."""
    with np.load(folder / CHECKPOINT) as file:
        return {name: file[name] for name in file.files if name != "json"}


def result_of(run: Path, version: Path) -> dict[str, Any]:
    """All that must be equal in two runs that end with the same bits, from the folders of a run and its version."""
    history = [{key: value for key, value in record.items() if key not in WALL_TIMES} for record in history_of(run)]
    published = {path.name: path.read_bytes() for path in (version / "variables").iterdir()}
    return {"history": history, "published": published} | checkpoint_of(run)


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Fail with the name of the first value of two results that differs."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_equal(found[name], value, err_msg=name)


def take_steps(folder: Path, changes: dict[str, Any], replicas: int, steps: int, cluster: Cluster | None) -> None:
    """Runs in a worker's process: train from step 0 or the last checkpoint to step `steps`, and save."""
    from training.learning.backend import use_devices
    from training.learning.collectives import Workers
    from training.learning.distribute import DistributedRun
    from training.learning.run import TrainingRun

    if cluster:  # fewer cores than the one process has
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    use_devices(replicas)
    config = TrainConfig(**(SETTING | changes))
    corpus = Corpus.open(folder / CORPUS)
    workers = Workers(cluster) if cluster else None
    run = (
        DistributedRun(config, corpus, folder, replicas=replicas, workers=workers)
        if workers
        else TrainingRun(config, corpus, folder, replicas=replicas)
    )
    run.restore()
    while run.step < steps:
        run.take_step()
    run.save()
    if workers:
        workers.leave()


def _put_result(work: Callable[..., Any], cluster: Cluster, queue: Any) -> None:
    from training.learning.backend import use_devices
    from training.learning.collectives import Workers

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    use_devices(len(cluster.workers))
    workers = Workers(cluster)
    queue.put((cluster.worker, work(workers)))
    workers.leave()


def results_of(work: Callable[..., Any], *, processes: int) -> list[Any]:
    """The results of `work`, which gets its `Workers`, in so many processes that are connected."""
    addresses, queue = free_addresses(processes), CONTEXT.Queue()
    started = [
        CONTEXT.Process(target=_put_result, args=(work, Cluster(addresses, i), queue), daemon=True)
        for i in range(processes)
    ]
    for process in started:
        process.start()
    found = dict(queue.get(timeout=TIMEOUT_S) for _ in started)
    for process in started:
        process.join(TIMEOUT_S)
    assert [process.exitcode for process in started] == [0] * processes
    return [found[i] for i in range(processes)]


def trained(
    folder: Path, changes: dict[str, Any], *, processes: int, replicas: int, steps: int = STEPS
) -> dict[str, Any]:
    """The arrays of the checkpoint after so many steps, the last of them on so many processes."""
    if not (folder / CORPUS).exists():
        run_in(folder, **changes)
    addresses = free_addresses(processes)
    clusters = [Cluster(addresses, i) for i in range(processes)] if processes > 1 else [None]
    started = [
        CONTEXT.Process(target=take_steps, args=(folder, changes, replicas, steps, cluster), daemon=True)
        for cluster in clusters
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(TIMEOUT_S)
    assert [process.exitcode for process in started] == [0] * processes
    return checkpoint_of(folder)

"""Threads that start together and end with the pool."""

import threading

import pytest

from service.server.pool import Pool


def test_every_thread_runs_tasks() -> None:
    barrier = threading.Barrier(5)
    pool = Pool(4, "test")
    for _ in range(4):
        pool.submit(barrier.wait)  # passes only when all four run at the same time
    barrier.wait(timeout=10)
    pool.shutdown()


def test_threads_that_have_started_end_if_another_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(RuntimeError):
        Pool(5, "test")
    for thread in started:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_one_thread_runs_tasks_in_the_order_of_submission() -> None:
    pool, ran, done = Pool(1, "test"), [], threading.Event()
    for number in range(5):
        pool.submit(lambda number=number: ran.append(number))
    pool.submit(done.set)
    assert done.wait(10)
    assert ran == [0, 1, 2, 3, 4]
    pool.shutdown()


def test_threads_end_after_their_tasks_at_shutdown() -> None:
    pool, done = Pool(2, "ending"), threading.Event()
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("ending-")]
    pool.submit(done.set)
    pool.shutdown()
    for thread in threads:
        thread.join(10)
    assert len(threads) == 2
    assert not any(thread.is_alive() for thread in threads)
    assert done.is_set()

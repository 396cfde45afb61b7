import threading

import pytest

from service.server.pool import Pool


def test_every_thread_takes_tasks() -> None:
    barrier = threading.Barrier(5)
    pool = Pool(4, "test")
    for _ in range(4):
        pool.submit(barrier.wait)  # passes only when all four run at the same time
    barrier.wait(timeout=10)
    pool.shutdown()


def test_where_threads_run_out_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
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

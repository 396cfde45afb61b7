import queue
import threading

import pytest

from service.engine.delivery_thread import DeliveryThread

WAIT_S = 10.0


def test_tasks_run_in_their_order_in_one_thread_and_an_error_stops_none(caplog: pytest.LogCaptureFixture) -> None:
    ran: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
    thread = DeliveryThread(waiting=1)

    def task(number: int) -> None:
        ran.put((number, threading.current_thread().name))
        if number == 1:
            raise ZeroDivisionError("of task 1")

    for number in range(4):
        thread.run(lambda number=number: task(number))  # type: ignore[misc]
    assert [ran.get(timeout=WAIT_S) for _ in range(4)] == [(number, "delivery") for number in range(4)]
    assert "of task 1" in caplog.text
    assert thread.thread.fault() is None
    thread.close()


def test_close_ends_the_thread_after_all_tasks() -> None:
    ran: list[int] = []
    thread = DeliveryThread(waiting=3)
    begun, may_end = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        assert may_end.wait(WAIT_S)

    thread.run(first)
    assert begun.wait(WAIT_S)
    thread.run(lambda: ran.append(1))
    threading.Timer(0.05, may_end.set).start()
    for _ in range(5):  # more often than tasks may wait
        thread.close()
    assert ran == [1]


def test_who_would_run_ahead_of_the_thread_waits() -> None:
    thread = DeliveryThread(waiting=1)
    may_end, accepted = threading.Semaphore(0), threading.Semaphore(0)

    def run_three() -> None:
        for _ in range(3):
            thread.run(lambda: may_end.acquire(timeout=WAIT_S))
            accepted.release()

    threading.Thread(target=run_three, daemon=True).start()
    assert accepted.acquire(timeout=WAIT_S)  # it runs
    assert accepted.acquire(timeout=WAIT_S)  # it waits
    assert not accepted.acquire(timeout=0.05)
    may_end.release()
    assert accepted.acquire(timeout=WAIT_S)
    may_end.release(2)
    thread.close()

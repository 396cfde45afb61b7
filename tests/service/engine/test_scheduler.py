import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service import health
from service.engine.prefix_cache import PrefixCache
from service.engine.scheduler import FEW_ROWS, Closed, QueueFull, Scheduler
from service.model.model import Stepped, Steps
from tests.service.engine.rows import row_of
from tests.service.fakes import FakeModel, Recorder, expected_text
from tests.waiting import wait_until

Start = Callable[..., Scheduler]


class Gate(FakeModel):
    """A model whose calls report that they have begun, and wait for a permit."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: queue.SimpleQueue[int] = queue.SimpleQueue()  # the rows of each call
        self.permits = threading.Semaphore(0)

    def advance(self, steps: Steps) -> Stepped:
        self.begun.put(int((steps.length > 0).sum()))
        assert self.permits.acquire(timeout=10)
        return super().advance(steps)


class SlowCache(PrefixCache):
    """A cache whose lookups report that they have begun, and wait until they may end."""

    def __init__(self) -> None:
        super().__init__(1_000_000)
        self.begun, self.may_end = threading.Semaphore(0), threading.Event()

    def longest(self, model: Any, prompt: Any) -> Any:
        self.begun.release()
        assert self.may_end.wait(timeout=10)
        return super().longest(model, prompt)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start schedulers that end with the test."""
    schedulers: list[Scheduler] = []

    def started(**settings: Any) -> Scheduler:
        defaults = {"engines": 1, "slots": 2, "queue": 1, "chunk": 4, "cache": PrefixCache(0)}
        schedulers.append(Scheduler(**(defaults | settings)))
        return schedulers[-1]

    yield started
    for scheduler in schedulers:
        scheduler.close()


@pytest.fixture
def gate(start: Start) -> Iterator[Gate]:
    """A gate that opens before the schedulers close, so that a test that fails does so at once."""
    gate = Gate()
    yield gate
    gate.permits.release(10_000)


def text_of(recorder: Recorder, length: int) -> str:
    """The text of a row, once it has `length` symbols."""
    wait_until(lambda: len(recorder.symbols) >= length, 10)
    return FakeModel().text.decode(recorder.symbols)


def error_of(recorder: Recorder) -> Exception:
    """The error of a row, once it has failed."""
    return wait_until(lambda: recorder.error, 10)


def test_rows_of_clients_that_have_left_do_not_wait(start: Start) -> None:
    model: Any = Gate()
    scheduler = start(engines=1, slots=1, queue=10)
    rows = [row_of(model, length=100, seed=seed)[0] for seed in range(3)]
    scheduler.submit(model, *rows)
    wait_until(lambda: scheduler.running, 10)
    assert scheduler.waiting == 2
    rows[1].cancel()
    assert scheduler.waiting == 1
    model.permits.release(1000)


def test_many_rows_on_several_engines_each_get_their_own_text(start: Start, model: FakeModel) -> None:
    scheduler = start(engines=3, slots=4, queue=100)
    recorders = []
    for seed in range(60):
        row, recorder = row_of(model, length=20, seed=seed)
        scheduler.submit(model, row)
        recorders.append(recorder)
    for seed, recorder in enumerate(recorders):
        assert text_of(recorder, 20) == expected_text("", 20, seed)
    assert scheduler.waiting == 0


def test_beyond_slots_and_queue_a_row_is_refused_until_another_is_cancelled(start: Start, gate: Gate) -> None:
    scheduler = start(slots=2, queue=1)
    rows = [row_of(gate)[0] for _ in range(4)]
    scheduler.submit(gate, rows[0])
    assert gate.begun.get(timeout=10) == 1  # the engine is inside a call with one row; one slot is free
    scheduler.submit(gate, rows[1])
    scheduler.submit(gate, rows[2])
    with pytest.raises(QueueFull, match="1 streams run and 2 wait"):
        scheduler.submit(gate, rows[3])
    rows[1].cancel()
    scheduler.submit(gate, rows[3])


def test_engines_share_many_rows_evenly(start: Start, gate: Gate) -> None:
    scheduler = start(engines=2, slots=4 * FEW_ROWS, queue=8)
    scheduler.submit(gate, *[row_of(gate, length=400)[0] for _ in range(4 * FEW_ROWS)])
    # Two engines are inside a call with half of the rows each, although each had slots for all.
    assert [gate.begun.get(timeout=10), gate.begun.get(timeout=10)] == [2 * FEW_ROWS, 2 * FEW_ROWS]


def test_an_engine_that_left_rows_to_another_takes_those_beyond_its_share(start: Start, gate: Gate) -> None:
    scheduler = start(engines=2, slots=4 * FEW_ROWS, queue=8)
    scheduler.submit(gate, row_of(gate, length=400)[0])
    assert gate.begun.get(timeout=10) == 1  # one engine is inside a call; the other leaves the next rows to it
    scheduler.submit(gate, *[row_of(gate, length=400)[0] for _ in range(4 * FEW_ROWS - 1)])
    gate.permits.release(2)  # to start the text and to decode
    begun = sorted(gate.begun.get(timeout=10) for _ in range(3))
    assert begun == [1, 2 * FEW_ROWS - 1, 2 * FEW_ROWS]  # the first row decodes; then each engine has half of all


def test_a_row_that_was_left_to_an_engine_whose_rows_then_end_is_taken_by_another(start: Start) -> None:
    class GateByRows(Gate):
        """Each call waits for a permit of its number of rows."""

        def __init__(self) -> None:
            super().__init__()
            self.permits_of = {1: threading.Semaphore(0), FEW_ROWS: threading.Semaphore(0)}

        def advance(self, steps: Steps) -> Stepped:
            assert self.permits_of[int((steps.length > 0).sum())].acquire(timeout=10)
            self.permits.release()
            return super().advance(steps)

    model = GateByRows()
    scheduler = start(engines=2, slots=2 * FEW_ROWS, queue=8)
    for _ in range(10):  # without the wake-up, most of the times fail
        for rows in (FEW_ROWS, 1):  # the first engine is full, so the second one takes the last row
            scheduler.submit(model, *[row_of(model, length=1)[0] for _ in range(rows)])
            wait_until(lambda: not scheduler.waiting, 10)
        model.permits_of[FEW_ROWS].release()
        wait_until(lambda: scheduler.running == 1, 10)
        row, recorder = row_of(model, length=1, seed=3)
        scheduler.submit(model, row)  # the first engine leaves it to the second, which has a row
        model.permits_of[1].release(2)
        assert text_of(recorder, 1) == expected_text("", 1, 3)
        wait_until(lambda: scheduler.is_idle, 10)


def test_few_rows_have_one_engine_and_the_next_one_another(start: Start, gate: Gate) -> None:
    scheduler = start(engines=3, slots=2 * FEW_ROWS, queue=8)
    scheduler.submit(gate, row_of(gate, length=400)[0])
    assert gate.begun.get(timeout=10) == 1
    scheduler.submit(gate, *[row_of(gate, length=400)[0] for _ in range(FEW_ROWS - 1)])
    assert scheduler.waiting == FEW_ROWS - 1  # until the call of the one engine has ended
    gate.permits.release(3)
    rows = [gate.begun.get(timeout=10) for _ in range(3)]
    assert rows == [1, FEW_ROWS - 1, FEW_ROWS]  # the first decodes, the others start, all decode
    scheduler.submit(gate, row_of(gate, length=400)[0])
    assert gate.begun.get(timeout=10) == 1  # at once, on another engine


def test_a_row_joins_a_running_batch_between_two_calls(start: Start, gate: Gate) -> None:
    scheduler = start(slots=4)
    first, first_recorder = row_of(gate, length=12, seed=1)
    second, second_recorder = row_of(gate, length=4, seed=2)
    scheduler.submit(gate, first)
    assert gate.begun.get(timeout=10) == 1
    scheduler.submit(gate, second)
    assert not second_recorder.has_started
    rows = []
    for _ in range(3):
        gate.permits.release()
        rows.append(gate.begun.get(timeout=10))
    assert rows == [1, 1, 2]  # the first decodes, the second starts, both decode
    gate.permits.release(1000)
    assert text_of(first_recorder, 12) == expected_text("", 12, 1)
    assert text_of(second_recorder, 4) == expected_text("", 4, 2)


def test_a_model_that_fails_fails_its_rows_and_the_engine_goes_on(start: Start, model: FakeModel) -> None:
    scheduler = start()
    model.fails = True
    row, recorder = row_of(model)
    scheduler.submit(model, row)
    assert isinstance(error_of(recorder), RuntimeError)
    model.fails = False
    row, recorder = row_of(model, seed=3)
    scheduler.submit(model, row)
    assert text_of(recorder, 5) == expected_text("", 5, 3)


def test_close_fails_rows_that_run_or_wait_and_refuses_new_ones(start: Start, gate: Gate) -> None:
    scheduler = start(slots=1)
    runs, runs_recorder = row_of(gate, length=100)
    waits, waits_recorder = row_of(gate)
    scheduler.submit(gate, runs)
    gate.begun.get(timeout=10)
    scheduler.submit(gate, waits)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    wait_until(lambda: scheduler._closed)
    gate.permits.release(2)  # to start the text and to decode
    closing.join(timeout=10)
    assert not closing.is_alive()
    assert runs_recorder.symbols  # of the call that was running
    assert isinstance(error_of(runs_recorder), Closed)
    assert isinstance(error_of(waits_recorder), Closed)
    with pytest.raises(Closed):
        scheduler.submit(gate, row_of(gate)[0])


def test_drain_refuses_new_rows_and_those_that_run_or_wait_finish(start: Start, gate: Gate) -> None:
    scheduler = start(slots=1)
    runs, runs_recorder = row_of(gate, length=10, seed=1)
    waits, waits_recorder = row_of(gate, length=6, seed=2)
    scheduler.submit(gate, runs)
    gate.begun.get(timeout=10)
    scheduler.submit(gate, waits)
    scheduler.drain()
    with pytest.raises(Closed):
        scheduler.submit(gate, row_of(gate)[0])
    assert not scheduler.is_idle
    gate.permits.release(1000)
    assert text_of(runs_recorder, 10) == expected_text("", 10, 1)
    assert text_of(waits_recorder, 6) == expected_text("", 6, 2)
    wait_until(lambda: scheduler.is_idle, 10)


def test_while_a_row_joins_others_can_be_submitted_and_it_counts_as_running(start: Start, model: FakeModel) -> None:
    cache = SlowCache()
    scheduler = start(slots=2, queue=1, cache=cache)
    row, recorder = row_of(model, "a")
    scheduler.submit(model, row)
    assert cache.begun.acquire(timeout=10)
    found: queue.SimpleQueue[tuple[int, int, bool]] = queue.SimpleQueue()

    def submit_another() -> None:
        scheduler.submit(model, row_of(model)[0])
        found.put((scheduler.running, scheduler.waiting, scheduler.is_idle))

    threading.Thread(target=submit_another, daemon=True).start()
    try:
        assert found.get(timeout=5) == (1, 1, False)
    finally:
        cache.may_end.set()
    assert text_of(recorder, 5) == expected_text("a", 5, 1)


def test_a_row_that_cannot_join_fails_alone_and_the_engine_goes_on(start: Start, model: FakeModel) -> None:
    class Full(PrefixCache):
        def longest(self, model: Any, prompt: Any) -> Any:
            if len(prompt) == 3:
                raise MemoryError
            return super().longest(model, prompt)

    scheduler = start(slots=8, queue=8, cache=Full(1_000_000))
    recorders = {}
    for prompt in ("a", "bad", "ab", "j"):
        row, recorders[prompt] = row_of(model, prompt)
        scheduler.submit(model, row)
    assert isinstance(error_of(recorders.pop("bad")), MemoryError)
    for prompt, recorder in recorders.items():
        assert text_of(recorder, 5) == expected_text(prompt, 5, 1)
    assert scheduler.faults() == []


def test_a_listener_delays_no_call_and_gets_the_results_of_all_calls_in_their_order(start: Start, gate: Gate) -> None:
    class Slow(Recorder):
        may_end = threading.Event()

        def sampled(self, *results: Any) -> bool:
            assert self.may_end.wait(timeout=10)
            return super().sampled(*results)

    scheduler = start(slots=1)
    row, _ = row_of(gate, length=10, seed=1)
    row.listener = slow = Slow()
    scheduler.submit(gate, row)
    gate.permits.release(2)
    assert [gate.begun.get(timeout=10) for _ in range(3)] == [1, 1, 1]  # the third, though no result was accepted
    gate.permits.release(1000)
    Slow.may_end.set()
    assert text_of(slow, 10) == expected_text("", 10, 1)


def test_a_stuck_listener_is_a_fault_until_it_goes_on(
    start: Start, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(Recorder):
        begun, may_end = threading.Event(), threading.Event()

        def sampled(self, *results: Any) -> bool:
            self.begun.set()
            assert self.may_end.wait(timeout=10)
            return super().sampled(*results)

    scheduler = start(slots=1)
    row, _ = row_of(model)
    row.listener = stuck = Stuck()
    scheduler.submit(model, row)
    assert stuck.begun.wait(timeout=10)
    with monkeypatch.context() as patch:
        later_s = time.monotonic() + health.STALLED_AFTER_S + 1
        patch.setattr(health.time, "monotonic", lambda: later_s)
        faults = scheduler.faults()
    stuck.may_end.set()
    assert any(fault.startswith("Thread delivery has been busy with one task for ") for fault in faults)
    text_of(stuck, 5)
    assert scheduler.faults() == []


def test_a_stuck_engine_is_a_fault_until_it_goes_on(start: Start, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = start(slots=1)
    assert scheduler.faults() == []
    row, recorder = row_of(gate)
    scheduler.submit(gate, row)
    gate.begun.get(timeout=10)
    with monkeypatch.context() as patch:
        later_s = time.monotonic() + health.STALLED_AFTER_S + 1
        patch.setattr(health.time, "monotonic", lambda: later_s)
        (fault,) = scheduler.faults()
    assert fault.startswith("Thread engine-0 has been busy with one task for ")
    gate.permits.release(1000)
    text_of(recorder, 5)
    scheduler.close()
    assert scheduler.faults() == []


def test_an_engine_goes_on_after_any_error(start: Start, model: FakeModel) -> None:
    class Nameless(FakeModel):
        """Its failure cannot even be logged."""

        def advance(self, steps: Steps) -> Stepped:
            del self.manifest
            raise MemoryError

    scheduler = start(slots=4, queue=4)
    nameless = Nameless()
    row, recorder = row_of(nameless)
    scheduler.submit(nameless, row)
    assert isinstance(error_of(recorder), AttributeError)
    row, recorder = row_of(model)
    scheduler.submit(model, row)
    assert text_of(recorder, 5) == expected_text("", 5, 1)
    assert scheduler.faults() == []


def test_several_rows_are_queued_together_or_not_at_all(start: Start, gate: Gate) -> None:
    scheduler = start(slots=2, queue=1)
    rows = [row_of(gate)[0] for _ in range(4)]
    with pytest.raises(QueueFull, match="0 streams run and 0 wait, and the limit for 4 more is 3"):
        scheduler.submit(gate, *rows)
    assert scheduler.is_idle
    scheduler.submit(gate, *rows[:3])
    with pytest.raises(QueueFull, match="which is the limit"):
        scheduler.submit(gate, rows[3])

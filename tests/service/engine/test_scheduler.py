import queue
import threading
import time

import pytest

from service import health
from service.engine.prefix_cache import PrefixCache
from service.engine.row import Row
from service.engine.sampling import SamplingParams
from service.engine.scheduler import Closed, QueueFull, Scheduler
from tests.service.fakes import FakeModel, expected_text


class Gate(FakeModel):
    """A model whose calls wait until they are let through, and say that they have begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.open = threading.Semaphore(0)

    def advance(self, steps):
        self.begun.put(int((steps.length > 0).sum()))
        assert self.open.acquire(timeout=10)
        return super().advance(steps)


class Inbox:
    def __init__(self) -> None:
        self.symbols: queue.SimpleQueue = queue.SimpleQueue()
        self.has_started = threading.Event()

    def started(self) -> None:
        self.has_started.set()

    def sampled(self, symbols, logprobs) -> None:
        self.symbols.put(symbols.tolist())

    def failed(self, error: Exception) -> None:
        self.symbols.put(error)

    def read(self, length: int) -> list[int]:
        symbols: list[int] = []
        while len(symbols) < length:
            symbols += self.symbols.get(timeout=10)
        return symbols


def row(length: int = 5, seed: int = 1, prompt: str = "") -> tuple[Row, Inbox]:
    inbox, model = Inbox(), FakeModel()
    sampling = SamplingParams(seed=seed)
    return Row(model.text.encode(prompt), length=length, sampling=sampling, listener=inbox), inbox


@pytest.fixture
def scheduler():
    schedulers: list[Scheduler] = []

    def start(**settings) -> Scheduler:
        schedulers.append(
            Scheduler(**{"engines": 1, "slots": 2, "queue": 1, "chunk": 4, "cache": PrefixCache(0)} | settings)
        )
        return schedulers[-1]

    yield start
    for started in schedulers:
        started.close()


def test_many_rows_on_several_engines_each_get_their_own_text(scheduler, model: FakeModel) -> None:
    running = scheduler(engines=3, slots=4, queue=100)
    inboxes = []
    for seed in range(60):
        submitted, inbox = row(length=20, seed=seed)
        running.submit(model, submitted)
        inboxes.append(inbox)
    for seed, inbox in enumerate(inboxes):
        assert model.text.decode(inbox.read(20)) == expected_text("", 20, seed)
    assert running.waiting == 0


def test_past_slots_and_queue_a_row_is_refused_and_a_cancelled_one_makes_room(scheduler) -> None:
    model = Gate()
    running = scheduler(slots=2, queue=1)
    rows = [row()[0] for _ in range(4)]
    running.submit(model, rows[0])
    assert model.begun.get(timeout=10) == 1  # the engine is inside a call with one row; a slot and a place are free
    running.submit(model, rows[1])
    running.submit(model, rows[2])
    with pytest.raises(QueueFull, match="1 streams run and 2 wait"):
        running.submit(model, rows[3])
    rows[1].cancelled = True
    running.submit(model, rows[3])
    model.open.release(1000)


def test_engines_share_the_rows_evenly(scheduler) -> None:
    model = Gate()
    running = scheduler(engines=2, slots=8, queue=8)
    pairs = [row(length=400) for _ in range(2)]
    for submitted, _ in pairs:
        running.submit(model, submitted)
    # Two engines are inside a call with one row each, although either had room for both.
    assert [model.begun.get(timeout=10), model.begun.get(timeout=10)] == [1, 1]
    model.open.release(10_000)


def test_a_row_joins_a_running_batch_between_two_calls(scheduler) -> None:
    model = Gate()
    running = scheduler(slots=4)
    first, first_inbox = row(length=12, seed=1)
    second, second_inbox = row(length=4, seed=2)
    running.submit(model, first)
    assert model.begun.get(timeout=10) == 1
    running.submit(model, second)
    assert not second_inbox.has_started.is_set()
    model.open.release()
    assert model.begun.get(timeout=10) == 2
    model.open.release(1000)
    assert model.text.decode(first_inbox.read(12)) == expected_text("", 12, 1)
    assert model.text.decode(second_inbox.read(4)) == expected_text("", 4, 2)


def test_a_batch_that_fails_tells_its_rows_and_the_engine_lives(scheduler, model: FakeModel) -> None:
    running = scheduler()
    model.fails = True
    submitted, inbox = row()
    running.submit(model, submitted)
    assert isinstance(inbox.symbols.get(timeout=10), RuntimeError)
    model.fails = False
    submitted, inbox = row(seed=3)
    running.submit(model, submitted)
    assert model.text.decode(inbox.read(5)) == expected_text("", 5, 3)


def test_close_fails_what_runs_and_refuses_what_comes(scheduler) -> None:
    model = Gate()
    running = scheduler(slots=1)
    runs, runs_inbox = row(length=100)
    waits, waits_inbox = row()
    running.submit(model, runs)
    model.begun.get(timeout=10)
    running.submit(model, waits)
    closing = threading.Thread(target=running.close)
    closing.start()
    model.open.release(1)
    closing.join(timeout=10)
    assert not closing.is_alive()
    assert isinstance([runs_inbox.symbols.get(timeout=10) for _ in range(2)][-1], Closed)
    assert isinstance(waits_inbox.symbols.get(timeout=10), Closed)
    with pytest.raises(Closed):
        running.submit(model, row()[0])


def test_draining_refuses_what_comes_and_lets_finish_what_runs_and_waits(scheduler) -> None:
    model = Gate()
    running = scheduler(slots=1)
    runs, runs_inbox = row(length=10, seed=1)
    waits, waits_inbox = row(length=6, seed=2)
    running.submit(model, runs)
    model.begun.get(timeout=10)
    running.submit(model, waits)
    running.drain()
    with pytest.raises(Closed):
        running.submit(model, row()[0])
    assert not running.is_idle
    model.open.release(1000)
    assert model.text.decode(runs_inbox.read(10)) == expected_text("", 10, 1)
    assert model.text.decode(waits_inbox.read(6)) == expected_text("", 6, 2)
    while not running.is_idle:  # the engine's next look
        model.open.release()


class Cache(PrefixCache):
    """Its lookups wait until they are let through; one of a prompt of three fails."""

    def __init__(self) -> None:
        super().__init__(1_000_000)
        self.begun, self.open = threading.Semaphore(0), threading.Event()

    def longest(self, model, prompt):
        self.begun.release()
        assert self.open.wait(timeout=10)
        if len(prompt) == 3:
            raise MemoryError
        return super().longest(model, prompt)


def test_a_row_that_cannot_join_fails_alone_and_the_engine_goes_on(scheduler, model: FakeModel) -> None:
    cache = Cache()
    cache.open.set()
    running = scheduler(slots=8, queue=8, cache=cache)
    inboxes = {}
    for prompt in ("a", "bad", "ab", "j"):
        submitted, inboxes[prompt] = row(prompt=prompt)
        running.submit(model, submitted)
    assert isinstance(inboxes.pop("bad").symbols.get(timeout=10), MemoryError)
    for prompt, inbox in inboxes.items():
        assert model.text.decode(inbox.read(5)) == expected_text(prompt, 5, 1)
    assert running.faults() == []


def test_while_a_row_joins_nothing_else_waits_and_it_counts_as_running(scheduler, model: FakeModel) -> None:
    cache = Cache()
    running = scheduler(slots=2, queue=1, cache=cache)
    submitted, inbox = row(prompt="a")
    running.submit(model, submitted)
    assert cache.begun.acquire(timeout=10)
    found: queue.SimpleQueue = queue.SimpleQueue()

    def look() -> None:
        running.submit(model, row()[0])
        found.put((running.running, running.waiting, running.is_idle))

    threading.Thread(target=look, daemon=True).start()
    try:
        assert found.get(timeout=5) == (1, 1, False)
    finally:
        cache.open.set()
    assert model.text.decode(inbox.read(5)) == expected_text("a", 5, 1)


def test_a_stuck_engine_is_a_fault_until_it_goes_on(scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Gate()
    running = scheduler(slots=1)
    assert running.faults() == []
    submitted, inbox = row()
    running.submit(model, submitted)
    model.begun.get(timeout=10)
    with monkeypatch.context() as patch:
        later_s = time.monotonic() + health.STALLED_AFTER_S + 1
        patch.setattr(health.time, "monotonic", lambda: later_s)
        (fault,) = running.faults()
    assert fault.startswith("Thread engine-0 has been busy with one task for ")
    model.open.release(1000)
    inbox.read(5)
    running.close()
    assert running.faults() == []


def test_an_engine_goes_on_after_any_error(scheduler) -> None:
    class Nameless(FakeModel):
        """Its failure cannot even be logged."""

        def advance(self, steps):
            del self.manifest
            raise MemoryError

    running = scheduler(slots=4, queue=4)
    submitted, inbox = row()
    running.submit(Nameless(), submitted)
    assert isinstance(inbox.symbols.get(timeout=10), AttributeError)
    model = FakeModel()
    submitted, inbox = row()
    running.submit(model, submitted)
    assert model.text.decode(inbox.read(5)) == expected_text("", 5, 1)
    assert running.faults() == []


def test_a_thread_whose_target_raises_is_a_fault_and_one_that_returns_is_none(caplog: pytest.LogCaptureFixture) -> None:
    def fails(thread: health.WatchedThread) -> None:
        raise MemoryError

    threads = [health.WatchedThread(target, name) for target, name in ((fails, "fails"), (lambda thread: None, "ends"))]
    for thread in threads:
        thread.start()
        thread.join()
    assert [thread.fault() for thread in threads] == ["Thread fails has ended.", None]
    assert [record.message for record in caplog.records] == ["Thread fails has ended because of an unexpected error."]

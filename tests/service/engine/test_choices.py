import queue
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from service.engine.choices import Choices
from service.engine.generation import Characters, GenerationRequest, Status
from service.engine.prefix_cache import PrefixCache
from service.engine.sampling import SamplingParams
from service.engine.scheduler import QueueFull, Scheduler
from service.engine.stream import Stream
from service.model.model import Model
from tests.service.fakes import FakeModel, Gate, expected_text
from tests.waiting import wait_until


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """Three slots and a queue of two."""
    started = Scheduler(engines=1, slots=3, queue=2, chunk=4, cache=PrefixCache(0))
    yield started
    started.close()


def requests(count: int, **changes: Any) -> list[GenerationRequest]:
    """Requests whose seeds are 0, 1, …"""
    defaults = {"prompt": "", "length": 30}
    return [GenerationRequest(**(defaults | changes), sampling=SamplingParams(seed=seed)) for seed in range(count)]


def chunks_of(choices: Choices) -> list[Characters]:
    """Every chunk; none of the streams waits for ten seconds."""
    chunks = []
    while choices.is_running:
        found = choices.take(10)
        assert found, "nothing came for ten seconds"
        chunks += found
    choices.close()
    return chunks


def test_each_choice_gets_its_own_text_in_order_and_one_end(scheduler: Scheduler, model: Model) -> None:
    choices = Choices(model, requests(5), scheduler)
    chunks = chunks_of(choices)
    for number in range(5):
        own = [chunk for chunk in chunks if chunk.choice == number]
        assert "".join(chunk.text for chunk in own) == expected_text("", 30, number)
        assert [chunk.status for chunk in own] == [Status.RUNNING] * (len(own) - 1) + [Status.LENGTH]
        assert [chunk.index for chunk in own] == [sum(len(c.text) for c in own[:i]) for i in range(len(own))]
    assert [result.text for result in choices.results()] == [expected_text("", 30, number) for number in range(5)]


def test_the_chunks_of_the_choices_are_interleaved(scheduler: Scheduler, model: Model) -> None:
    order = [chunk.choice for chunk in chunks_of(Choices(model, requests(3, length=200), scheduler))]
    assert order != sorted(order)


def test_all_join_the_queue_or_none(scheduler: Scheduler) -> None:
    model: Any = Gate()
    with pytest.raises(QueueFull, match="0 streams run and 0 wait, and the limit for 6 more is 5"):
        Choices(model, requests(6), scheduler)
    assert scheduler.is_idle
    choices = Choices(model, requests(5), scheduler)
    model.permits.release(1000)
    chunks_of(choices)


def test_a_choice_that_stops_before_its_first_character_has_an_empty_end(scheduler: Scheduler, model: Model) -> None:
    first = expected_text("", 1, 0)
    choices = Choices(model, requests(1, stop=(first,)), scheduler)
    (chunk,) = chunks_of(choices)
    assert (chunk.text, chunk.status) == ("", Status.STOP)


def test_choices_with_nothing_to_compute_end_at_once(scheduler: Scheduler, model: FakeModel) -> None:
    choices = Choices(model, requests(2, prompt="abc", length=0), scheduler)  # type: ignore[arg-type]
    assert [(chunk.choice, chunk.text, chunk.status) for chunk in chunks_of(choices)] == [
        (0, "", Status.LENGTH),
        (1, "", Status.LENGTH),
    ]
    assert not model.calls


def test_none_comes_while_all_wait_and_the_deadline_ends_all(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = Gate()
    choices = Choices(model, requests(2, timeout_s=60), scheduler)
    assert [choices.take(0.01) for _ in range(4)] == [[]] * 4
    later_s = time.monotonic() + 61
    monkeypatch.setattr("time.monotonic", lambda: later_s)
    ends = chunks_of(choices)
    assert [(end.choice, end.text, end.status) for end in ends] == [(0, "", Status.TIMEOUT), (1, "", Status.TIMEOUT)]
    model.permits.release(1000)


def test_closing_cancels_every_choice(scheduler: Scheduler) -> None:
    model: Any = Gate()
    choices = Choices(model, requests(5, length=10_000), scheduler)
    choices.close()
    model.permits.release(10)
    wait_until(lambda: scheduler.running == 0, 10)
    assert {result.status for result in choices.results()} == {Status.CANCELLED}


def test_an_error_of_one_choice_is_raised(scheduler: Scheduler, model: FakeModel) -> None:
    model.fails = True
    choices = Choices(model, requests(2), scheduler)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="the model broke"):
        chunks_of(choices)
    choices.close()
    assert {result.status for result in choices.results()} == {Status.ERROR}


def test_a_choice_that_has_ended_frees_its_slot_while_others_run(scheduler: Scheduler) -> None:
    model: Any = Gate()
    stop = expected_text("", 1, 0)  # the first character of the first choice
    first, second = requests(2, length=10_000)
    choices = Choices(model, [replace(first, stop=(stop,)), second], scheduler)
    model.permits.release()
    wait_until(lambda: any(chunk.status == Status.STOP for chunk in choices.take(0)), 10)
    model.permits.release()
    wait_until(lambda: scheduler.running == 1, 10)
    assert choices.is_running
    choices.close()
    model.permits.release(100)


def test_ready_chunks_come_without_waiting_and_are_announced(scheduler: Scheduler) -> None:
    model: Any = Gate()
    choices = Choices(model, requests(2, length=8), scheduler)
    announced: queue.SimpleQueue[None] = queue.SimpleQueue()
    choices.on_ready = lambda: announced.put(None)
    assert choices.take(0) == []
    model.permits.release()
    for _ in range(2):
        announced.get(timeout=10)
    assert sorted(chunk.choice for chunk in choices.take(0)) == [0, 1]
    assert choices.take(0) == []
    model.permits.release(1000)
    chunks_of(choices)


def test_characters_before_an_error_come_before_it(scheduler: Scheduler) -> None:
    model: Any = Gate()
    choices = Choices(model, requests(1, length=1000), scheduler)
    announced: queue.SimpleQueue[None] = queue.SimpleQueue()
    choices.on_ready = lambda: announced.put(None)
    model.permits.release()
    announced.get(timeout=10)
    model.fails = True
    model.permits.release(10)
    announced.get(timeout=10)
    assert [chunk.text for chunk in choices.take(0)] == [expected_text("", 1, 0)]
    with pytest.raises(RuntimeError, match="the model broke"):
        choices.take(0)
    choices.close()


def test_nothing_is_read_while_nothing_is_ready(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server asks once for each announcement, and one answer has the chunks of all of them."""
    model: Any = Gate()
    choices = Choices(model, requests(3, length=8), scheduler)
    reads: list[object] = []
    monkeypatch.setattr(Stream, "read", lambda stream, wait_s: reads.append(stream))
    assert choices.take(0) == []
    assert not reads
    monkeypatch.undo()
    model.permits.release(1000)
    chunks_of(choices)

from typing import Any

from service.engine.engine import Engine
from service.engine.prefix_cache import PrefixCache
from service.model.model import Stepped, Steps
from tests.service.engine.rows import row_of
from tests.service.fakes import FakeModel, Recorder, expected_text


def engine_of(cache: PrefixCache | None = None) -> Engine:
    return Engine(slots=4, chunk=4, cache=cache or PrefixCache(0))


def test_rows_of_several_models_advance_together_until_each_is_finished(model: FakeModel) -> None:
    engine, other = engine_of(), FakeModel()
    rows = [(used, *row_of(used, seed=seed)) for seed, used in enumerate((model, other, model))]
    for used, row, _ in rows:
        engine.take(used, row)
    assert engine.rows == 3
    assert not model.calls  # rows join in the next step
    while engine.rows:
        engine.step()
    for seed, (used, _, recorder) in enumerate(rows):
        assert used.text.decode(recorder.symbols) == expected_text("", 5, seed)


def test_a_row_that_cannot_join_fails_alone(model: FakeModel) -> None:
    class Full(PrefixCache):
        def longest(self, model: Any, prompt: Any) -> None:
            if len(prompt) == 3:
                raise MemoryError

    engine = engine_of(Full(1_000_000))
    recorders = []
    for prompt in ("a", "bad"):
        row, recorder = row_of(model, prompt)
        engine.take(model, row)
        recorders.append(recorder)
    while engine.rows:
        engine.step()
    assert isinstance(recorders[1].error, MemoryError)
    assert model.text.decode(recorders[0].symbols) == expected_text("a", 5, 1)


def test_a_finished_row_is_not_counted_any_more_when_its_listener_gets_the_last_symbols(model: FakeModel) -> None:
    """The listener may submit the next row, which must not be taken by another engine because this one seems full."""
    engine, counts = engine_of(), list[int]()

    class Counting(Recorder):
        def sampled(self, *results: Any) -> bool:
            counts.append(engine.rows)
            return super().sampled(*results)

    row, _ = row_of(model, length=5)
    row.listener = Counting()
    engine.take(model, row)
    while engine.rows:
        engine.step()
    assert counts == [1, 0]  # one symbol at the start, then the other four


def test_neither_is_a_row_that_only_follows(model: FakeModel) -> None:
    engine, counts = engine_of(), list[int]()
    row, _ = row_of(model, "abcdef", length=0, on_followed=lambda *_: counts.append(engine.rows))
    engine.take(model, row)
    while engine.rows:
        engine.step()
    assert counts == [1, 0]  # four symbols in the first call, then the other two


def test_an_error_of_a_batch_fails_its_rows_and_no_other_batch(model: FakeModel) -> None:
    class Nameless(FakeModel):
        """Its failure cannot even be logged."""

        def advance(self, steps: Steps) -> Stepped:
            del self.manifest
            raise MemoryError

    engine, nameless = engine_of(), Nameless()
    fails, fails_recorder = row_of(nameless)
    works, works_recorder = row_of(model)
    engine.take(nameless, fails)
    engine.take(model, works)
    while engine.rows:
        engine.step()
    assert isinstance(fails_recorder.error, AttributeError)
    assert model.text.decode(works_recorder.symbols) == expected_text("", 5, 1)


def test_fail_fails_every_row_also_those_that_have_not_joined(model: FakeModel) -> None:
    engine = engine_of()
    recorders = []
    for _ in range(2):
        row, recorder = row_of(model, length=50)
        engine.take(model, row)
        recorders.append(recorder)
        if len(recorders) == 1:
            engine.step()
    engine.fail(ZeroDivisionError())
    assert engine.rows == 0
    assert all(isinstance(recorder.error, ZeroDivisionError) for recorder in recorders)

"""The stages of a run: their seconds, their progress, and the points where they stop."""

from types import SimpleNamespace

import pytest

from training.learning import stages as module
from training.learning.stages import Stages, Stopped


def test_every_second_belongs_to_one_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    stages = Stages()
    for stage, seconds in (("training", 3.0), ("evaluation", 1.0), ("training", 2.0)):
        stages.enter(stage)
        now_s[0] += seconds
    stages.clock()
    assert stages.seconds == {"training": 5.0, "evaluation": 1.0}
    stages.reset()
    now_s[0] += 4.0
    stages.clock()
    assert stages.seconds == {"training": 4.0}
    assert stages.elapsed_seconds == 10.0


def test_progress_is_shown_by_stage() -> None:
    shown: list[tuple[str, int, int]] = []
    stages = Stages(show=lambda *progress: shown.append(progress))
    stages.enter("evaluation", 3)
    stages.advance()
    stages.advance(2)
    stages.enter("export")
    assert shown == [("evaluation", 0, 3), ("evaluation", 1, 3), ("evaluation", 3, 3), ("export", 0, 0)]


def test_a_stop_is_raised_when_a_stage_starts_or_advances() -> None:
    stages = Stages()
    stages.enter("training")
    stages.should_stop = lambda: True
    for call in (stages.advance, lambda: stages.enter("evaluation")):
        with pytest.raises(Stopped):
            call()


def test_a_stage_that_must_run_is_entered_in_spite_of_a_stop() -> None:
    stages = Stages(should_stop=lambda: True)
    stages.switch("saving")
    assert stages.current == "saving"

"""The lines that a person sees while a network trains."""

from types import SimpleNamespace
from typing import Any

import pytest

from training.learning import progress
from training.learning.progress import RunProgress, StageProgress, estimate
from training.learning.stages import Stages


def record(**fields: Any) -> dict[str, Any]:
    losses = {"training_nats_per_char": 2.0, "validation_nats_per_char": 2.25}
    return {"step": 50, "epoch": 1.25, "samples": {"0.8": "to be"}} | losses | fields


@pytest.mark.parametrize(
    ("minutes", "epochs", "sentence"),
    [
        (0.4, 50, "About a minute."),
        (8, 50, "About 8 minutes."),
        (24, 50, "About 24 minutes; --minutes 10 would read the text 21 times instead of 50."),
        (1000, 3, "About 1000 minutes; --minutes 480 would read the text 1.4 times instead of 3."),
    ],
)
def test_the_estimate_proposes_a_shorter_time(minutes: float, epochs: float, sentence: str) -> None:
    assert estimate(minutes, epochs) == sentence


@pytest.mark.parametrize("with_estimate", [True, False])
def test_the_estimate_is_printed_after_the_first_steps(
    with_estimate: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: float(next(now_s))))
    with RunProgress(Stages(), 900, 0, 9, with_estimate=with_estimate) as shown:
        for _ in range(6):
            shown.step(1.0)
    assert capsys.readouterr().out.count("About") == with_estimate


def test_an_evaluation_is_printed_with_its_losses_and_a_sample(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress(Stages(), total_steps=80, step=49, steps_per_epoch=40) as shown:
        shown.evaluation(record(), best=True)
        shown.evaluation(record(novelty={"lines": 200.0, "new": 0.75}), best=False)
    first, second = capsys.readouterr().out.split("\n\n")[:2]
    assert first == (
        "epoch 1.25, step 50: training 2.0000, validation 2.2500 nats/char (3.2461 bits/char, the best so far)\nto be"
    )
    with RunProgress(Stages(), total_steps=80, step=49, steps_per_epoch=40, unit="byte") as shown:
        shown.evaluation(record(), best=False)
    assert "validation 2.2500 nats/byte (3.2461 bits/byte)\n" in capsys.readouterr().out
    assert "the best so far" not in second
    assert second.splitlines()[1:] == ["75% of 200 sampled lines are new", "to be"]


def test_without_a_terminal_steps_and_stages_are_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    stages = Stages()
    with RunProgress(stages, total_steps=80, step=39, steps_per_epoch=40) as shown:
        stages.enter("evaluation", 4)
        stages.advance(2)
        shown.step(2.0)
    assert capsys.readouterr().err.splitlines() == [
        "evaluation 0%, step 39 of 80 (49%)",
        "evaluation 50%, step 39 of 80 (49%)",
        "epoch 1.0/2, step 40 of 80 (50%), 2.000 nats 2.89 bits",
    ]


def test_stages_are_not_shown_after_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    stages = Stages()
    with StageProgress(stages):
        stages.enter("export")
    stages.enter("publishing")
    assert capsys.readouterr().err == "export\n"

"""The charts of a run's report."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.report.pages import Page, wide_chart
from tests.training.report.runs import LOSSES, evaluation, write_run
from training.report.curves import loss_range, loss_section, progress_section, shown_levels
from training.report.recorded import RunRecord, read_run


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    return read_run(write_run(tmp_path))


def with_losses(run: RunRecord, losses: dict[int, float]) -> RunRecord:
    return replace(run, baselines=replace(run.baselines, nats_per_char=losses))


@pytest.mark.parametrize(
    ("dropout", "name"), [(0.0, "training, with teachers"), (0.1, "training, with dropout and teachers")]
)
def test_the_legend_says_why_the_training_loss_is_larger(tmp_path: Path, dropout: float, name: str) -> None:
    settings = {"dropout": dropout, "output_dropout": 0.0, "weight_dropout": 0.0}
    run = read_run(write_run(tmp_path, settings=settings, teachers=["a/1"]))
    assert re.findall(r"</svg>([^<]*)</li>", loss_section(run))[0] == name


def test_both_losses_are_drawn_for_wide_and_narrow_windows(run: RunRecord) -> None:
    source = loss_section(run)
    assert re.findall(r"</svg>([^<]*)</li>", source) == [
        "training, with dropout", "validation; the circle marks the best", "n-gram models, validation",
    ]  # fmt: skip
    for kind in ("training", "validation"):
        assert source.count(f'class="curve {kind}"') == 2 * 1 + 1  # two charts and the legend
    assert "epoch 1.5 · 3k characters · 2.020 bits · training 1.500 · validation 1.400" in Page(source).of("title")


@pytest.mark.parametrize("rate", ["input_dropout", "dropout", "output_dropout", "weight_dropout", None])
def test_the_legend_names_dropout_in_any_place(run: RunRecord, rate: str | None) -> None:
    without = dict.fromkeys(("input_dropout", "dropout", "output_dropout", "weight_dropout"), 0.0)
    config = run.plan["config"] | without | ({rate: 0.1} if rate else {})
    source = loss_section(replace(run, plan=run.plan | {"config": config}))
    assert ("training, with dropout" in source) == (rate is not None)


def test_ngram_models_up_to_order_4_and_the_best_are_drawn(run: RunRecord) -> None:
    losses = {order: 1.5 - 0.001 * order for order in range(1, 9)}
    assert list(shown_levels(with_losses(run, losses))) == ["1-gram", "2-gram", "3-gram", "4-gram", "8-gram"]
    assert list(shown_levels(with_losses(run, {1: 3.0, 2: 2.0, 3: 2.5}))) == ["1-gram", "2-gram", "3-gram"]


def test_labels_of_ngram_models_do_not_overlap(run: RunRecord) -> None:
    source = loss_section(with_losses(run, {order: 1.5 - 0.001 * order for order in range(1, 9)}))
    for drawing in re.findall(r'<svg class="(?:wide|narrow)".*?</svg>', source, re.DOTALL):
        positions = dict(re.findall(r'y="([\d.]+)" text-anchor="start">(\d-gram)</text>', drawing))
        assert len(positions) == 5
        assert min(np.diff(sorted(map(float, positions)))) >= 12.9


def test_the_range_leaves_out_the_first_steep_fall(tmp_path: Path) -> None:
    lines = [evaluation(n, nats) for n, nats in ((1, 9.0), (30, 2.0), (60, 1.0))]
    low, high = loss_range(with_losses(read_run(write_run(tmp_path, lines)), {1: 1.5}))
    assert low == pytest.approx(1.0 - 0.06 * 1.1)
    assert high == pytest.approx(2.1 + 0.06 * 1.1)


def test_one_evaluation_is_a_point(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, [evaluation(1, 2.0)], {"warmup_steps": 0}))
    drawing = wide_chart(loss_section(run))
    for kind in ("training", "validation"):
        assert len(re.findall(rf'<path class="point {kind}" d="M[\d.]+ [\d.]+h0"/>', drawing)) == 1
    assert "curve training" not in drawing
    assert progress_section(run).count('class="point third"') == 2  # learning rate and speed


def test_the_warm_up_is_drawn_before_the_first_evaluation(tmp_path: Path) -> None:
    settings = {"warmup_steps": 100, "learning_rate": 0.01, "schedule": "constant"}
    lines = [evaluation(n, 2.0, step=400 * n, epoch=n, chars_seen=32_000 * n, learning_rate=0.01) for n in (1, 2)]
    run = read_run(write_run(tmp_path, lines, settings))
    source = progress_section(run)
    (path,) = re.findall(r'aria-label="learning rate.*?class="curve third" d="([^"]+)"', source)
    assert path.count("L") == len(run.warm_up) + 1
    heights = [float(point.split()[1]) for point in re.split("[ML]", path)[1:]]
    assert heights[0] > heights[5] > heights[-1] == heights[len(run.warm_up) - 1]


def test_stages_have_their_shares_of_the_time(tmp_path: Path) -> None:
    timed = [evaluation(n, 2.0, seconds={"training": 80.0, "evaluation": 20.0}) for n in (1, 2)]
    source = progress_section(read_run(write_run(tmp_path, timed)))
    assert "Time by stage: training 80%, evaluation 20%." in source
    assert "Time by stage" not in progress_section(read_run(write_run(tmp_path)))


def test_novelty_is_drawn_if_it_was_measured(tmp_path: Path) -> None:
    novel = [evaluation(1, 2.0), evaluation(2, 1.5, novelty={"lines": 200, "new": 0.75, "in_training": 0.25})]
    source = progress_section(read_run(write_run(tmp_path, novel)))
    assert "epoch 1 · new 75% · in training 25%" in Page(source).of("title")
    assert "sampled lines" not in progress_section(read_run(write_run(tmp_path)))


def test_without_measurements_there_is_no_progress(tmp_path: Path) -> None:
    bare = evaluation(1, LOSSES[0], learning_rate=None, chars_per_second=None, training_nats_per_char=None)
    run = read_run(write_run(tmp_path, [bare]))
    assert progress_section(run) == ""
    assert "training nan" not in loss_section(run)
    assert math.isnan(run.evaluations[0].training)

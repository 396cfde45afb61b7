"""A run as recorded in its folder."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.report.runs import LOSSES, evaluation, write_run
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.errors import InputError
from training.report import ngrams
from training.report.recorded import MAX_SHOWN, read_run


def test_a_run_has_the_facts_of_its_folder(tmp_path: Path) -> None:
    run, corpus = read_run(write_run(tmp_path / "one&only")), Corpus.open(tmp_path / "one&only/corpus")
    assert (run.name, run.unit, run.parameters) == ("one&only", "character", None)
    assert [found.validation for found in run.evaluations] == LOSSES
    assert run.best.validation == min(LOSSES)
    assert run.temperatures == ["0.5", "1.0"]
    assert (run.text.symbols, run.text.vocabulary) == (len(corpus), len(corpus.vocabulary))
    assert (run.text.training, run.text.validation) == (len(corpus.training), len(corpus.validation))
    expected = ngrams.baselines(corpus.training, corpus.validation, len(corpus.vocabulary))
    assert run.baselines.nats_per_char == expected


def test_parameters_are_those_of_the_published_version(tmp_path: Path) -> None:
    version = tmp_path / "models/x/3"
    (version / "assets.extra").mkdir(parents=True)
    (version / "assets.extra/manifest.json").write_text('{"parameters": 12345}')
    assert read_run(write_run(tmp_path / "x", published=str(version))).parameters == 12_345
    assert read_run(write_run(tmp_path / "x", published="models/gone/1")).parameters is None
    (version / "assets.extra/manifest.json").write_text("{")
    assert read_run(write_run(tmp_path / "x", published=str(version))).parameters is None


def test_a_byte_run_has_bytes(tmp_path: Path) -> None:
    assert read_run(write_run(tmp_path, config=TrainConfig().to_json() | {"unit": "byte"})).unit == "byte"


def test_the_warm_up_has_its_learning_rates(tmp_path: Path) -> None:
    settings = {"warmup_steps": 100, "learning_rate": 0.01, "schedule": "constant"}
    lines = [evaluation(n, 2.0, step=400 * n, epoch=n, chars_seen=32_000 * n, learning_rate=0.01) for n in (1, 2)]
    warm_up = read_run(write_run(tmp_path, lines, settings)).warm_up
    assert warm_up[0] == (0, pytest.approx(0.01 / 101))
    assert warm_up[-1] == (100 * 4 * 20, 0.01)
    assert [rate for _, rate in warm_up] == sorted(rate for _, rate in warm_up)


def test_a_run_without_a_warm_up_has_none(tmp_path: Path) -> None:
    assert read_run(write_run(tmp_path, settings={"warmup_steps": 0})).warm_up == []


def test_a_long_history_is_thinned_and_keeps_its_first_best_and_last(tmp_path: Path) -> None:
    losses = [3.0] * 1000
    losses[501] = 0.5
    run = read_run(write_run(tmp_path, [evaluation(n, nats) for n, nats in enumerate(losses, 1)]))
    steps = [found.step for found in run.thinned]
    assert len(steps) <= MAX_SHOWN
    assert (steps[0], steps[-1]) == (10, 10_000)
    assert 5020 in steps
    assert max(np.diff(steps)) <= 2 * 10_000 / MAX_SHOWN


def test_a_short_history_is_complete(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path))
    assert run.thinned == run.evaluations


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"There is no run in {tmp_path}"):
        read_run(tmp_path)
    write_run(tmp_path)
    for content in ("{", "[]", "{}", "null"):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(InputError, match=r"run\.json is damaged"):
            read_run(tmp_path)

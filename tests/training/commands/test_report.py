"""`report`: a page about one run, or a comparison of several."""

from pathlib import Path

import pytest

from tests.training.commands.cli import refusal, run


@pytest.fixture(autouse=True)
def written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes no page; the result names the function and its runs."""
    monkeypatch.setattr("training.report.write.write_report", lambda folder: f"report of {folder}")
    monkeypatch.setattr(
        "training.report.compare.write_comparison",
        lambda folders, runs: f"comparison of {' and '.join(map(str, folders))} in {runs}",
    )


def test_one_run_has_a_report_and_several_a_comparison() -> None:
    assert run("report", "a").output == "Wrote report of runs/a\n"
    assert run("report", "a", "b", "--runs", "r").output == "Wrote comparison of r/a and r/b in r\n"


def test_a_repeated_name_is_one_run() -> None:
    assert run("report", "a", "a").output == "Wrote report of runs/a\n"


def test_an_invalid_name_is_refused(tmp_path: Path) -> None:
    assert "'../a' must be 1 to 64 of a-z" in refusal("report", "../a")

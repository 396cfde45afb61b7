"""`python -m training`: commands of others, and a missing package."""

import click
import pytest

from training.__main__ import main


def test_a_given_command_is_one_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    called = []
    monkeypatch.setattr("training.commands.main", lambda *commands: called.append(commands))
    command = click.Command("serve")
    main(command)
    assert called == [(command,)]


def test_a_missing_package_ends_it_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ModuleNotFoundError("No module named 'tqdm'", name="tqdm")

    monkeypatch.setattr("training.commands.main", fail)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: training needs the package tqdm: ")

"""The command line in this process, without training anything."""

import pytest
from click.testing import CliRunner, Result

from training import commands
from training.commands import cli


def run(*arguments: str) -> Result:
    """The result of a command."""
    return CliRunner().invoke(cli, arguments, prog_name="python -m training")


def refusal(*arguments: str) -> str:
    """The one sentence of a usage error."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    usage, *_, sentence = result.stderr.strip().splitlines()
    assert usage.startswith("Usage: python -m training")
    assert sentence.startswith("Error: ")
    assert result.stderr.count("Error") == 1
    return sentence


def failure(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a command that fails with exit code 1."""
    monkeypatch.setattr("sys.argv", ["training", *arguments])
    with pytest.raises(SystemExit) as exit_:
        commands.main()
    assert exit_.value.code == 1
    (line,) = capfd.readouterr().err.splitlines()
    return line

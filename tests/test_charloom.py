"""The command `charloom` where only one of the two packages is installed."""

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from charloom import serve
from tests.processes import ROOT

# `make test` links the project into its environment, where every Python would find both packages.
WITHOUT_LINK = """
import sys
linked = [finder for finder in sys.meta_path if getattr(finder, "__module__", "").startswith("__editable__")]
for finder in linked:
    sys.meta_path.remove(finder)
"""


def run(*arguments: str, cwd: Path, hidden: str) -> subprocess.CompletedProcess[str]:
    """Run it as the images do: as a script, with the packages on PYTHONPATH, here without `hidden`."""
    packages = cwd / "packages"
    packages.mkdir()
    (packages / "sitecustomize.py").write_text(WITHOUT_LINK)
    for name in {"service", "training"} - {hidden}:
        (packages / name).symlink_to(ROOT / name)
    return subprocess.run(
        [sys.executable, ROOT / "charloom.py", *arguments],
        cwd=cwd, env={"PYTHONPATH": str(packages), "PYTHONSAFEPATH": "1"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_without_training_only_serve_is_offered(tmp_path: Path) -> None:
    page = run("--help", cwd=tmp_path, hidden="training")
    assert page.returncode == 0, page.stderr
    commands = page.stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in commands] == ["serve"]


def test_without_the_service_serve_is_refused_in_one_sentence(tmp_path: Path) -> None:
    result = run("serve", cwd=tmp_path, hidden="service")
    assert result.returncode == 1
    assert result.stderr == "Error: charloom serve needs the package service, which is not installed here.\n"


def test_serve_starts_gunicorn_with_the_given_settings(monkeypatch, tmp_path: Path) -> None:
    calls = []
    monkeypatch.setattr("os.execve", lambda *call: calls.append(call))
    assert CliRunner().invoke(serve, ["--models", str(tmp_path), "--port", "9"]).exit_code == 0
    ((program, command, environment),) = calls
    config = str(ROOT / "service/gunicorn.conf.py")
    assert (program, command) == (sys.executable, [sys.executable, "-m", "gunicorn", "--config", config])
    assert (environment["CHARLOOM_MODELS"], environment["PORT"]) == (str(tmp_path), "9")


def test_serve_leaves_the_environment_as_it_is_without_flags(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr("os.execve", lambda *call: calls.append(call))
    monkeypatch.setenv("CHARLOOM_MODELS", "elsewhere")
    monkeypatch.delenv("PORT", raising=False)
    assert CliRunner().invoke(serve, []).exit_code == 0
    environment = calls[0][2]
    assert environment["CHARLOOM_MODELS"] == "elsewhere"
    assert "PORT" not in environment


def test_a_port_out_of_range_is_a_usage_error() -> None:
    result = CliRunner().invoke(serve, ["--port", "0"])
    assert result.exit_code == 2
    assert "1<=x<=65535" in result.output

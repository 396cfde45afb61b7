"""The command `charloom` where only one of the two packages is installed, and its commands `serve` and `client`."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from charloom import client, serve
from tests.processes import ROOT
from tests.servers import Server

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


def test_without_training_serve_and_client_are_offered(tmp_path: Path) -> None:
    page = run("--help", cwd=tmp_path, hidden="training")
    assert page.returncode == 0, page.stderr
    commands = page.stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in commands] == ["client", "serve"]


@pytest.mark.parametrize("arguments", [["serve"], ["client", "health"]])
def test_without_the_service_its_commands_are_refused_in_one_sentence(tmp_path: Path, arguments: list[str]) -> None:
    result = run(*arguments, cwd=tmp_path, hidden="service")
    assert result.returncode == 1
    needed_by = f"charloom {arguments[0]}"
    assert result.stderr == f"Error: {needed_by} needs the package service, which is not installed here.\n"


def test_the_client_works_without_training(tmp_path: Path, server: Server) -> None:
    result = run("client", "health", "--url", f"http://127.0.0.1:{server.port}", cwd=tmp_path, hidden="training")
    assert (result.returncode, result.stdout, result.stderr) == (0, "ready: tiny 1\n", "")


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


def asked(server: Server, *arguments: str) -> Result:
    """The result of a command of `charloom client` for this service."""
    command, *others = arguments
    return CliRunner().invoke(client, [command, "--url", f"http://127.0.0.1:{server.port}", *others])


def test_generate_prints_the_prompt_the_text_and_its_seed(server: Server) -> None:
    expected = server.generate(prompt="the ", length=30, seed=3, temperature=0.5, stop=["dog"])
    options = ["--length", "30", "--seed", "3", "--temperature", "0.5", "--stop", "dog"]
    result = asked(server, "generate", "the ", *options)
    assert result.exit_code == 0
    assert (result.stdout, result.stderr) == (f"the {expected['text']}\n", "seed 3\n")


def test_score_prints_the_loss_of_a_text(server: Server, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes("the cat sat ☃\n".encode())
    expected = server.ask("/score", {"text": "the cat sat ☃\n"})
    result = asked(server, "score", str(tmp_path / "text.txt"))
    loss = f"{expected['nats_per_char']:.4f} nats/char, {expected['bits_per_char']:.4f} bits/char"
    assert (result.exit_code, result.stdout) == (
        0, f"tiny 1: {loss}, perplexity {expected['perplexity']:.3f}, 14 characters, 1 unknown\n",
    )  # fmt: skip
    (tmp_path / "text.txt").write_bytes(b"a\xff")
    result = asked(server, "score", str(tmp_path / "text.txt"))
    assert (result.exit_code, result.stderr) == (1, f"Error: {tmp_path}/text.txt is not UTF-8: byte 2 is invalid.\n")


def test_models_lists_versions_with_the_served_and_the_default(server: Server) -> None:
    result = asked(server, "models")
    assert (result.exit_code, result.stdout) == (0, "tiny (default) 1 (served)\n")


def test_score_prints_the_loss_of_a_file_or_of_the_standard_input(server: Server, tmp_path: Path) -> None:
    file, text = tmp_path / "text.txt", "the cat\r\nZo\u00eb"
    file.write_bytes(text.encode())
    status, _, body = server.request("POST", "/score", {"text": text})
    assert status == 200
    score = json.loads(body)
    nats = score["nats_per_char"]
    result = asked(server, "score", str(file))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"tiny 1: {nats:.4f} nats/char, {nats / math.log(2):.4f} bits/char, perplexity ")
    assert result.stdout.endswith(f", 11 characters, {score['unknown_chars']} unknown\n")
    url = f"http://127.0.0.1:{server.port}"
    assert CliRunner().invoke(client, ["score", "-", "--url", url], input=text.encode()).stdout == result.stdout


def test_a_file_that_cannot_be_scored_is_one_sentence(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    for content, message in ((b"\xff", "is not UTF-8"), (b"", "text should have at least 1 character, not 0.")):
        file.write_bytes(content)
        result = asked(server, "score", str(file))
        assert result.exit_code == 1
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


def test_an_error_of_the_service_is_one_sentence(server: Server) -> None:
    result = asked(server, "generate", "--temperature", "9")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: temperature should be")


def test_a_malformed_key_of_the_environment_is_a_usage_error_that_does_not_quote_it() -> None:
    result = CliRunner().invoke(client, ["health"], env={"CHARLOOM_KEY": "my secret"})
    assert result.exit_code == 2
    assert "printable ASCII" in result.stderr
    assert "secret" not in result.stderr


def test_ctrl_c_ends_the_generation_without_a_traceback(server: Server) -> None:
    command = [sys.executable, "charloom.py", "client", "generate", "--length", "100000", "--url"]
    process = subprocess.Popen(
        [*command, f"http://127.0.0.1:{server.port}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.read(3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")

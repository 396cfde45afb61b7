"""A package that is not installed, in a real process that cannot find it: one sentence, which says what to install."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import COMMAND, ENVIRONMENT, ROOT
from training.packages import interpreter, missing_package

# Read by every Python at its start. An import of a hidden package fails as it does where it was never installed.
HIDE = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hide())
"""


def run_without(
    hidden: list[str], folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(HIDE.format(hidden=hidden))
    path = f"{folder}:{ENVIRONMENT['PYTHONPATH']}"
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=ENVIRONMENT | {"PYTHONPATH": path} | environment,
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("click", ["--help"]),
        ("tqdm", ["train", "--name", "x", "--corpus", "-"]),
        ("numpy", ["report", "x"]),
        ("tensorflow", ["sample", "tiny"]),
        ("keras", ["evaluate", "tiny", "--corpus", "-"]),
        ("apscheduler", ["schedule", "--metrics-port", "0"]),
        ("prometheus_client", ["schedule"]),
    ],
)
def test_a_missing_package_is_one_sentence(tmp_path: Path, tiny: Path, package: str, arguments: list[str]) -> None:
    (tmp_path / "models").symlink_to(tiny / "models")
    (tmp_path / "nightly.toml").write_text('[[model]]\nname = "x"\ncorpus = "x"\n')
    result = run_without([package], tmp_path, *arguments)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: training needs the package {package.replace('_', '-')}: ")
    install = line.partition(": training needs the package ")[2].partition(": ")[2]
    assert install.startswith(f"{sys.executable} -m pip install -r ")
    assert Path(tmp_path, install.split()[-1]).samefile(ROOT / "requirements-training.txt")


def test_jax_is_asked_for_where_keras_is_to_run_on_it(tmp_path: Path, tiny: Path) -> None:
    folders = ["--models", str(tiny / "models")]
    result = run_without(["jax", "jaxlib"], tmp_path, "sample", "tiny", *folders, KERAS_BACKEND="jax")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "training needs the package jax" in line
    assert line.endswith("requirements-jax.txt")


@pytest.mark.parametrize("backend", ["torch", "openvino", "JAX", "none-such"])
def test_a_backend_that_cannot_train_is_refused_before_keras_imports_it(
    tmp_path: Path, tiny: Path, backend: str
) -> None:
    result = run_without([], tmp_path, "sample", "tiny", "--models", str(tiny / "models"), KERAS_BACKEND=backend)
    assert result.returncode == 1
    assert result.stderr == f"Error: KERAS_BACKEND must be tensorflow or jax, not {backend}.\n"


def test_a_module_of_our_own_that_is_missing_keeps_its_trace() -> None:
    with pytest.raises(ModuleNotFoundError):
        missing_package(ModuleNotFoundError("No module named 'training.datta'", name="training.datta"))


def test_another_interpreter_is_told_of_the_environment_that_has_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.packages.ROOT", tmp_path)
    error = ModuleNotFoundError("No module named 'tqdm'", name="tqdm")
    assert "or run this with" not in missing_package(error)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    assert missing_package(error).endswith(", or run this with .venv/bin/python")


@pytest.mark.parametrize(
    ("executable", "shown"),
    [
        ("{folder}/.venv/bin/python", ".venv/bin/python"),
        ("{folder}/my env/bin/python", "'my env/bin/python'"),
        ("{folder}/python", "./python"),
        ("/bin/python3", "/bin/python3"),
        ("", "python3"),
    ],
)
def test_the_interpreter_is_shown_as_a_shell_can_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executable: str, shown: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", executable.format(folder=tmp_path))
    assert interpreter() == shown

"""A missing package is reported in one sentence that says how to install it."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hiding import hide_packages
from tests.processes import COMMAND, ENVIRONMENT, ROOT
from training.packages import interpreter, missing_package, require


def run_without(
    hidden: list[str], folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    path = f"{hide_packages(hidden, folder)}:{ENVIRONMENT['PYTHONPATH']}"
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
    assert install.startswith(f"{sys.executable} -m pip install --editable ")
    project = shlex.split(install)[-1]
    assert project.endswith("[training]")
    assert Path(tmp_path, project.removesuffix("[training]")).samefile(ROOT)


def test_outside_of_a_checkout_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.packages.ROOT", tmp_path)
    error = ModuleNotFoundError("No module named 'tqdm'", name="tqdm")
    assert missing_package(error).endswith("-m pip install 'charloom[training]'")


def test_a_package_is_required_before_the_work_that_needs_it() -> None:
    require("json")
    with pytest.raises(ModuleNotFoundError) as missing:
        require("no_such_package")
    assert missing.value.name == "no_such_package"


def test_a_missing_jax_is_reported_if_keras_is_set_to_it(tmp_path: Path, tiny: Path) -> None:
    folders = ["--models", str(tiny / "models")]
    result = run_without(["jax", "jaxlib"], tmp_path, "sample", "tiny", *folders, KERAS_BACKEND="jax")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "training needs the package jax" in line
    assert line.endswith("[jax]'")


@pytest.mark.parametrize("backend", ["torch", "openvino", "JAX", "none-such"])
def test_a_backend_that_cannot_train_is_refused_before_keras_imports_it(
    tmp_path: Path, tiny: Path, backend: str
) -> None:
    result = run_without([], tmp_path, "sample", "tiny", "--models", str(tiny / "models"), KERAS_BACKEND=backend)
    assert result.returncode == 1
    assert result.stderr == f"Error: KERAS_BACKEND must be tensorflow or jax, not {backend}.\n"


def test_a_missing_module_of_training_keeps_its_traceback() -> None:
    with pytest.raises(ModuleNotFoundError):
        missing_package(ModuleNotFoundError("No module named 'training.datta'", name="training.datta"))


def test_another_interpreter_gets_the_path_of_the_one_with_the_packages(
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

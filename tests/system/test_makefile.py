"""The Makefile: its set-up recovers after a failure, and its targets pass on their arguments."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import ROOT

# Like Debian's python3 without python3-venv: the command fails and leaves an environment with a python and no pip.
WITHOUT_ENSUREPIP = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
  "{python}" -m venv --without-pip "$3"
  echo "ensurepip is not available" >&2
  exit 1
fi
exec "{python}" "$@"
"""
PYTHON = Path(sys.base_prefix) / "bin" / "python3"

# A project that pip can install without a network: its build backend is one file and needs no package.
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """
from zipfile import ZipFile

def build_editable(folder, *_):
    with ZipFile(f"{folder}/charloom-0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("charloom-0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: charloom\\nVersion: 0\\n")
        facts = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("charloom-0.dist-info/WHEEL", facts)
        wheel.writestr("charloom-0.dist-info/entry_points.txt", "[console_scripts]\\ncharloom = charloom:main\\n")
        wheel.writestr("charloom-0.dist-info/RECORD", "")
    return "charloom-0-py3-none-any.whl"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the real Makefile and no package to install but itself."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    for file in ROOT.glob("requirements*.txt"):
        (tmp_path / file.name).touch()
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment. Making it takes seconds, so the tests copy it."""
    venv = tmp_path_factory.mktemp("made") / ".venv"
    subprocess.run([PYTHON, "-m", "venv", venv], check=True)
    return venv


def make(folder: Path, *arguments: str, python: Path = PYTHON) -> subprocess.CompletedProcess[str]:
    # The variables of a `make test` around this test would make the inner make print the folders that it enters.
    outer = {"TF_CPP_MIN_LOG_LEVEL", "MAKELEVEL", "MAKEFLAGS", "MFLAGS"}
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(
        ["make", f"PYTHON={python}", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def pip_works(folder: Path) -> bool:
    return subprocess.run([folder / ".venv/bin/python", "-m", "pip", "--version"], capture_output=True).returncode == 0


def test_without_python3_venv_no_environment_is_left_and_the_message_names_the_package(folder: Path) -> None:
    wrapper = folder / "python3"
    wrapper.write_text(WITHOUT_ENSUREPIP.format(python=PYTHON))
    wrapper.chmod(0o755)
    for _ in range(2):
        result = make(folder, ".venv/service.done", python=wrapper)
        assert result.returncode != 0
        assert "apt install python3-venv" in result.stderr
        assert not (folder / ".venv").exists()
    assert make(folder, ".venv/service.done").returncode == 0
    assert pip_works(folder)
    assert (folder / ".venv/bin/charloom").exists()


@pytest.mark.parametrize(("release", "fits"), [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)])
def test_a_python_that_tensorflow_has_no_package_for_is_one_sentence(
    folder: Path, release: tuple[int, int], fits: bool
) -> None:
    # The wrapper claims the release, and makes no environment.
    wrapper = folder / "python3"
    claimed = f"import sys; sys.version_info = {release}; code = sys.argv.pop(1); exec(code)"
    wrapper.write_text(f"""#!/bin/sh
case $1 in
  --version) echo Python {release[0]}.{release[1]} ;;
  -c) shift; exec {PYTHON} -c '{claimed}' "$@" ;;
  *) exit 1 ;;
esac
""")
    wrapper.chmod(0o755)
    result = make(folder, ".venv/service.done", python=wrapper)
    sentence = f"Charloom needs Python 3.11, 3.12 or 3.13; {wrapper} is Python {release[0]}.{release[1]}."
    assert (sentence in result.stderr) is not fits
    assert not (folder / ".venv").exists()


def without_pip(venv: Path) -> None:
    for path in venv.glob("lib/*/site-packages/pip*"):
        shutil.rmtree(path)


def without_python(venv: Path) -> None:
    for path in venv.glob("bin/python*"):
        path.unlink()
        path.symlink_to("/no/such/python")


def of_another_version(venv: Path) -> None:
    (library,) = venv.glob("lib/python3*")
    library.rename(library.with_name("python3.1"))


@pytest.mark.slow
@pytest.mark.parametrize("damage", [without_pip, without_python, of_another_version])
def test_a_damaged_environment_is_made_again_with_its_packages(
    folder: Path, made: Path, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(made, folder / ".venv", symlinks=True)
    for name in ("service.done", "kept"):
        (folder / ".venv" / name).touch()
    assert "is up to date" in make(folder, ".venv/service.done").stdout
    damage(folder / ".venv")
    result = make(folder, ".venv/service.done")
    assert result.returncode == 0, result.stderr
    assert "pip install" in result.stdout
    assert pip_works(folder)
    assert not (folder / ".venv" / "kept").exists()
    assert "is up to date" in make(folder, ".venv/service.done").stdout


def test_an_installation_that_failed_is_tried_again(folder: Path, made: Path) -> None:
    shutil.copytree(made, folder / ".venv", symlinks=True)
    (folder / "requirements.txt").write_text("./no-such-package\n")
    assert make(folder, ".venv/service.done").returncode != 0
    (folder / ".venv" / "kept").touch()
    (folder / "requirements.txt").write_text("")
    assert make(folder, ".venv/service.done").returncode == 0
    assert (folder / ".venv" / "kept").exists()


@pytest.mark.parametrize(("target", "level"), [("train", "2"), ("test", "2"), ("bench", "2"), ("serve", "unset")])
def test_tensorflows_log_level_is_set_for_every_target_but_serve(folder: Path, target: str, level: str) -> None:
    venv = folder / ".venv" / "bin"
    venv.mkdir(parents=True)
    for name in ("service", "training", "dev", "bench"):
        (venv.parent / f"{name}.done").touch()
    (venv / "python").write_text('#!/bin/sh\n[ "$1" = -c ] || echo "level ${TF_CPP_MIN_LOG_LEVEL-unset}"\n')
    (venv / "python").chmod(0o755)
    assert f"level {level}" in make(folder, target, "NAME=x", "CORPUS=text.txt").stdout


def test_make_without_a_target_lists_every_target(folder: Path) -> None:
    result = make(folder)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        "help",
        "serve",
        "train",
        "test",
        "check",
        "bench",
        "format",
        "clean",
    ]
    assert all(len(line.split()) > 2 and len(line) <= 100 for line in lines)
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give the model a name: make train NAME=mine CORPUS=path/to/texts"),
        (["CORPUS=text.txt"], "Give the model a name: make train NAME=mine CORPUS=path/to/texts"),
        (["NAME=x"], "Name the text to train on: make train NAME=x CORPUS=path/to/texts"),
        (["NAME=x", "ARGS=--epochs 3"], "Name the text to train on: make train NAME=x CORPUS=path/to/texts"),
    ],
)
def test_a_missing_argument_of_train_is_one_sentence_before_anything_is_installed(
    folder: Path, arguments: list[str], words: str
) -> None:
    result = make(folder, "train", *arguments)
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert words in line
    assert result.stdout == ""
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["NAME=x", "ARGS=--resume"], ["train", "--name", "x", "--resume"]),
        (["NAME=x", "ARGS=--resume --epochs 9"], ["train", "--name", "x", "--resume", "--epochs", "9"]),
        (["NAME=x", "CORPUS=my texts"], ["train", "--name", "x", "--corpus", "my texts"]),
        (["NAME=x", "ARGS=--corpus a --corpus b"], ["train", "--name", "x", "--corpus", "a", "--corpus", "b"]),
    ],
)
def test_train_passes_its_arguments_on_and_no_empty_corpus(
    folder: Path, arguments: list[str], expected: list[str]
) -> None:
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/training.done").touch()
    python = folder / ".venv/bin/python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] || printf "<%s>\\n" "$@"\n')
    python.chmod(0o755)
    result = make(folder, "train", *arguments)
    assert result.returncode == 0, result.stderr
    assert [line[1:-1] for line in result.stdout.splitlines() if line.startswith("<")] == ["-m", "charloom", *expected]

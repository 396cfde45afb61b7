"""Charloom as `pip install .` installs it, outside of its source folder.

The virtual environment borrows the packages of the one that runs the tests, so that nothing is downloaded.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import training
from tests.hiding import hide_packages
from tests.ports import free_port
from tests.processes import ROOT
from tests.texts import write_corpus
from tests.waiting import wait_until

SIZE = ["--layers", "1", "--units", "8", "--embedding", "4", "--batch-size", "4", "--window", "20", "--epochs", "2"]
EXTRAS = {
    "training": ["requirements-training.txt"],
    "redis": ["requirements-redis.txt"],
    "objectstore": ["requirements-objectstore.txt"],
    "jax": ["requirements-training.txt", "requirements-jax.txt"],
    "bench": ["requirements-training.txt", "requirements-bench.txt"],
    "dev": [
        "requirements-training.txt",
        "requirements-jax.txt",
        "requirements-redis.txt",
        "requirements-objectstore.txt",
        "requirements-dev.txt",
    ],
}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with this project installed by pip. It lies in another project's git repository."""
    folder = tmp_path_factory.mktemp("installed")
    source, environment = folder / "source", folder / "environment"
    ignored = shutil.ignore_patterns(".*", "models", "runs", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], [*author, "commit", "--quiet", "--allow-empty", "--message", "empty"]):
        subprocess.run(["git", "-C", folder, *command], check=True)
    borrowed = [path for path in sys.path if Path(path).name == "site-packages"]
    (site_packages(environment) / "borrowed.pth").write_text("\n".join(borrowed))
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin/python"), "--disable-pip-version-check"]
    # --ignore-installed: the borrowed packages may include charloom itself.
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed"]
    result = subprocess.run([*pip, "install", *options, str(source)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return environment


def site_packages(environment: Path) -> Path:
    (folder,) = environment.glob("lib/python*/site-packages")
    return folder


def distribution(environment: Path) -> Distribution:
    (found,) = distributions(name="charloom", path=[str(site_packages(environment))])
    return found


def charloom(
    environment: Path, *arguments: str, cwd: Path, variables: Mapping[str, str] = {}, check: bool = True
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [environment / "bin/charloom", *arguments],
        cwd=cwd, env=ENVIRONMENT | variables, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert result.returncode == 0 or not check, result.stderr
    return result


def sources(root: Path) -> set[str]:
    """The paths of all files in the two packages."""
    found = (path for package in ("service", "training") for path in (root / package).rglob("*") if path.is_file())
    return {str(path.relative_to(root)) for path in found if path.parent.name != "__pycache__"}


def test_every_file_of_both_packages_is_installed(installed: Path) -> None:
    assert sources(site_packages(installed)) == sources(ROOT)


def test_version_and_extras_are_those_of_the_source(installed: Path) -> None:
    assert distribution(installed).version == training.__version__
    required: dict[str, set[Requirement]] = {extra: set() for extra in ("", *EXTRAS)}
    for requirement in map(Requirement, distribution(installed).requires or []):
        text = str(requirement.marker or "")
        (extra,) = [name for name in EXTRAS if f'extra == "{name}"' in text] or [""]
        required[extra].add(Requirement(f"{requirement.name}{requirement.specifier}"))
    assert required.pop("") == pinned("requirements.txt")
    assert required == {extra: pinned(*files) for extra, files in EXTRAS.items()}


def pinned(*files: str) -> set[Requirement]:
    """The requirements in these files, without their markers."""
    lines = [line for file in files for line in (ROOT / file).read_text().splitlines() if line and line[0] != "#"]
    return {Requirement(line.partition(";")[0]) for line in lines}


def test_help_lists_the_commands_of_both_packages(installed: Path, tmp_path: Path) -> None:
    lines = charloom(installed, "--help", cwd=tmp_path).stdout.partition("Commands:\n")[2].splitlines()
    commands = {line.split()[0] for line in lines if line[:3].strip()}
    assert commands == {
        *("train", "sample", "evaluate", "report", "list", "publish", "rollback", "prune"),
        *("retrain", "schedule", "corpus", "serve", "client"),
    }


def test_serve_serves_a_store(installed: Path, tiny: Path, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    command = [installed / "bin/charloom", "serve", "--models", tiny / "models", "--port", str(port)]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=file, stderr=file)
    try:
        wait_until(lambda: process.poll() is not None or generated(port), 120, explain=log.read_text)
        assert generated(port)["model"] == "tiny"
    finally:
        process.send_signal(signal.SIGTERM)  # reaches the server itself, not a parent of it
        assert process.wait(timeout=60) == 0, log.read_text()
    # TensorFlow's first lines too, which other tests do not see: their servers are forks that have imported it.
    assert all(isinstance(json.loads(line), dict) for line in log.read_text().splitlines())


def generated(port: int) -> dict[str, object]:
    """The response to a request for five characters, or {} while the service starts."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/generate", b'{"length": 5, "stream": false}', {"Content-Type": "application/json"})
        response = connection.getresponse()
        return dict(json.loads(response.read())) if response.status == 200 else {}
    except OSError:
        return {}
    finally:
        connection.close()


@pytest.mark.slow
def test_a_text_is_trained_on_and_sampled(installed: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "text.txt")
    trained = charloom(installed, "train", "--name", "mine", "--corpus", "text.txt", *SIZE, "--force", cwd=tmp_path)
    hint = trained.stdout.splitlines()[-1].partition("Try: ")[2]
    assert hint.endswith("bin/charloom sample mine")
    sampled = subprocess.run(
        hint, shell=True, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=True
    )
    assert len(sampled.stdout) == 501
    manifest = json.loads((tmp_path / "models/mine/1/assets.extra/manifest.json").read_text())
    assert (manifest["charloom"], manifest["git_commit"]) == (training.__version__, None)


def test_without_the_training_extra_train_names_it_and_the_store_is_listed(
    installed: Path, tiny: Path, tmp_path: Path
) -> None:
    names = {requirement.name.replace("-", "_") for requirement in pinned("requirements-training.txt")}
    variables = {"PYTHONPATH": str(hide_packages(names - {"click"}, tmp_path))}  # Flask needs click too
    arguments = ["train", "--name", "mine", "--corpus", str(tiny / "corpus.txt")]
    failed = charloom(installed, *arguments, cwd=tmp_path, variables=variables, check=False)
    assert failed.returncode == 1
    (line,) = failed.stderr.splitlines()
    assert line.startswith("Error: training needs the package ")
    assert line.endswith("-m pip install 'charloom[training]'")
    assert not (tmp_path / "runs").exists()
    listed = charloom(installed, "list", "--models", str(tiny / "models"), cwd=tmp_path, variables=variables)
    assert "tiny" in listed.stdout

"""The Python packages that training needs, and the sentence for one that is missing. Imports none of them."""

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import training
from training.errors import InputError

BACKENDS = ("tensorflow", "jax")
ROOT = Path(training.__file__).resolve().parents[1]


def check_backend() -> None:
    """Refuse a backend of Keras that cannot train, before Keras tries to import it.

    Raises:
        InputError: KERAS_BACKEND is not one of `BACKENDS`.
    """
    backend = os.environ.get("KERAS_BACKEND") or BACKENDS[0]  # Keras takes an empty value for its default too
    if backend not in BACKENDS:
        raise InputError(f"KERAS_BACKEND must be {' or '.join(BACKENDS)}, not {backend}.")


def require(package: str) -> None:
    """Make sure that a package is installed, before work begins that needs it only later.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    if not is_installed(package):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def missing_package(error: ModuleNotFoundError) -> str:
    """One sentence for a package that is not installed, with the command that installs it.

    Raises:
        ModuleNotFoundError: the missing module is one of ours, which is a bug and needs its traceback.
    """
    package = (error.name or "").partition(".")[0]
    if package in ("", "training") or package in sys.stdlib_module_names:
        raise error
    extra = {"jax": "jax", "jaxlib": "jax", "obstore": "objectstore"}.get(package, "training")
    is_checkout = (ROOT / "pyproject.toml").exists()
    # pip takes `charloom` for the installed version and adds the packages that the extra lacks.
    project = f"--editable {shlex.quote(f'{_shortest(ROOT)}[{extra}]')}" if is_checkout else f"'charloom[{extra}]'"
    install = f"{interpreter()} -m pip install {project}"
    environment = ROOT / ".venv" / "bin" / "python"
    is_other = environment.exists() and Path(sys.prefix).resolve() != environment.parents[1].resolve()
    instead = f", or run this with {shlex.quote(_shortest(environment))}" if is_other else ""
    return f"training needs the package {package.replace('_', '-')}: {install}{instead}"


def interpreter() -> str:
    """The running Python, as a shell in the working directory can start it."""
    return executable(sys.executable) if sys.executable else "python3"


def executable(path: str | Path) -> str:
    """A program, quoted for a shell in the working directory: its path from there or from the root, the shorter one."""
    shortest = _shortest(path)
    # A shell would look for a bare name along PATH.
    return shlex.quote(shortest if os.sep in shortest else os.path.join(os.curdir, shortest))


def _shortest(path: str | Path) -> str:
    return min(os.path.relpath(path), str(path), key=len)

"""Which Python packages training needs, and what to say when one is missing. Imports none of them."""

import os
import shlex
import sys
from pathlib import Path

import training
from training.errors import InputError

BACKENDS = ("tensorflow", "jax")
ROOT = Path(training.__file__).resolve().parents[1]


def check_backend() -> None:
    """Refuse a backend of Keras that cannot train, before Keras tries to import it.

    Raises:
        InputError: KERAS_BACKEND names another one than those of `BACKENDS`.
    """
    backend = os.environ.get("KERAS_BACKEND") or BACKENDS[0]  # Keras takes an empty value for its default too
    if backend not in BACKENDS:
        raise InputError(f"KERAS_BACKEND must be {' or '.join(BACKENDS)}, not {backend}.")


def missing_package(error: ModuleNotFoundError) -> str:
    """One sentence for a package that is not installed, with the command that installs it.

    Raises:
        ModuleNotFoundError: it is a module of our own that is missing: a bug, which needs its trace.
    """
    package = (error.name or "").partition(".")[0]
    if package in ("", "training") or package in sys.stdlib_module_names:
        raise error
    requirements = "requirements-jax.txt" if package in ("jax", "jaxlib") else "requirements-training.txt"
    install = f"{interpreter()} -m pip install -r {shlex.quote(_shortest(ROOT / requirements))}"
    environment = ROOT / ".venv" / "bin" / "python"
    is_other = environment.exists() and Path(sys.prefix).resolve() != environment.parents[1].resolve()
    instead = f", or run this with {shlex.quote(_shortest(environment))}" if is_other else ""
    return f"training needs the package {package.replace('_', '-')}: {install}{instead}"


def interpreter() -> str:
    """The Python that runs, as a shell in the working directory can start it: relative to it where that is shorter."""
    path = _shortest(sys.executable or "python3")
    # A shell would look for a bare name along PATH.
    return shlex.quote(path if os.sep in path or not sys.executable else os.path.join(os.curdir, path))


def _shortest(path: str | Path) -> str:
    return min(os.path.relpath(path), str(path), key=len)

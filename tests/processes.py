"""Training commands in processes of their own, each a fork of one process that has imported TensorFlow and the project.

A fork runs the same `main` as `python -m training` does, and can be stopped or killed like any process. It saves the
seconds of the imports, and the samples that it draws at each evaluation are short.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# A new interpreter, for tests of the process itself: its stdin, its terminal, its packages.
COMMAND = [sys.executable, "-m", "training"]
# Tests train for seconds: XLA takes longer to optimise a step than all of its steps run.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
os.environ.pop("PYTHONUNBUFFERED", None)  # users do not set it, and the output must still come line by line
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}

CONTEXT = multiprocessing.get_context("forkserver")
TRAINING = ["training.commands", "training.release.publish", "training.release.score"]
CONTEXT.set_forkserver_preload([*TRAINING, "gunicorn.app.wsgiapp", "service.app", "service.server.worker"])


def training(*arguments: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `python -m training` with these arguments in the folder `cwd`, to its end."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = started(*arguments, cwd=cwd, out=out, err=err)
        process.join()
        written = [path.read_bytes().decode() for path in (out, err)]  # read_text() would change carriage returns
        result = subprocess.CompletedProcess(arguments, process.exitcode or 0, *written)
    assert result.returncode == 0 or not check, result.stderr
    return result


def started(
    *arguments: str, cwd: Path, out: Path, err: Path, before: tuple[Callable[..., None], Any] | None = None
) -> ForkServerProcess:
    """Start a command without waiting for it; `before` is called, with its argument, in the new process."""
    process = CONTEXT.Process(target=_run, args=(arguments, cwd, out, err, before))
    process.start()
    return process


def _run(
    arguments: tuple[str, ...], cwd: Path, out: Path, err: Path, before: tuple[Callable[..., None], Any] | None
) -> None:
    write_to(out, err)
    os.chdir(cwd)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.argv = ["training", *arguments]
    if before:
        before[0](before[1])
    from tqdm import tqdm

    from training.commands import main
    from training.learning import samples

    samples.SAMPLE_SYMBOLS = 30  # sampling 300 symbols takes longer than a tiny network trains
    tqdm.set_lock(threading.RLock())  # tqdm's default is a semaphore, which a killed process leaks
    main()


def write_to(out: Path, err: Path) -> None:
    """Append stdout and stderr of this process to these files."""
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)

"""A command and its terminal: hide the output of libraries, stop on signals, print without errors."""

import io
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def quietly() -> Iterator[None]:
    """Hide the output of TensorFlow while it is imported, which it writes before it reads any setting.

    It comes from C++ and goes to stderr, so the file descriptor is redirected. The output is shown if the import fails.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as hidden:
        terminal = os.dup(2)
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except ModuleNotFoundError:  # the caller reports the missing package in one sentence
            raise
        except BaseException:
            hidden.seek(0)
            os.write(terminal, hidden.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


class Stop:
    """Called, it returns whether a signal asked for a stop."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        """The exit code that shells expect after such a stop: 130, 143 or 129. 143 where another worker got it."""
        return 128 + (self.signal or signal.SIGTERM)

    def listen(self, pipe: int) -> None:
        """Read one byte for each signal until the pipe is closed. The second stop signal ends the process."""
        while number := os.read(pipe, 1):
            if number[0] not in STOP_SIGNALS:
                continue
            if self.signal:
                os.write(2, b"\nEnded at once. The last checkpoint is kept.\n")
                os._exit(128 + number[0])
            self.signal = number[0]


@contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Make the first Ctrl-C, SIGTERM or SIGHUP ask for a stop, and a second one end the process at once.

    A thread of its own receives the signals, because the main thread may be inside TensorFlow for seconds.
    """
    stop = Stop()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # Under nohup, SIGHUP stays ignored.
    caught = [
        number for number in STOP_SIGNALS if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN)
    ]
    before = {number: signal.signal(number, lambda *_: None) for number in caught}
    wakeup_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    listener = threading.Thread(target=stop.listen, args=(reading,), daemon=True)
    listener.start()
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup_before)
        os.close(writing)
        listener.join()
        os.close(reading)


def exit_on_ctrl_c() -> None:
    """Make Ctrl-C end the process with one line instead of a traceback, where there is nothing to save."""

    def exit_(number: int, frame: FrameType | None) -> None:
        print("\nStopped.", file=sys.stderr)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, exit_)


class _Output(io.FileIO):
    """An output stream whose writes never fail: after the first error, output is discarded."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self.error = self.error or error
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            return len(content)


def make_printing_safe() -> None:
    """Make writing to stdout and stderr never fail, so that printing cannot end a run.

    A character that the terminal's encoding lacks is written as an escape. If the reader of a pipe has gone, or the
    stream was closed before the process began, output is discarded.
    """
    # Fill closed descriptors among 0, 1 and 2, which the next opened files would get.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name, number in (("stdout", 1), ("stderr", 2)):
        old = getattr(sys, name)
        if old is not None:
            old.flush()
        stream = io.TextIOWrapper(
            io.BufferedWriter(_Output(number, "wb", closefd=False)),
            encoding=old.encoding if old is not None else "utf-8",
            errors="backslashreplace",
            line_buffering=True,  # a pipe or a log gets each line at once
        )
        setattr(sys, name, stream)


def failed_output() -> OSError | None:
    """The error by which output was lost, a full disk for example; None if the reader of a pipe has gone."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, _Output) else None
    return None if isinstance(error, BrokenPipeError) else error

"""What a command does with the terminal: hold back the noise of libraries, stop when it is asked to, print safely."""

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
    """Hold back what TensorFlow writes to stderr while it is imported: it greets before it reads any setting.

    It writes from C++, so the file descriptor itself is turned aside; what it wrote is shown if the import fails.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        terminal = os.dup(2)
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except ModuleNotFoundError:  # the name of the missing package is all that helps
            raise
        except BaseException:
            aside.seek(0)
            os.write(terminal, aside.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


class Stop:
    """Whether a signal asked for a stop, and the exit code that shells expect then."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self) -> bool:
        """Whether it did."""
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        """130, 143 or 129."""
        return 128 + self.signal

    def listen(self, pipe: int) -> None:
        """Take a byte for each signal, until the other end is closed. A second stop signal ends the process."""
        while number := os.read(pipe, 1):
            if number[0] not in STOP_SIGNALS:
                continue
            if self.signal:
                os.write(2, b"\nEnded at once; what was saved before stays.\n")
                os._exit(128 + number[0])
            self.signal = number[0]


@contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """The first Ctrl-C, SIGTERM or SIGHUP asks for a stop; a second one ends the process at once.

    A thread of its own hears of the signals: the main thread may be inside TensorFlow for seconds.
    """
    stop = Stop()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # With nohup, SIGHUP is ignored and stays so.
    heard = [number for number in STOP_SIGNALS if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN)]
    before = {number: signal.signal(number, lambda *_: None) for number in heard}
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


def end_plainly_on_ctrl_c() -> None:
    """Outside of training nothing is to be saved: Ctrl-C ends the process with one line."""

    def end(number: int, frame: FrameType | None) -> None:
        print("\nStopped.", file=sys.stderr)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, end)


class _Output(io.FileIO):
    """A stream that is never an obstacle: what cannot be written any more goes nowhere."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self.error = self.error or error
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            return len(content)


def print_what_can_be_printed() -> None:
    """Make stdout and stderr streams that never raise: what is printed must not decide what is computed.

    A character that the terminal's encoding lacks is shown as an escape. Where the reader of a pipe has gone, or the
    stream was closed before the process began, output goes nowhere.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # or the next file that is opened would be stdout
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
            line_buffering=True,  # who reads a pipe or a log sees an evaluation when it is done
        )
        setattr(sys, name, stream)


def failed_output() -> OSError | None:
    """Why some of what was printed is lost, for example a full disk; None where only its reader has gone."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, _Output) else None
    return None if isinstance(error, BrokenPipeError) else error

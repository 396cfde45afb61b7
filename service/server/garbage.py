"""Memory of a process that holds a million objects of TensorFlow: Python's garbage collector, and the C library's."""

import ctypes
import gc
from contextlib import suppress


def collect_and_freeze() -> None:
    """Collect now, return free memory to the system, and exclude all objects that are alive from later collections.

    TensorFlow keeps about a million Python objects alive. A full collection visits all of them and holds the
    interpreter's lock for 0.3 s; connections that open and close cause several collections a second. Frozen objects
    that become unreachable later are freed by the next call. A load leaves tens of MiB free in the heaps of the threads
    that it used, which glibc keeps otherwise.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    with suppress(AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)

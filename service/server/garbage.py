"""Settings of Python's garbage collector for a process that holds a million objects of TensorFlow."""

import gc


def collect_and_freeze() -> None:
    """Collect now, and exclude all objects that are alive from later collections.

    TensorFlow keeps about a million Python objects alive. A full collection visits all of them and holds the
    interpreter's lock for 0.3 s; connections that open and close cause several collections a second. Frozen objects
    that become unreachable later are freed by the next call.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()

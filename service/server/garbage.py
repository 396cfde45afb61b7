"""Python's cycle collector beside a library with a million objects. Knows nothing of what they are."""

import gc


def settle() -> None:
    """Collect now, and leave all that is alive out of later collections.

    TensorFlow keeps about a million Python objects alive. A full collection looks at each of them and holds the
    interpreter for 0.3 s, in which no client is answered; connections that come and go cause several a second. What
    is left out here and dies later is freed at the next call.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()

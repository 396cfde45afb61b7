"""Objects that are frozen, and the call that frees them."""

import gc
import weakref

from service.server import garbage


class Node:
    """Refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


def test_frozen_objects_are_skipped_by_collections_and_freed_by_the_next_call() -> None:
    node = Node()
    found = weakref.ref(node)
    try:
        garbage.collect_and_freeze()
        assert gc.get_freeze_count() > 0
        del node
        gc.collect()
        assert found() is not None
        garbage.collect_and_freeze()
        assert found() is None
    finally:
        gc.unfreeze()

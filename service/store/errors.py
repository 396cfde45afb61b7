"""The errors of a request for a model that the store cannot answer, and the sentence for a refused version."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.model.version import ModelVersion


class NoModel(Exception):
    """The store has nothing to serve yet."""


class NotFound(Exception):
    """No such model or version; `param` is the request's field that named it."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


@contextmanager
def reading(store: Path) -> Iterator[None]:
    """Raise NoModel in place of an OSError while the folder `store` is read."""
    try:
        yield
    except OSError as error:
        raise NoModel(f"The store {store} cannot be read: {error.strerror}.") from error


def refused_because(version: ModelVersion, reason: str) -> str:
    """A refusal in the log and in responses."""
    return f"Version {version} is refused: {reason}."

"""The interface of a contender: a turn in a round, and the sample that it gives."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Turn:
    """The load for a contender."""

    streams: int
    seconds: float  # of measurement
    warm_s: float  # before the measurement
    seed: int

    def to_json(self) -> dict[str, Any]:
        """The JSON object for another process."""
        return asdict(self)


@dataclass(frozen=True)
class Sample:
    """The measurements of a turn; the lists are empty without HTTP clients."""

    characters_per_second: float
    first_char_ms: list[float] = field(default_factory=list)  # of every request, including its connection
    gap_ms: list[float] = field(default_factory=list)  # between two arrivals at one client
    client_cpu: float | None = None  # share of one core that the client took


Contender = Callable[[Turn], Sample]

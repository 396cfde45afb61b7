"""What one contender's turn in a round gives, whoever the contender is."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Turn:
    """What is asked of a contender when it is its turn."""

    streams: int
    seconds: float  # that are counted
    warm_s: float  # before them, not counted
    seed: int

    def to_json(self) -> dict[str, Any]:
        """As another process reads it."""
        return asdict(self)


@dataclass(frozen=True)
class Sample:
    """What was measured in it; the two lists only where there is a client."""

    characters_per_second: float
    first_char_ms: list[float] = field(default_factory=list)  # of every request, from before its connection opens
    gap_ms: list[float] = field(default_factory=list)  # between arrivals at one client, however much each brings
    client_cpu: float | None = None  # share of one core that the client took


Contender = Callable[[Turn], Sample]

"""The requests of the streams in a serving benchmark, the same for every contender.

N streams run all the time: a client whose text is complete requests the next one, of another length, so that streams
join and leave the batch. Imports only the standard library, because the client does.
"""

import random
from collections.abc import Iterator

SHORTEST, LONGEST = 100, 900  # characters; 500 on average, the default of a request


def lengths(seed: int) -> Iterator[int]:
    """The length of each text, in the order of the requests."""
    generator = random.Random(seed)
    while True:
        yield generator.randint(SHORTEST, LONGEST)


def seeds(seed: int) -> Iterator[int]:
    """The seed of each text."""
    generator = random.Random(f"seeds {seed}")
    while True:
        yield generator.getrandbits(53)

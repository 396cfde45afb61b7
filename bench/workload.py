"""What the streams of a serving benchmark ask for: the same for every contender. Knows no contender.

N streams run all the time: whoever's text is whole asks for the next one, of another length, so that streams join and
leave as they do in life. Only the standard library: the client imports it, and has to stay lean.
"""

import random
from collections.abc import Iterator

SHORTEST, LONGEST = 100, 900  # characters: 500 on average, which is what a request gets that names no length


def lengths(seed: int) -> Iterator[int]:
    """How long each text is to be, in the order of asking."""
    generator = random.Random(seed)
    while True:
        yield generator.randint(SHORTEST, LONGEST)


def seeds(seed: int) -> Iterator[int]:
    """The seed of each text."""
    generator = random.Random(f"seeds {seed}")
    while True:
        yield generator.getrandbits(53)

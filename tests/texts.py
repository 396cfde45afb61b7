"""Texts from which a very small network learns within seconds."""

import random
from collections.abc import Sequence
from pathlib import Path

WORDS = ("the ", "cat ", "sat ", "on ", "a ", "mat.\n", "dog ", "ran ")


def random_words(seed: int, count: int, choices: Sequence[str] = WORDS) -> str:
    """`count` words, drawn with this seed; about four characters each."""
    generator = random.Random(seed)
    return "".join(generator.choice(choices) for _ in range(count))


def write_corpus(path: Path, words: int = 600) -> Path:
    """Write a corpus of so many words to `path`, and return `path`."""
    path.write_text(random_words(5, words))
    return path

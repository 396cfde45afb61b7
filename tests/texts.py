"""Texts from which a very small network learns within seconds, and a decoder of bytes to compare with."""

import random
from collections.abc import Sequence
from pathlib import Path

WORDS = ("the ", "cat ", "sat ", "on ", "a ", "mat.\n", "dog ", "ran ")


def random_words(seed: int, count: int, choices: Sequence[str] = WORDS) -> str:
    """`count` words, drawn with this seed; about four characters each."""
    generator = random.Random(seed)
    return "".join(generator.choice(choices) for _ in range(count))


def decoded_characters(data: bytes) -> list[tuple[str, int]]:
    """Decode UTF-8 with U+FFFD for errors: each character, and the number of bytes that it took."""
    characters: list[tuple[str, int]] = []
    while data:
        try:
            valid, broken = data.decode(), 0
        except UnicodeDecodeError as error:
            valid, broken = data[: error.start].decode(), error.end - error.start
        characters += [(character, len(character.encode())) for character in valid]
        characters += [("\ufffd", broken)] * (broken > 0)
        data = data[len(valid.encode()) + broken :]
    return characters


def write_corpus(path: Path, words: int = 600) -> Path:
    """Write a corpus of so many words to `path`, and return `path`."""
    path.write_text(random_words(5, words))
    return path

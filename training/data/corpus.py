"""Reads files and folders into one normalised text, and splits it. Knows nothing of symbols or windows."""

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.errors import InputError


@dataclass(frozen=True)
class SourceFile:
    """One file of a corpus, as the manifest records it."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Corpus:
    """A text and the files that it was read from, in the order in which they were joined."""

    text: str
    files: tuple[SourceFile, ...]

    @property
    def fingerprints(self) -> list[str]:
        """What identifies the content wherever the files lie."""
        return [file.sha256 for file in self.files]


@dataclass(frozen=True)
class Split:
    """Contiguous parts of a text, as character ranges [start, stop)."""

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]


def read_corpus(paths: Sequence[Path], *, encoding: str = "utf-8") -> Corpus:
    """Read every file, and in every folder all files in name order, as one NFC text.

    Raises:
        InputError: a path is missing, a folder holds no file, a file is not in `encoding`, there is no text.
    """
    texts, files = [], []
    for path in paths:
        for file in _files_under(path):
            content = file.read_bytes()
            texts.append(_decode(content, file, encoding))
            files.append(SourceFile(file.name, len(content), hashlib.sha256(content).hexdigest()))
    # NFC over the joined text: a letter and its accent may be split between two files.
    text = unicodedata.normalize("NFC", "".join(texts))
    if not text:
        raise InputError(f"--corpus {_named(paths)} is empty: there is no character to learn from.")
    return Corpus(text, tuple(files))


def split(characters: int, fractions: tuple[float, float, float]) -> Split:
    """Cut a text of so many characters into contiguous training, validation and test parts."""
    train_stop = int(characters * fractions[0])
    test_start = characters if fractions[2] == 0 else int(characters * (fractions[0] + fractions[1]))
    return Split((0, train_stop), (train_stop, test_start), (test_start, characters))


def _files_under(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise InputError(f"--corpus {path} does not exist.")
    if not path.is_dir():
        yield path
        return
    found = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not found:
        raise InputError(f"--corpus {path} is a folder with no text file in it.")
    yield from found


def _decode(content: bytes, file: Path, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except LookupError:
        raise InputError(f"--encoding {encoding} is not an encoding that Python knows.") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file} is not {encoding.upper()}: byte 0x{content[error.start]:02x} at offset {error.start}; "
            f"if it is written in another encoding, name it, for example --encoding latin-1."
        ) from None


def _named(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)

"""Reads the file of API keys: one key a line. Knows nothing of requests."""

import codecs
import re
from pathlib import Path

KEY = re.compile(r"[\x21-\x7e]{1,256}")
MAX_KEYS = 1000  # each request is compared with all of them
MAX_BYTES = 1_000_000

# Editors on Windows write these byte order marks.
_ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class KeyFileError(Exception):
    """The file cannot be used. The message completes a sentence that names the file, and never quotes a key."""


def read_keys(path: Path) -> frozenset[str]:
    """Read a file in UTF-8, or UTF-16 with a byte order mark; blank lines and lines that begin with # are skipped.

    Raises:
        KeyFileError: the file cannot be read, holds no key or too many, or has a line that is not a key.
    """
    keys = set()
    for number, line in enumerate(_text(path).split("\n"), 1):
        key = line.strip(" \t\r")
        if not key or key.startswith("#"):
            continue
        if not KEY.fullmatch(key):
            raise KeyFileError(f"whose line {number} is not a key: 1 to 256 printable ASCII characters without spaces")
        keys.add(key)
    if not keys:
        raise KeyFileError("which holds no key")
    if len(keys) > MAX_KEYS:
        raise KeyFileError(f"which holds {len(keys):,} keys, more than {MAX_KEYS:,}")
    return frozenset(keys)


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # opening a pipe would block
            raise KeyFileError("which is not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"which cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise KeyFileError(f"which is longer than {MAX_BYTES:,} bytes")
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(encoding, errors="ignore").count("\n") + 1
        raise KeyFileError(f"whose line {line} is neither UTF-8 nor UTF-16 with a byte order mark") from None

"""The file of API keys: one key a line. Knows nothing of who uses them."""

import codecs
import re
from pathlib import Path

KEY = re.compile(r"[\x21-\x7e]{1,256}")
MAX_KEYS = 1000  # a request is compared with every one
MAX_BYTES = 1_000_000

# Windows' editors write these marks.
_ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class KeyFileError(Exception):
    """The file cannot be used. The message ends a sentence that begins with its name, and never holds a key."""


def read_keys(path: Path) -> frozenset[str]:
    """The keys of a file: UTF-8, or UTF-16 with its mark; blank lines and lines that begin with # are skipped.

    Raises:
        KeyFileError: it cannot be read, or one of its lines is not a key.
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
        if path.exists() and not path.is_file():  # a pipe would be waited for
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
        raise KeyFileError(f"whose line {line} is neither UTF-8 nor UTF-16 with its mark") from None

"""The file of API keys: one key a line, read again when the file changes. Knows nothing of requests."""

import codecs
import hashlib
import hmac
import logging
import os
import re
import threading
import time
from pathlib import Path

KEY = re.compile(r"[\x21-\x7e]{1,256}")
MAX_KEYS = 1000  # each request is compared with all of them
MAX_BYTES = 1_000_000
SECONDS_BETWEEN_CHECKS = 1.0  # of the file

# Editors on Windows write these byte order marks.
_ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

log = logging.getLogger(__name__)


class KeyFileError(Exception):
    """The file cannot be used. The message completes a sentence that names the file, and never quotes a key."""


class KeyFile:
    """The keys of a file. Safe for any number of threads; starts none."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            KeyFileError: as `read_keys`.
        """
        self._path = path
        self._lock = threading.Lock()
        self._checked_s = time.monotonic()
        self._identity = _identity(path)
        self._digests = _digests(read_keys(path))

    def match(self, sent: str) -> str | None:
        """The valid key that equals `sent`, or None. A change of the file counts after `SECONDS_BETWEEN_CHECKS`."""
        self._check()
        digest = _digest(sent)
        # Every key is compared, and all digests have one length: the delay reveals neither a key nor its length.
        matches = [key for key, expected in self._digests.items() if hmac.compare_digest(expected, digest)]
        return matches[0] if matches else None

    def _check(self) -> None:
        """Read the file again if it has changed. One thread does so; the others use the present keys."""
        if time.monotonic() - self._checked_s < SECONDS_BETWEEN_CHECKS or not self._lock.acquire(blocking=False):
            return
        try:
            self._checked_s = time.monotonic()
            # Taken before the file is read: a change during the reading is seen by the next check.
            identity = _identity(self._path)
            if identity != self._identity:
                self._identity = identity
                self._read_again()
        finally:
            self._lock.release()

    def _read_again(self) -> None:
        try:
            self._digests = _digests(read_keys(self._path))
        except KeyFileError as error:
            log.error("The key file %s, %s, is not used: the previous keys stay valid.", self._path, error)
        else:
            log.info(
                "The key file %s has changed and was read again: it holds %d keys.", self._path, len(self._digests)
            )


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


def _identity(path: Path) -> tuple[int, ...] | None:
    """A value that changes when the file is replaced or written; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digests(keys: frozenset[str]) -> dict[str, bytes]:
    return {key: _digest(key) for key in keys}


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


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

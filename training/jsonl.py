r"""Writes and reads files of one JSON object a line (history.jsonl, retraining.jsonl). Knows no fields.

A line ends at "\n" only. Some readers, such as Python's `str.splitlines`, also end lines at U+0085, U+2028 and U+2029,
so these are written as \u escapes. Other characters are not escaped: samples in any language are readable with `tail`.
"""

import json
import logging
import math
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from training.files import write_atomically

LOG = logging.getLogger(__name__)

# `json` escapes the controls below U+0020. Unpaired surrogates (of file names that are not UTF-8) cannot be encoded.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Record = TypeVar("Record")


def line(fields: dict[str, Any]) -> str:
    """The object as one line that ends in "\\n". NaN and infinity, which JSON does not have, become null."""
    text = json.dumps(_with_nulls(fields), ensure_ascii=False, allow_nan=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def append(path: Path, fields: dict[str, Any]) -> None:
    """Append the object as a line of its own, even if the file ends in an incomplete line."""
    before = path.read_bytes() if path.exists() else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    write_atomically(path, before + line(fields).encode())


def read(path: Path, parse: Callable[[dict[str, Any]], Record]) -> tuple[list[Record], str | None]:
    """Read a file, which may not exist.

    Args:
        path: The file.
        parse: Object -> record; raises ValueError, KeyError, TypeError or AttributeError for an invalid object.

    Returns:
        The records of all valid lines, and a sentence about the invalid ones, or None.
    """
    records, damage = [], {}
    lines = path.read_bytes().split(b"\n") if path.is_file() else []
    for number, content in enumerate(lines, 1):
        if content.strip():
            try:
                records.append(parse(json.loads(content.decode())))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                damage[number] = f"{type(error).__name__} {error}".partition("\n")[0].rstrip(".:")
    if not damage:
        return records, None
    first, reason = next(iter(damage.items()))
    more, verb = (f" and {len(damage) - 1:,} more", "are") if len(damage) > 1 else ("", "is")
    return records, f"{path}, line {first}{more} cannot be read and {verb} left out: {reason}."


@cache
def warn_once(sentence: str) -> None:
    """Log a warning once per process, because a file of records may be read at every scrape."""
    LOG.warning("%s", sentence)


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nulls(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

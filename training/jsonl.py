r"""Files of one JSON object a line (history.jsonl, retraining.jsonl): the one place that writes and reads their lines.

A line ends at "\n" and at no other character. Some readers, Python's `str.splitlines` among them, also end a line at
U+0085, U+2028 and U+2029, so these are written as \u escapes. Every other character is written as itself: a sample in
any language stays readable with `tail`.
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

# JSON escapes all controls below U+0020 itself. Half a surrogate pair (of a file name that is not UTF-8) has no UTF-8.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Record = TypeVar("Record")


def line(fields: dict[str, Any]) -> str:
    """The object as one line, its "\\n" included. JSON has no NaN and no infinity: they become null."""
    text = json.dumps(_with_nulls(fields), ensure_ascii=False, allow_nan=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def append(path: Path, fields: dict[str, Any]) -> None:
    """Add one line to the file, on a line of its own even where the file ends in half a line."""
    before = path.read_bytes() if path.exists() else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    write_atomically(path, before + line(fields).encode())


def read(path: Path, parse: Callable[[dict[str, Any]], Record]) -> tuple[list[Record], str | None]:
    """The records of all lines that can be read, and a sentence on those that cannot (None: all can be read).

    `parse` raises ValueError, KeyError, TypeError or AttributeError for an object that is no record. A file that does
    not exist has no lines.
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
    more = f" and {len(damage) - 1:,} more lines" if len(damage) > 1 else ""
    return records, f"{path}, line {first}{more} cannot be read and is left out: {reason}."


@cache
def warn_once(sentence: str) -> None:
    """Log a warning, once in the life of the process: a file of records may be read at every scrape."""
    LOG.warning("%s", sentence)


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nulls(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

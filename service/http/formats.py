"""Characters -> bytes, in the format that the client accepts. Knows no sockets, streams or engines."""

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MIMEAccept

from service.engine.generation import Characters, decimals_of


@dataclass(frozen=True)
class StreamFormat:
    """The text of a stream's events."""

    media_type: str
    characters: Callable[[Characters], str]
    last: Callable[[dict[str, Any]], str]  # the closing object
    error: Callable[[dict[str, Any]], str]  # an error after the first byte
    waiting: str = ""  # while there are no characters to send


MAX_ITEMS = 128  # of a list that is encoded at once

# C1 controls, U+2028 and U+2029: common readers take some of them for the end of a line, and terminals obey others
# (json itself escapes those below U+0020). Half a surrogate pair has no UTF-8.
ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def escape(json_text: str) -> str:
    """JSON that is one line to every reader; most characters stay as they are."""
    return ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", json_text)


def to_json(value: Any) -> str:
    """A value as JSON on one line."""
    return escape(json.dumps(value, ensure_ascii=False))


def json_pieces(value: Any) -> Iterator[str]:
    """Compact JSON on one line, in pieces, with its fields in the order of the source.

    The encoder holds the interpreter's lock: the guesses of 100,000 characters at once would delay every stream by more
    than half a second.
    """
    match value:
        case list() if len(value) > MAX_ITEMS:
            for first in range(0, len(value), MAX_ITEMS):
                items = _compact(value[first : first + MAX_ITEMS])
                yield ("," if first else "[") + items[1:-1]
            yield "]"
        case dict() | list() if value:
            start, end = "{}" if isinstance(value, dict) else "[]"
            for key in value if isinstance(value, dict) else range(len(value)):
                yield f"{start}{_compact(key)}:" if isinstance(value, dict) else start
                yield from json_pieces(value[key])
                start = ","
            yield end
        case _:
            yield _compact(value)


def _compact(value: Any) -> str:
    return escape(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


_quoted = functools.lru_cache(maxsize=65536)(to_json)  # a model has few different characters


def _json_events(characters: Characters, before: str, after: str) -> str:
    """A JSON object for each character, with the guesses if there are any. One format for all takes half the time."""
    guesses, count = characters.guesses, len(characters.text)
    columns: list[Iterable[Any]] = [
        range(characters.index, characters.index + count),
        map(_quoted, characters.text),
        characters.decimals(),
    ]
    top = ""
    if guesses.size:
        starts = _starts(characters.symbol_texts)
        for ids, logprobs in zip(guesses["symbol"].T.tolist(), decimals_of(guesses["logprob"].T), strict=True):
            columns += [[starts[id_] for id_ in ids], logprobs]
        top = f', "top": [{", ".join(["%s%s]"] * guesses.shape[1])}]'
    event = f'{before}{{"index": %s, "text": %s, "logprob": %s{top}}}{after}'
    return event * count % tuple([value for values in zip(*columns, strict=True) for value in values])


@functools.lru_cache(maxsize=64)
def _starts(symbol_texts: tuple[str, ...]) -> list[str]:
    """The JSON of a guess up to its logprob, for each symbol of a vocabulary."""
    return [f"[{_quoted(text)}, " for text in symbol_texts]


def sse(data: str) -> str:
    """A server-sent event."""
    # Never an `id:` line: with it, clients that reconnect would ask for the rest of the stream.
    return f"data: {data}\n\n"


SSE = StreamFormat(
    "text/event-stream",
    characters=lambda characters: _json_events(characters, "data: ", "\n\n"),
    last=lambda result: sse(to_json(result)),
    error=lambda error: sse(to_json(error)),
    waiting=": ping\n\n",
)
NDJSON = StreamFormat(
    "application/x-ndjson",
    characters=lambda characters: _json_events(characters, "", "\n"),
    last=lambda result: to_json(result) + "\n",
    error=lambda error: to_json(error) + "\n",
)
PLAIN = StreamFormat(
    "text/plain",
    characters=lambda characters: characters.text,
    last=lambda result: "",
    error=lambda error: f"\n{to_json(error)}\n",
)


FORMATS = (SSE, NDJSON, PLAIN)  # of two that a client likes equally, the first is taken


def format_for(accept: MIMEAccept) -> StreamFormat:
    """The format that an Accept header prefers; SSE where it accepts none of them."""
    return max(FORMATS, key=lambda format_: _preference(accept, format_.media_type))


def _preference(accept: MIMEAccept, media_type: str) -> tuple[float, int]:
    """Quality and specificity of the most specific range that matches a type (RFC 9110, 12.5.1), without parameters."""
    ranges = ("*/*", f"{media_type.partition('/')[0]}/*", media_type)
    for specificity in (2, 1, 0):
        given = [q for value, q in accept if value.partition(";")[0].strip().lower() == ranges[specificity]]
        if given:
            return (max(given), specificity) if max(given) > 0 else (0.0, 0)
    return 0.0, 0

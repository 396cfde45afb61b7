"""Characters -> bytes, in the form that the client accepts. Knows nothing of where they come from."""

import errno
import functools
import json
import re
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MIMEAccept

from service.engine.generation import Characters


@dataclass(frozen=True)
class Form:
    """How a stream's events look as bytes."""

    media_type: str
    characters: Callable[[Characters], str]
    last: Callable[[dict[str, Any]], str]  # the closing object
    error: Callable[[dict[str, Any]], str]  # an error after the first byte
    waiting: str = ""  # what may be sent while there is nothing to send


# A closed connection is told from a silent one after about a minute, which is how long Linux lets it answer.
KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
# C1 controls and U+2028, U+2029: common readers take some of them for a line's end, and terminals obey others (json
# itself escapes those below U+0020). Half a surrogate pair has no UTF-8.
ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def escape(json_text: str) -> str:
    """JSON that is one line to every reader; most characters stay as they are."""
    return ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", json_text)


def to_json(value: Any) -> str:
    """An object on one line."""
    return escape(json.dumps(value, ensure_ascii=False))


_quoted = functools.lru_cache(maxsize=65536)(to_json)  # a model writes few different characters, over and over


def _events(characters: Characters, before: str, after: str) -> str:
    """A JSON object for each character."""
    numbered = enumerate(zip(characters.text, characters.decimals(), strict=True), characters.index)
    return "".join(
        [
            f'{before}{{"index": {index}, "text": {_quoted(character)}, "logprob": {logprob}}}{after}'
            for index, (character, logprob) in numbered
        ]
    )


def _sse(data: str) -> str:
    # Never an `id:` line: after one, clients that reconnect would ask to go on from it.
    return f"data: {data}\n\n"


SSE = Form(
    "text/event-stream",
    characters=lambda characters: _events(characters, "data: ", "\n\n"),
    last=lambda result: _sse(to_json(result)),
    error=lambda error: _sse(to_json(error)),
    waiting=": ping\n\n",
)
NDJSON = Form(
    "application/x-ndjson",
    characters=lambda characters: _events(characters, "", "\n"),
    last=lambda result: to_json(result) + "\n",
    error=lambda error: to_json(error) + "\n",
)
PLAIN = Form(
    "text/plain",
    characters=lambda characters: characters.text,
    last=lambda result: "",
    error=lambda error: f"\n{to_json(error)}\n",
)


def form_for(accept: MIMEAccept) -> Form:
    """The form that an Accept header prefers; SSE where it asks for none of ours."""
    return max((SSE, NDJSON, PLAIN), key=lambda form: _preference(accept, form.media_type))


def _preference(accept: MIMEAccept, media_type: str) -> tuple[float, int]:
    """Quality and specificity of the range that says most of a type (RFC 9110, 12.5.1), whatever its parameters."""
    ranges = ("*/*", f"{media_type.partition('/')[0]}/*", media_type)
    for specificity in (2, 1, 0):
        given = [q for value, q in accept if value.partition(";")[0].strip().lower() == ranges[specificity]]
        if given:
            return (max(given), specificity) if max(given) > 0 else (0.0, 0)
    return 0.0, 0


class ClientGone(ConnectionResetError):
    """The client lost its connection. A server that meets it closes its side without a well-formed end."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "The client is gone.")


def probe_silence(environ: dict[str, Any]) -> None:
    """Let the kernel ask a silent client whether its connection still stands.

    A client that closes its connection sends what one that only shuts it down for writing sends, and nothing tells them
    apart until something is sent. Where an answer takes long to begin, these probes are sent.
    """
    client = environ.get("gunicorn.socket")
    if client is None:
        return
    with suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            if hasattr(socket, option):
                client.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def is_gone(environ: dict[str, Any]) -> bool:
    """Whether the client's connection is lost. One that was only shut down for writing (legal) still reads.

    A server notices that only when it writes, and then one write late; the socket knows at once. Where the server
    hides its socket the answer is False, and the failing write has to do.
    """
    client = environ.get("gunicorn.socket")
    if client is None or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(client, 0)  # POLLHUP and POLLERR are always reported
    return bool(poll.poll(0))

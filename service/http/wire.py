"""Characters -> bytes, in the form that the client accepts. Knows nothing of where they come from."""

import functools
import json
import select
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MIMEAccept

from service.generation.stream import Characters


@dataclass(frozen=True)
class Form:
    """How a stream's events look as bytes."""

    media_type: str
    characters: Callable[[Characters], str]
    last: Callable[[dict[str, Any]], str]  # the closing object
    error: Callable[[dict[str, Any]], str]  # an error after the first byte
    waiting: str = ""  # what may be sent while there is nothing to send


def to_json(value: Any) -> str:
    """JSON with every character as itself."""
    return json.dumps(value, ensure_ascii=False)


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
    """The form that an Accept header asks for; SSE where it asks for none of ours."""
    forms = {form.media_type: form for form in (SSE, NDJSON, PLAIN)}
    return forms[accept.best_match(forms, default=SSE.media_type)]


def is_gone(environ: dict[str, Any]) -> bool:
    """Whether the client has closed its connection.

    A server notices that only when it writes, and then one write late; the socket knows at once. Where the server
    hides its socket the answer is False, and the failing write has to do.
    """
    socket = environ.get("gunicorn.socket")
    if socket is None or not hasattr(select, "POLLRDHUP"):
        return False
    poll = select.poll()
    poll.register(socket, select.POLLRDHUP)
    return bool(poll.poll(0))

"""Random requests, and the check of their responses. Knows a server only by its HTTP.

All versions that the soak serves have the same weights, so a repeated request must give the same bits.
"""

import http.client
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

FORMS = ("text/event-stream", "application/x-ndjson", "text/plain", None)  # None: not streamed
HANGS_UP, REPEATS = 0.15, 0.1  # shares of the requests
READ_BYTES = 512
MOST_KEPT = 1000
SECONDS_TO_ANSWER = 120


class Wrong(Exception):
    """The response breaks the contract; the message says how."""


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    text: str = ""
    logprobs: tuple[float, ...] = ()  # of each character; empty for text/plain
    is_whole: bool = False  # False: the client disconnected, or was refused
    retry_after_s: float = 0.0


@dataclass
class Kept:
    """Finished requests with their responses, to be repeated later."""

    generator: random.Random
    _answers: list[tuple[dict[str, Any], Answer]] = field(default_factory=list)

    def offer(self, request: dict[str, Any], answer: Answer) -> None:
        """Keep a tenth of the requests."""
        if self.generator.random() < REPEATS and len(self._answers) < MOST_KEPT:
            self._answers.append((request, answer))

    def give_back(self, request: dict[str, Any], answer: Answer) -> None:
        """Put back a request that was refused."""
        self._answers.append((request, answer))

    def take(self) -> tuple[dict[str, Any], Answer] | None:
        """Sometimes return a random one of them."""
        if self.generator.random() >= 2 * REPEATS:  # often enough that each is repeated in the end
            return None
        try:
            return self._answers.pop(self.generator.randrange(len(self._answers) or 1))
        except IndexError:
            return None


def random_request(generator: random.Random, alphabet: str) -> dict[str, Any]:
    """Random fields of `POST /generate`: lengths, prompts, temperatures, filters, stop strings."""
    prompt = generator.choices(alphabet, k=generator.choice((0, 1, 20, 300)))
    request: dict[str, Any] = {
        "prompt": "".join(prompt) + generator.choice(("", "", "\u2603")),  # unknown to the models
        "length": generator.choice((1, 5, 50, 200, 800)),
        "seed": generator.getrandbits(40),
        "temperature": generator.choice((0.0, 0.5, 1.0, 1.0, 2.0)),
    }
    if generator.random() < 0.3:
        request["top_k"] = generator.randint(1, 20)
    if generator.random() < 0.3:
        request["top_p"] = generator.uniform(0.1, 1.0)
    if generator.random() < 0.3:
        request["stop"] = ["".join(generator.choices(alphabet, k=generator.randint(1, 3))) for _ in range(2)]
    return request


def difference(one: Answer, other: Answer) -> str | None:
    """Where two responses to one request differ, or None; logprobs are compared where both have them."""
    texts, logprobs = (one.text, other.text), (one.logprobs, other.logprobs)
    if texts[0] != texts[1]:
        both = f" and logprobs from {_first_difference(*logprobs)} on" if all(logprobs) else ""
        return f"the text differs from {_first_difference(*texts)} on{both}"
    if all(logprobs) and logprobs[0] != logprobs[1]:
        return f"the logprobs differ from {_first_difference(*logprobs)} on"
    return None


def _first_difference(one: Sequence[Any], other: Sequence[Any]) -> int:
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))


def ask(
    port: int,
    request: dict[str, Any],
    form: str | None,
    *,
    hang_up: int | None = None,
    timeout_s: float = SECONDS_TO_ANSWER,
) -> Answer:
    """Send a request and read the response, or disconnect after `hang_up` bytes. `timeout_s` limits each receive.

    Raises:
        Wrong: the response breaks the contract.
        OSError, http.client.HTTPException: the connection broke.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        headers = {"Content-Type": "application/json"} | ({"Accept": form} if form else {})
        connection.request("POST", "/generate", json.dumps(request | {"stream": form is not None}), headers)
        response = connection.getresponse()
        if response.status != 200:
            return _refused(response)
        if hang_up is not None:
            response.read(hang_up)
            return Answer(200)
        return Answer(200, *_whole(response.read().decode(), request, form), is_whole=True)
    finally:
        connection.close()


def _refused(response: http.client.HTTPResponse) -> Answer:
    body = response.read()
    if response.status != 429:
        raise Wrong(f"the status is {response.status}: {body[:300]!r}")
    after = response.headers.get("Retry-After", "")
    if not after.isdigit():
        raise Wrong(f"429 comes with Retry-After {after!r}")
    return Answer(429, retry_after_s=float(after))


def _whole(content: str, request: dict[str, Any], form: str | None) -> tuple[str, tuple[float, ...]]:
    """Check a complete response; returns its text and logprobs."""
    if form == "text/plain":
        return _plain(content, request), ()
    if form is None:
        last = json.loads(content)
        characters, logprobs = list(last["text"]), last["logprobs"]
        if len(logprobs) != len(characters):
            raise Wrong(f"{len(logprobs)} logprobs for {len(characters)} characters")
    else:
        *events, last = _events(content, form)
        if [event["index"] for event in events] != list(range(len(events))):
            raise Wrong("the events are not numbered one after the other")
        characters, logprobs = [event["text"] for event in events], [event["logprob"] for event in events]
    if "finish_reason" not in last:
        raise Wrong(f"the last event is {json.dumps(last)[:300]}")
    _require_whole("".join(characters), last, request)
    return "".join(characters), tuple(logprobs)


def _events(content: str, form: str) -> list[dict[str, Any]]:
    if form == "application/x-ndjson":
        return [json.loads(line) for line in content.split("\n") if line]
    blocks = [block for block in content.split("\n\n") if block and not block.startswith(":")]
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def _require_whole(text: str, last: dict[str, Any], request: dict[str, Any]) -> None:
    reason, wanted = last["finish_reason"], request["length"]
    if (last["text"], last["usage"]["generated_chars"]) != (text, len(text)):
        raise Wrong(f"{len(text)} characters came, and the end speaks of {last['usage']['generated_chars']}")
    if last["seed"] != request["seed"] or reason not in ("length", "stop"):
        raise Wrong(f"the end says finish_reason {reason!r} and seed {last['seed']}")
    if reason == "length" and len(text) != wanted:
        raise Wrong(f"{len(text)} of {wanted} characters came")
    if any(stop in text for stop in request.get("stop", ())):
        raise Wrong("the text holds one of its stop strings")


def _plain(content: str, request: dict[str, Any]) -> str:
    """Plain text has no closing event: it has all characters, or fewer because of a stop string."""
    if len(content) > request["length"] or (len(content) < request["length"] and "stop" not in request):
        raise Wrong(f"{len(content)} of {request['length']} characters came: {content[-300:]!r}")
    return content

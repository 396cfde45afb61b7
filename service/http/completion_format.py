"""The results of a completion -> OpenAI's objects, in one response or as events. Knows no engine, store or socket."""

import secrets
import time
from collections.abc import Sequence
from typing import Any

from service.engine.generation import Characters, Result, Status, Top, top_of
from service.http.completion_body import CompletionBody
from service.http.formats import SSE, StreamFormat, sse, to_json
from service.model.version import ModelVersion

LOWEST_LOGPROB = -9999.0  # in place of minus infinity, as OpenAI writes it
DONE = sse("[DONE]")
# OpenAI has no word for a time limit; a client reads both as a text that is cut off.
FINISH_REASONS = {Status.RUNNING: None, Status.STOP: "stop", Status.LENGTH: "length", Status.TIMEOUT: "length"}


class CompletionFormat:
    """The format of the response to one request: the fields that all of its objects share."""

    def __init__(self, body: CompletionBody, prompts: Sequence[str], version: ModelVersion) -> None:
        """`prompts` are the texts of the body's prompts."""
        self._body = body
        self._prompts = prompts
        self._includes_usage = bool(body.stream_options and body.stream_options.include_usage)
        exact_id = f"{version.name}@{version.number}"
        self._fields = {
            "id": f"cmpl-{secrets.token_hex(16)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": body.model or version.name,
            "system_fingerprint": exact_id,
        }

    def object(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """A response or an event, without `usage`."""
        return self._fields | {"choices": choices}

    def choice_of(self, result: Result, index: int) -> dict[str, Any]:
        """A complete choice."""
        text = result.echo + result.text
        values, top = result.echo_logprobs + result.logprobs, top_of([*result.echo_chunks, *result.chunks])
        logprobs = self._logprobs(text, values, top, 0, is_prompt=bool(result.echo))
        return _choice(index, text, logprobs, result.status)

    def usage(self, results: Sequence[Result]) -> dict[str, int]:
        """The characters of each prompt, once, and of all candidates."""
        prompt_tokens = sum(result.prompt_chars for result in results[:: self._body.candidates])
        completion_tokens = sum(len(result.text) for result in results)
        return {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        }

    def stream_format(self) -> StreamFormat:
        """Events, each with the characters that one call of the engine gave one choice; `[DONE]` comes last."""
        return StreamFormat(
            SSE.media_type,
            characters=self._event,
            last=lambda usage: (sse(to_json(usage)) if usage else "") + DONE,
            error=lambda error: SSE.error(error) + DONE,
            waiting=SSE.waiting,
        )

    def usage_event(self, *results: Result) -> dict[str, Any]:
        """The event with the usage, which follows those of the choices; empty if the client does not want it."""
        return self.object([]) | {"usage": self.usage(results)} if self._includes_usage else {}

    def _event(self, characters: Characters) -> str:
        is_prompt = self._body.echo and bool(self._prompts[characters.choice // self._body.candidates])
        values = [float(decimal) for decimal in characters.decimals()]
        logprobs = self._logprobs(characters.text, values, characters.top(), characters.index, is_prompt=is_prompt)
        event = self.object([_choice(characters.choice, characters.text, logprobs, characters.status)])
        return sse(to_json(event | {"usage": None} if self._includes_usage else event))

    def _logprobs(
        self, text: str, logprobs: list[float], top: Top, offset: int, *, is_prompt: bool
    ) -> dict[str, Any] | None:
        """The logprobs of a choice's characters from `offset` on; `is_prompt`: its first is of the prompt."""
        if self._body.logprobs is None:
            return None
        values: list[float | None] = [max(logprob, LOWEST_LOGPROB) for logprob in logprobs]
        guesses: list[dict[str, float] | None] | None = None
        if self._body.logprobs:
            # The token itself is added, as in OpenAI's responses, if it is not among the best.
            guesses = [
                {guess: max(logprob, LOWEST_LOGPROB) for guess, logprob in [*best, (token, own)]}
                for token, own, best in zip(text, logprobs, top, strict=True)
            ]
        if is_prompt and offset == 0 and values:
            values[0] = None  # as in OpenAI's responses, although the model has a logprob for it
            guesses = guesses and [None, *guesses[1:]]
        return {
            "tokens": list(text),
            "token_logprobs": values,
            "top_logprobs": guesses,
            "text_offset": list(range(offset, offset + len(text))),
        }


def _choice(index: int, text: str, logprobs: dict[str, Any] | None, status: Status) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": FINISH_REASONS[status]}

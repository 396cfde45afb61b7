"""The body of POST /v1/completions and its limits. Knows no route, model or engine."""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import PydanticCustomError

from service.http.schemas import RequestBody, Seed, StopString, TopP

MAX_CHOICES = 128  # of a request: prompts times `best_of`

Bias = Annotated[float, Field(ge=-100, le=100)]
Choices = Annotated[int, Field(ge=1, le=MAX_CHOICES)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class StreamOptions(BaseModel):
    """The options of a stream."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    include_usage: bool | None = None


class CompletionBody(RequestBody):
    """The fields of OpenAI's completions; a token is a character."""

    model: str | None = None
    prompt: str | list[str] | list[int] | list[list[int]] = ""
    max_tokens: Annotated[int, Field(ge=0)] = 16
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: TopP = 1.0
    n: Choices = 1
    best_of: Choices | None = None
    echo: bool = False
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=4)] | None = None
    seed: Seed | None = None
    logit_bias: Annotated[dict[str, Bias], Field(max_length=1024)] | None = None
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    suffix: str = ""
    user: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None

    @field_validator("prompt", mode="wrap")
    @classmethod
    def _prompt_has_one_of_four_forms(cls, prompt: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate(prompt)
        except ValidationError:
            message = "should be a string, a list of strings, a list of ids or a list of lists of ids"
            raise PydanticCustomError("out_of_range", message) from None

    @field_validator("prompt")
    @classmethod
    def _prompt_is_not_an_empty_list(cls, prompt: Any) -> Any:
        if prompt == []:
            raise PydanticCustomError("out_of_range", "should have at least one item")
        return prompt

    @field_validator("stop", mode="wrap")
    @classmethod
    def _stop_has_one_of_two_forms(cls, stop: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate(stop)
        except ValidationError:
            message = "should be a string or a list of at most 4 strings, each of 1 to 256 characters"
            raise PydanticCustomError("out_of_range", message) from None

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts as a list, each a text or ids."""
        match self.prompt:
            case [int(), *_]:
                return [self.prompt]  # type: ignore[list-item]
            case list():
                return list(self.prompt)  # type: ignore[arg-type]
        return [self.prompt]

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """The stop strings, of either form."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def candidates(self) -> int:
        """The texts to generate for each prompt, of which `n` are returned."""
        return self.best_of or self.n

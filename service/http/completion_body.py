"""The body of POST /v1/completions and its limits. Knows no route, model or engine."""

from typing import Annotated, Any, LiteralString

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)
from pydantic_core import PydanticCustomError

from service.http.schemas import MAX_BIASES, Bias, RequestBody, Seed, StopString, TopP
from service.model.guesses import MAX_GUESSES

MAX_CHOICES = 128  # of a request: prompts times `best_of`


def _one_sentence(message: LiteralString) -> WrapValidator:
    """A validator that gives one sentence in place of the errors of each form that a field may have."""

    def validate(value: Any, validate_forms: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate_forms(value)
        except ValidationError:
            raise PydanticCustomError("out_of_range", message) from None

    return WrapValidator(validate)


PROMPT_FORMS = _one_sentence("should be a string, a list of strings, a list of ids or a list of lists of ids")
STOP_FORMS = _one_sentence("should be a string or a list of at most 4 strings, each of 1 to 256 characters")

Choices = Annotated[int, Field(ge=1, le=MAX_CHOICES)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class StreamOptions(BaseModel):
    """The options of a stream."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class CompletionBody(RequestBody):
    """The fields of OpenAI's completions; a token is a character."""

    model: str | None = None
    prompt: Annotated[str | list[str] | list[int] | list[list[int]], PROMPT_FORMS] = ""
    max_tokens: Annotated[int, Field(ge=0)] = 16
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] = 0  # not OpenAI's: vLLM and llama.cpp have it; -1 is off too
    top_p: TopP = 1.0
    n: Choices = 1
    best_of: Choices | None = None
    echo: bool = False
    logprobs: Annotated[int, Field(ge=0, le=MAX_GUESSES)] | None = None
    stop: Annotated[StopString | Annotated[list[StopString], Field(max_length=4)], STOP_FORMS] | None = None
    seed: Seed | None = None
    logit_bias: Annotated[dict[str, Bias], Field(max_length=MAX_BIASES)] | None = None
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    suffix: str = ""
    user: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None

    @field_validator("prompt")
    @classmethod
    def _prompt_is_not_an_empty_list(cls, prompt: Any) -> Any:
        if prompt == []:
            raise PydanticCustomError("out_of_range", "should have at least one item")
        return prompt

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts as a list, each a text or ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        items: list[Any] = self.prompt
        return [items] if isinstance(items[0], int) else items

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """The stop strings, of either form."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def candidates(self) -> int:
        """The texts to generate for each prompt, of which `n` are returned."""
        return self.best_of or self.n

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

from service.http.schemas import FAIL_FAST, MAX_BIASES, Bias, Limit, RequestBody, Seed, StopString, TopP
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

Text = Annotated[str, Field(json_schema_extra={"x-setting": "max_prompt"})]
Ids = Annotated[list[int], FAIL_FAST]
AtLeastOne = Field(json_schema_extra={"minItems": 1})
Texts = Annotated[list[Text], FAIL_FAST]
ListsOfIds = Annotated[list[Ids], FAIL_FAST]
Prompt = Text | Annotated[Texts, AtLeastOne] | Annotated[Ids, AtLeastOne] | Annotated[ListsOfIds, AtLeastOne]
Choices = Annotated[int, Field(ge=1, le=MAX_CHOICES)]
# The schemas are narrower than the types: a value that is valid in OpenAI's API is refused as unsupported.
Penalty = Annotated[float, Field(ge=-2, le=2, json_schema_extra={"minimum": 0, "maximum": 0})]
Suffix = Annotated[str, Field(json_schema_extra={"maxLength": 0})]
Unsupported = Annotated[bool, Field(json_schema_extra={"const": False})]


class StreamOptions(BaseModel):
    """The options of a stream."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)

    include_usage: bool | None = None
    """Send one more event, with the usage, before `[DONE]`."""
    include_obfuscation: Unsupported | None = None
    """Not supported: `true` is refused with 400."""


class CompletionBody(RequestBody):
    """The fields of OpenAI's completions; a token is a character."""

    model: str | None = None
    """The id of a model: its name, or `name@version`."""
    prompt: Annotated[Prompt, PROMPT_FORMS] = ""
    """The text to continue, or a list of texts; or the ids of one text, or a list of such lists."""
    max_tokens: Annotated[int, Field(ge=0), Limit("max_length")] = 16
    """The characters to generate, at most; over all choices at most the length of one text of `/generate`."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    """The divisor of the logits; 0 always takes the most likely character."""
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] = 0  # not OpenAI's: vLLM and llama.cpp have it; -1 is off too
    """Sample from the `top_k` most likely symbols only; 0 and -1: from all."""
    top_p: TopP = 1.0
    """Sample from the fewest symbols whose probability reaches `top_p`; 1: from all."""
    n: Choices = 1
    """The texts for each prompt."""
    best_of: Choices | None = None
    """Generate so many, at least `n`, and return the `n` with the highest mean logprob. Not with `stream`."""
    echo: bool = False
    """Begin each text with its prompt."""
    logprobs: Annotated[int, Field(ge=0, le=MAX_GUESSES)] | None = None
    """Return the logprob of each character, and so many of the most likely characters before it."""
    stop: Annotated[StopString | Annotated[list[StopString], Field(max_length=4)], STOP_FORMS] | None = None
    """A string, or up to 4; the text ends before the first one."""
    seed: Seed | None = None
    """By default a random seed, which the header X-Seed has. It also determines the seeds of further choices."""
    logit_bias: Annotated[dict[str, Bias], Field(max_length=MAX_BIASES)] | None = None
    """Numbers that are added to the logits of symbols, by id."""
    presence_penalty: Penalty = 0.0
    """Not supported: any other number than 0 is refused with 400."""
    frequency_penalty: Penalty = 0.0
    """Not supported: any other number than 0 is refused with 400."""
    suffix: Suffix = ""
    """Not supported: any other text than "" is refused with 400."""
    user: str = ""
    """Ignored."""
    stream: bool = False
    """Send characters as they are generated, as server-sent events."""
    stream_options: StreamOptions | None = None
    """Only with `stream`."""

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

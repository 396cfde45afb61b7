"""The schemas of responses, for the OpenAPI document. Tests validate real responses; the service does not."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FinishReason = Literal["length", "stop", "timeout"]


class ResponseBody(BaseModel):
    """An object with these fields only."""

    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)


class ErrorFields(ResponseBody):
    """The fields of an error."""

    message: str
    """One sentence, which names the field, the limit and the value."""
    type: str
    param: str | None
    """The field of the request, if it is about one."""
    code: str


class ErrorBody(ResponseBody):
    """Every error, of a response and of the last event of a stream."""

    error: ErrorFields


class CharacterCounts(ResponseBody):
    """Numbers of characters."""

    prompt_chars: int
    cached_chars: int
    """Characters of the prompt whose state was in the prefix cache."""
    unknown_chars: int
    """Characters of the prompt that are outside the model's vocabulary."""
    generated_chars: int


class ScoreTimings(ResponseBody):
    """Milliseconds, and the characters of a second."""

    queue_ms: float
    total_ms: float
    chars_per_second: float


class Timings(ScoreTimings):
    """The times of a generation."""

    first_char_ms: float | None


Guess = tuple[str, float]
"""A character and its logprob."""


class CharacterEvent(ResponseBody):
    """An event of a stream."""

    index: int
    text: str
    logprob: float
    top: list[Guess] = []
    """The most likely characters before this one, if `top_guesses` requests them."""


class LastEvent(ResponseBody):
    """The last event of a stream."""

    finish_reason: FinishReason
    text: str
    seed: int
    model: str
    version: int
    usage: CharacterCounts
    timings: Timings


class Generation(LastEvent):
    """A text in one object."""

    logprobs: list[float]
    """One for each character: the model's own, before temperature and filters."""
    top: list[list[Guess]] = []
    """For each character as in an event, if `top_guesses` requests them."""


class Logprobs(ResponseBody):
    """The log-probabilities of a choice. Minus infinity is written as -9999."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class Choice(ResponseBody):
    """One of the texts of a completion."""

    text: str
    index: int
    logprobs: Logprobs | None
    finish_reason: Literal["length", "stop"] | None


class CompletionUsage(ResponseBody):
    """Numbers of characters."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionEvent(ResponseBody):
    """An event of a stream; the usage has an event of its own, and is null in the others, if it was requested."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    """The exact version, `name@version`."""
    choices: list[Choice]
    usage: CompletionUsage | None = None


class Completion(CompletionEvent):
    """A completion in one object."""

    usage: CompletionUsage


class Tokens(ResponseBody):
    """Ids of symbols; 0 stands for a symbol outside the vocabulary."""

    tokens: list[int]


class Content(ResponseBody):
    """The text of ids."""

    content: str


class Loss(ResponseBody):
    """The loss on the first characters of a text; the means are null before the first one."""

    chars: int
    nats: float
    nats_per_char: float | None
    bits_per_char: float | None


class ScoreProgress(Loss):
    """A line of a streamed score: the loss on the first `chars` characters."""

    index: int = 0
    """The first character of `logprobs`, if they were requested."""
    logprobs: list[float] = []


class ScoreResult(Loss):
    """A score in one object, or the last line of a streamed one."""

    perplexity: float | None
    unknown_chars: int
    finish_reason: Literal["length", "timeout"]
    model: str
    version: int
    timings: ScoreTimings
    logprobs: list[float] = []
    """If they were requested, one for each character."""


class InspectedCharacter(ResponseBody):
    """A character of the text, and the network before and after it."""

    text: str
    logprob: float
    top: list[Guess]
    """The most likely characters before this one was read, with their logprobs; at most five."""
    activations: list[float]
    """Of each unit, after this character was read."""


class Inspection(ResponseBody):
    """The predictions of the network and the activations of its units."""

    characters: list[InspectedCharacter]
    units: list[tuple[int, int]]
    finish_reason: Literal["length", "timeout"]
    model: str
    version: int


class RankedUnit(ResponseBody):
    """A unit, and how well it tracks a feature."""

    layer: int
    unit: int
    score: float
    sign: Literal[-1, 1]
    """-1: the activation falls where the feature rises."""
    examples: list[int]
    """Positions in the text where the activation, times the sign, is highest."""


class RankedFeature(ResponseBody):
    """The units that track a feature best, the best first."""

    feature: str
    measure: Literal["mutual_information_bits", "absolute_correlation"]
    max_score: float
    """The highest score that a unit can have."""
    units: list[RankedUnit]


class Neurons(ResponseBody):
    """The units that track each feature of a text."""

    features: list[RankedFeature]
    constant: list[str]
    """The features that have one value in the whole text, and no ranking."""
    chars: int
    finish_reason: Literal["length", "timeout"]
    model: str
    version: int


class StoredVersion(ResponseBody):
    """A version of a model."""

    version: int
    loaded: bool
    refused: str | None
    """The reason for which the version is not valid."""


class StoredModel(ResponseBody):
    """A model and its versions."""

    name: str
    served: int | None
    """The version that answers requests that name none; null if none is valid."""
    versions: list[StoredVersion]


class StoredModels(ResponseBody):
    """All models."""

    default: str | None
    """The model that answers requests that name none."""
    models: list[StoredModel]


class VersionDetails(ResponseBody):
    """The manifest of a version, without the vocabulary, and the evaluations during its training."""

    manifest: dict[str, Any]
    history: list[dict[str, Any]]
    history_error: str | None
    """A sentence about lines of the history that are missing."""


class OpenAIModel(ResponseBody):
    """A model as OpenAI's clients list it."""

    id: str
    object: Literal["model"]
    created: int
    """Seconds since 1970."""
    owned_by: str


class OpenAIModels(ResponseBody):
    """All models with a valid version."""

    object: Literal["list"]
    data: list[OpenAIModel]


class Alive(ResponseBody):
    """The process is up."""

    status: Literal["alive"]


class Ready(ResponseBody):
    """The default model is loaded."""

    status: Literal["ready"]
    model: str
    version: int
    refused: list[str]
    """A sentence for each version that is not valid."""

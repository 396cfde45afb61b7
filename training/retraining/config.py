"""nightly.toml: the models to retrain, with their texts, time limits and quality gates. For example:

at = "03:00"
time_zone = "Europe/Berlin"

[[model]]
name = "mine"
corpus = "corpora/mine"
minutes = 60
settings = { units = 512, dropout = 0.4 }
"""

import contextlib
import dataclasses
import tomllib
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from training.config import MOST, MOST_RATE, TrainConfig, with_decay_of_optimizer
from training.data.selection import Selection
from training.errors import InputError
from training.presets import PRESETS
from training.release.store import NAME, NAME_RULE

# Messages in place of pydantic's own; each continues "name: ", and the value follows.
REASONS = {
    "string_pattern_mismatch": f"it must be {NAME_RULE}",
    "tuple_type": "it must be a list",
}


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Job(_Table):
    """One `[[model]]` table."""

    name: str = Field(pattern=f"^{NAME}$")
    corpus: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1), BeforeValidator(_as_list)]
    include: Patterns = ()
    exclude: Patterns = ()
    skip_unreadable: bool = False
    """These three are the flags of `train` that choose files."""
    minutes: float = Field(default=60.0, gt=0, le=MOST, allow_inf_nan=False)
    """Time limit of one retraining run."""
    gate: float = Field(default=0.01, ge=0, lt=1)
    """Share by which the loss of the new version may exceed that of the served one."""
    keep: int = Field(default=5, ge=1)
    """Newest versions that are not deleted."""
    learning_rate: float = Field(default=1e-3, gt=0, le=MOST_RATE, allow_inf_nan=False)
    """Peak learning rate of a run that starts from a version."""
    epochs: int = Field(default=5, ge=1)
    """Most epochs of a run that starts from a version."""
    noise: bool = False
    """Whether to accept files that look like noise: DNA, the digits of pi."""
    preset: Literal[tuple(PRESETS)] | None = None  # type: ignore[valid-type]
    settings: dict[str, Any] = {}
    """Flags of `train`, for all versions. They win over the preset. `budget.config_of` replaces some of them for a run
    that starts from a version."""

    @field_validator("minutes", "gate", "keep", "learning_rate", "epochs", mode="before")
    @classmethod
    def _require_number(cls, value: Any) -> Any:
        return _without_boolean("it", value)

    @field_validator("settings")
    @classmethod
    def _require_flags_of_train(cls, settings: dict[str, Any]) -> dict[str, Any]:
        known = {field.name for field in dataclasses.fields(TrainConfig)}
        settings = {name.replace("-", "_"): value for name, value in settings.items()}
        for name, value in settings.items():
            if name not in known:
                raise ValueError(f"train has no flag --{name}")
            _without_boolean(name, value)
            if name == "minutes":
                raise ValueError("minutes is a key of [[model]] itself: write it outside of settings")
        try:
            config = TypeAdapter(TrainConfig).validate_python(settings)
        except ValidationError as error:
            raise ValueError(_sentence(error)) from None
        except InputError as error:
            raise ValueError(str(error)) from None
        return {name: getattr(config, name) for name in settings}  # "0.4" and 128.0 have become numbers of their type

    @property
    def selection(self) -> Selection:
        """The choice of files of the corpus."""
        return Selection(self.include, self.exclude, self.skip_unreadable)

    def first_config(self) -> TrainConfig:
        """The configuration of the first version.

        By default the end of each file is held out, so that later runs are not trained on it either.
        """
        preset = PRESETS[self.preset] if self.preset else {}
        settings = with_decay_of_optimizer({"split_by": "each-file"} | preset | self.settings | {"minutes": 0.0})
        return TypeAdapter(TrainConfig).validate_python(settings)


class NightlyConfig(_Table):
    """The contents of nightly.toml."""

    at: time = time(3)
    time_zone: ZoneInfo = ZoneInfo("UTC")
    model: tuple[Job, ...] = Field(min_length=1)

    @field_validator("at", mode="before")
    @classmethod
    def _require_hours_and_minutes(cls, value: Any) -> time:
        at = value
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                at = time.fromisoformat(value)
        if not isinstance(at, time) or at.tzinfo or at.second or at.microsecond:
            raise ValueError(f'it must be a time in hours and minutes, such as "03:00", without a zone, not {value}')
        return at

    @field_validator("model", mode="before")
    @classmethod
    def _require_tables(cls, value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("each model must be a table that begins with [[model]], in double brackets")
        return value

    @field_validator("model")
    @classmethod
    def _require_different_names(cls, model: tuple[Job, ...]) -> tuple[Job, ...]:
        names = [job.name for job in model]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{names.count(name)} models have the name {name!r}")
        return model

    @classmethod
    def read(cls, path: Path) -> "NightlyConfig":
        """Read and check the file.

        Raises:
            InputError: the file is missing or not TOML, or a value is invalid; names the field and the value.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
        except FileNotFoundError:
            raise InputError(f"There is no {path}, which lists the models to retrain.") from None
        except ValidationError as error:
            raise InputError(f"{path}: {_sentence(error)}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not TOML: {error}.") from None

    def chosen(self, names: tuple[str, ...]) -> tuple[Job, ...]:
        """The jobs of these names, or all jobs for no names.

        Raises:
            InputError: a name is not configured.
        """
        known = {job.name: job for job in self.model}
        for name in names:
            if name not in known:
                raise InputError(f"No model {name!r} is configured, only {', '.join(known)}.")
        return tuple(known[name] for name in names) or self.model


def _without_boolean(name: str, value: Any) -> Any:
    """`value`, unless it is true or false, which pydantic would take for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"{name} cannot be {str(value).lower()}")
    return value


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
    match first["type"]:
        case "value_error":  # our own, which names the value
            return f"{field}: {str(first['ctx']['error']).rstrip('.')}."
        case "missing":
            return f"{field} is required."
        case "extra_forbidden":
            return f"{field} is not a known key."
    return f"{field}: {REASONS.get(first['type'], first['msg'])}; it is {first['input']!r}."

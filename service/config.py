"""The settings of the service. `Config.from_env` is the only reader of the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import limits
from limits.storage import RedisStorage

from service import object_storage, rate_storage
from service.cpus import available_cpus
from service.keys import KeyFile, KeyFileError

HOST = re.compile(r"\*|[0-9A-Za-z:._%-]{1,253}")  # "*" is every address
MODEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#,@*]{1,253}")
NUMBERS = {  # int() and float() also accept spaces, underscores, digits of other alphabets, "inf" and "nan"
    int: ("whole number", re.compile(r"[+-]?[0-9]{1,100}")),
    float: ("number", re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)),
}
RATE = re.compile(r"[0-9]{1,100} *(/|per) *([1-9][0-9]{0,99} *)?[a-z]+", re.IGNORECASE)
PRECISIONS = ("float32", "bfloat16")
MAX_ORIGINS = 100
MAX_RATE = 100_000  # requests of one client; the limiter stores the time of each
MAX_RATE_WINDOW_S = 31 * 24 * 3600
DAY_S = 24 * 3600


class ConfigError(Exception):
    """The service cannot start with a setting. The message is one sentence that names the environment variable."""


def _number(default: float | None, at_least: float, at_most: float) -> Any:
    """A setting that is a number between two bounds, both included."""
    return field(default=default, metadata={"at_least": at_least, "at_most": at_most})


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings. The field `max_prompt` is the environment variable CHARLOOM_MAX_PROMPT; `port` is PORT."""

    models: Path | str = Path("models")  # str: the URL of a bucket
    models_cache: Path = field(default_factory=lambda: Path(os.path.expanduser("~/.cache/charloom")))
    default_model: str | None = None
    engines: int = field(default_factory=available_cpus, metadata={"at_least": 1, "at_most": 1024})
    slots: int = _number(64, 1, 1024)
    queue: int = _number(256, 0, 10_000)
    chunk: int = _number(32, 1, 1024)
    call_ms: float = _number(25.0, 0.1, 60_000)
    precision: str = "float32"
    cache_mb: int = _number(256, 0, 1_000_000)
    poll_seconds: float = _number(1.0, 0.01, DAY_S)
    request_timeout: float = _number(600.0, 0.001, DAY_S)
    drain_seconds: float = _number(30.0, 0, DAY_S)
    max_prompt: int = _number(100_000, 0, 10_000_000)
    max_length: int = _number(100_000, 1, 100_000_000)
    max_text: int = _number(1_000_000, 1, 10_000_000)
    api_keys_file: Path | None = None
    rate_limit: str | None = None
    rate_limit_storage: str = rate_storage.MEMORY
    cors_origins: str | None = None
    trusted_proxies: int = _number(0, 0, 16)
    host: str = "localhost"
    port: int = _number(8000, 1, 65535)
    admin_port: int | None = _number(None, 1, 65535)

    def __post_init__(self) -> None:
        for setting in fields(self):
            if setting.metadata:
                self._check_bounds(setting.name, **setting.metadata)
        self._check_models()
        if self.default_model is not None and not MODEL.fullmatch(self.default_model):
            raise ConfigError(f"CHARLOOM_DEFAULT_MODEL must be a model's name, not {_shown(self.default_model)}.")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"CHARLOOM_PRECISION must be {' or '.join(PRECISIONS)}, not {_shown(self.precision)}.")
        if not HOST.fullmatch(self.host):
            raise ConfigError(f"CHARLOOM_HOST must be a host name, an IP address or *, not {_shown(self.host)}.")
        if self.admin_port == self.port:
            raise ConfigError(f"CHARLOOM_ADMIN_PORT must differ from PORT, which is {self.port} too.")
        self.key_file()
        self.rate()
        self.rate_storage()
        self.origins()

    def _check_models(self) -> None:
        if isinstance(self.models, Path):
            if not os.path.isdir(self.models):
                raise ConfigError(f"CHARLOOM_MODELS names {self.models}, which is not a folder.")
            return
        try:
            object_storage.Bucket(self.models)
        except object_storage.BucketError as error:
            raise ConfigError(f"CHARLOOM_MODELS {error}.") from error
        try:
            os.makedirs(self.models_cache, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"CHARLOOM_MODELS_CACHE names {self.models_cache}, which cannot be used: {error.strerror}."
            ) from error

    def _check_bounds(self, name: str, at_least: float, at_most: float) -> None:
        value = getattr(self, name)
        if value is not None and not at_least <= value <= at_most:  # true for NaN
            raise ConfigError(f"{variable_of(name)} must be between {at_least:,} and {at_most:,}, not {value}.")

    @classmethod
    def from_env(cls, environment: Mapping[str, str] = os.environ) -> "Config":
        """Read the environment; a variable that is unset or empty keeps its default.

        Raises:
            ConfigError: a value has the wrong type or is out of range.
        """
        given: dict[str, Any] = {}
        for setting in fields(cls):
            variable = variable_of(setting.name)
            if value := environment.get(variable):
                given[setting.name] = _parse(variable, value, setting.type)
        return cls(**given)

    def key_file(self) -> KeyFile | None:
        """The keys that clients may use; None: no key is needed."""
        if self.api_keys_file is None:
            return None
        try:
            return KeyFile(self.api_keys_file)
        except KeyFileError as error:
            raise ConfigError(f"CHARLOOM_API_KEYS_FILE names {self.api_keys_file}, {error}.") from error

    def rate(self) -> limits.RateLimitItem | None:
        """The rate limit of each client; None: no limit."""
        if self.rate_limit is None:
            return None
        try:
            if not RATE.fullmatch(self.rate_limit):
                raise ValueError
            rate = limits.parse(self.rate_limit)
        except ValueError:
            raise ConfigError(
                f"CHARLOOM_RATE_LIMIT must be one limit like '60/minute', not {_shown(self.rate_limit)}."
            ) from None
        if not (1 <= rate.amount <= MAX_RATE and 1 <= rate.get_expiry() <= MAX_RATE_WINDOW_S):
            raise ConfigError(
                f"CHARLOOM_RATE_LIMIT must allow between 1 and {MAX_RATE:,} requests in a second to 31 days, "
                f"not {_shown(self.rate_limit)}."
            )
        return rate

    def rate_storage(self) -> RedisStorage | None:
        """The Redis that processes share the rate limit through, not connected; None: each process counts alone."""
        if self.rate_limit_storage == rate_storage.MEMORY:
            return None
        try:
            return rate_storage.open_storage(self.rate_limit_storage)
        except rate_storage.RateStorageError as error:
            raise ConfigError(f"CHARLOOM_RATE_LIMIT_STORAGE {error}.") from error

    def check_rate_storage(self) -> None:
        """Connect to the Redis, if the rate limit uses one.

        Raises:
            ConfigError: it does not answer, or refuses the password.
        """
        storage = self.rate_storage() if self.rate_limit else None
        if storage is None:
            return
        try:
            rate_storage.check(storage)
        except rate_storage.RateStorageError as error:
            raise ConfigError(f"CHARLOOM_RATE_LIMIT_STORAGE {error}.") from error

    def origins(self) -> frozenset[str]:
        """The origins whose pages may use the API, in lower case; `*` is every origin."""
        if self.cors_origins is None:
            return frozenset()
        origins = [origin.strip().lower() for origin in self.cors_origins.split(",")]
        if len(origins) > MAX_ORIGINS:
            raise ConfigError(f"CHARLOOM_CORS_ORIGINS must name at most {MAX_ORIGINS} origins, not {len(origins)}.")
        for origin in origins:
            if origins != ["*"] and not ORIGIN.fullmatch(origin):
                raise ConfigError(
                    "CHARLOOM_CORS_ORIGINS must be '*' or origins like 'https://example.org', "
                    f"separated by commas, not {_shown(origin)}."
                )
        return frozenset(origins)


def variable_of(name: str) -> str:
    """The environment variable of a field of `Config`."""
    return "PORT" if name == "port" else f"CHARLOOM_{name.upper()}"


def _parse(variable: str, value: str, kind: Any) -> Any:
    kind = int if kind == int | None else kind
    if kind in NUMBERS:
        expected, pattern = NUMBERS[kind]
        if not pattern.fullmatch(value):
            raise ConfigError(f"{variable} must be a {expected}, not {_shown(value)}.")
        return kind(value)
    if kind == Path | str and object_storage.is_url(value):
        return value
    return Path(value) if kind in (Path, Path | None, Path | str) else value


def _shown(value: str) -> str:
    return repr(value) if len(value) <= 60 else repr(value[:60]) + "…"

"""Every setting of the service. `Config.from_env` is the only reader of the environment."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import limits


class ConfigError(Exception):
    """A setting that the service cannot start with. The message is one sentence for the person who set it."""


def cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores that this process may run on: those of its affinity mask that its container's quota pays for."""
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(mask, int(_quota(cgroup))))


def _quota(cgroup: Path) -> float:
    """The cores that a Linux control group may use (version 2, else 1); without a limit, more than there are."""
    files = ["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]
    for names in files:
        with suppress(OSError, ValueError):
            quota, period = " ".join((cgroup / name).read_text() for name in names).split()
            if quota not in ("max", "-1"):
                return int(quota) / int(period)
    return sys.maxsize


@dataclass(frozen=True, kw_only=True)
class Config:
    """What may be set: a field `max_prompt` is the environment variable CHARLOOM_MAX_PROMPT (`port` is PORT)."""

    models: Path = Path("models")
    default_model: str | None = None
    engines: int = field(default_factory=cores)
    slots: int = 64
    queue: int = 256
    chunk: int = 32
    cache_mb: int = 256
    poll_seconds: float = 1.0
    request_timeout: float = 600.0
    drain_seconds: float = 30.0
    max_prompt: int = 100_000
    max_length: int = 100_000
    api_keys_file: Path | None = None
    rate_limit: str | None = None
    trusted_proxies: int = 0
    host: str = "localhost"
    port: int = 8000
    admin_port: int | None = None

    def __post_init__(self) -> None:
        for name, at_least in (
            ("engines", 1),
            ("slots", 1),
            ("queue", 0),
            ("chunk", 1),
            ("cache_mb", 0),
            ("poll_seconds", 0.01),
            ("request_timeout", 0.001),
            ("drain_seconds", 0),
            ("max_prompt", 0),
            ("max_length", 1),
        ):
            if not getattr(self, name) >= at_least:  # NaN is not either
                raise ConfigError(f"{_variable(name)} must be at least {at_least}, not {getattr(self, name)}.")
        if not 1 <= self.port <= 65535:
            raise ConfigError(f"PORT must be between 1 and 65535, not {self.port}.")
        if not self.models.is_dir():
            raise ConfigError(f"CHARLOOM_MODELS names {self.models}, which is not a folder.")
        if self.api_keys_file and not self.api_keys():
            raise ConfigError(f"CHARLOOM_API_KEYS_FILE names {self.api_keys_file}, which holds no key.")
        if self.rate_limit:
            self.rate()

    @classmethod
    def from_env(cls, environment: Mapping[str, str] = os.environ) -> "Config":
        """Read the environment; a variable that is unset or empty keeps its default.

        Raises:
            ConfigError: a value is not of its kind, or out of range.
        """
        given: dict[str, Any] = {}
        for setting in fields(cls):
            variable = _variable(setting.name)
            if value := environment.get(variable):
                given[setting.name] = _parse(variable, value, setting.type)
        return cls(**given)

    def api_keys(self) -> frozenset[str]:
        """The keys that clients may use, one a line of the file; none: open to everybody."""
        if self.api_keys_file is None:
            return frozenset()
        try:
            lines = self.api_keys_file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(
                f"CHARLOOM_API_KEYS_FILE names {self.api_keys_file}, which cannot be read: {error.strerror}."
            ) from error
        return frozenset(line.strip() for line in lines if line.strip())

    def rate(self) -> limits.RateLimitItem | None:
        """How many requests a client may make in what time."""
        if self.rate_limit is None:
            return None
        try:
            return limits.parse(self.rate_limit)
        except ValueError:
            raise ConfigError(f"CHARLOOM_RATE_LIMIT must be like '60/minute', not {self.rate_limit!r}.") from None


def _variable(name: str) -> str:
    return "PORT" if name == "port" else f"CHARLOOM_{name.upper()}"


def _parse(variable: str, value: str, kind: Any) -> Any:
    kind = int if kind == int | None else kind
    if kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            expected = "whole number" if kind is int else "number"
            raise ConfigError(f"{variable} must be a {expected}, not {value!r}.") from None
    return Path(value) if kind in (Path, Path | None) else value

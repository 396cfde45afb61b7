"""Parses manifest.json into `Manifest`. Fields that this service does not understand are refused by name."""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from service.model import files
from service.model.files import FileError
from service.model.version import ModelVersion

MANIFEST = "assets.extra/manifest.json"
MAX_BYTES = 32 * 2**20  # the manifest lists every file of its corpus
FORMAT = 1
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_VERSION = 2**63 - 1  # as in TensorFlow Serving
MAX_LAYERS = 128
MAX_UNITS = 65_536
MAX_SEED = 2**63 - 1
MAX_PROBE_SYMBOLS = 10_000

Symbol = str | int | None
"""A character, the value of a byte, or None for the reserved symbol."""


class ManifestError(FileError):
    """The manifest is missing or damaged, or holds a value that this service does not support."""


@dataclass(frozen=True)
class Probe:
    """A text that the model generated when it was published: prompt and sampled symbols, with their logprobs."""

    prompt: str
    seed: int
    symbols: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True)
class Manifest:
    """The fields of a version's manifest that the service uses; `fields` holds all of them as parsed JSON."""

    name: str
    version: int
    unit: str
    normalization: str
    vocabulary: tuple[Symbol, ...]
    cell: str
    layers: int
    units: int
    probe: Probe
    fields: dict[str, Any]

    @property
    def model_version(self) -> ModelVersion:
        """The model and version that the manifest is of."""
        return ModelVersion(self.name, self.version)

    @property
    def symbols(self) -> int:
        """V: the size of the vocabulary, including the reserved id 0."""
        return len(self.vocabulary)

    @property
    def state_tensors(self) -> int:
        """S: two state tensors (h, c) for each layer of an LSTM, one (h) for each layer of the other cells."""
        return 2 * self.layers if self.cell == "lstm" else self.layers

    @property
    def created_s(self) -> float | None:
        """The creation time in seconds since 1970; None if `created` is not a time with a UTC offset."""
        try:
            created = datetime.fromisoformat(self.fields["created"])
        except (KeyError, TypeError, ValueError):
            return None
        return created.timestamp() if created.tzinfo else None

    @classmethod
    def read(cls, version: Path) -> "Manifest":
        """Read `assets.extra/manifest.json` of a version's folder.

        Raises:
            FileError: the manifest is missing, unreadable or not supported; the message is one sentence.
        """
        try:
            fields = files.parse(files.read(version, MANIFEST, MAX_BYTES))
        except FileNotFoundError:
            raise ManifestError(f"it has no {MANIFEST}") from None
        except ValueError as error:
            raise ManifestError(f"its manifest cannot be read: {error}") from None
        if not isinstance(fields, dict):
            raise ManifestError("its manifest is not a JSON object")
        _refuse_unsupported(fields)
        unit = fields["unit"]
        vocabulary = _vocabulary(_field(fields, "vocabulary", list), unit)
        return cls(
            name=_name(fields),
            version=_number(fields, "version", 1, MAX_VERSION),
            unit=unit,
            normalization=fields["normalization"],
            vocabulary=vocabulary,
            cell=fields["cell"],
            layers=_number(fields, "layers", 1, MAX_LAYERS),
            units=_number(fields, "units", 1, MAX_UNITS),
            probe=_probe(_field(fields, "probe", dict), len(vocabulary)),
            fields=fields,
        )


def _refuse_unsupported(fields: dict[str, Any]) -> None:
    supported: dict[str, tuple[Any, ...]] = {
        "format": (FORMAT,),
        "unit": ("char", "byte"),
        "normalization": ("none",) if fields.get("unit") == "byte" else ("NFC", "none"),
        "cell": ("lstm", "gru", "rnn"),
        "dtype": ("float32",),
    }
    for name, values in supported.items():
        value = fields.get(name)
        if type(value) is not type(values[0]) or value not in values:  # True == 1 == 1.0
            known = " or ".join(map(repr, values))
            raise ManifestError(f"its manifest says {name} {value!r:.50}, and this service supports {known}")


def _field(fields: dict[str, Any], name: str, kind: type) -> Any:
    value = fields.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ManifestError(f"its manifest's {name!r} must be a {kind.__name__}, not {value!r:.50}")
    return value


def _number(fields: dict[str, Any], name: str, least: int, most: int) -> int:
    value: int = _field(fields, name, int)
    if not least <= value <= most:
        raise ManifestError(f"its manifest's {name!r} must be between {least} and {most}, not {value!r:.50}")
    return value


def _name(fields: dict[str, Any]) -> str:
    name: str = _field(fields, "name", str)
    if not NAME.fullmatch(name):
        raise ManifestError(f"its manifest's 'name' must match {NAME.pattern}, not be {name!r:.50}")
    return name


def _probe(fields: dict[str, Any], vocabulary_size: int) -> Probe:
    prompt, symbols, logprobs = (
        _field(fields, name, kind) for name, kind in (("prompt", str), ("symbols", list), ("logprobs", list))
    )
    if not all(type(symbol) is int and 0 <= symbol < vocabulary_size for symbol in symbols):
        raise ManifestError(f"its probe's 'symbols' must be whole numbers from 0 to {vocabulary_size - 1}")
    if not all(map(_is_finite, logprobs)):
        raise ManifestError("its probe's 'logprobs' must be finite numbers")
    if not 1 <= len(symbols) <= MAX_PROBE_SYMBOLS:
        raise ManifestError(f"its probe must have 1 to {MAX_PROBE_SYMBOLS} symbols, not {len(symbols)}")
    if len(logprobs) != len(symbols) or len(prompt) > len(symbols):
        raise ManifestError(
            f"its probe has {len(symbols)} symbols, which do not go with "
            f"{len(logprobs)} logprobs and a prompt of {len(prompt)} characters"
        )
    return Probe(prompt, _number(fields, "seed", 0, MAX_SEED), tuple(symbols), tuple(map(float, logprobs)))


def _is_finite(number: Any) -> bool:
    try:
        return type(number) in (int, float) and math.isfinite(number)
    except OverflowError:  # an int too large for a float
        return False


def _vocabulary(symbols: list[Any], unit: str) -> tuple[Symbol, ...]:
    is_known, expected = {
        "char": (_is_character, "single characters"),
        "byte": (_is_byte, "whole numbers from 0 to 255"),
    }[unit]
    reserved, *known = symbols or [""]
    if reserved is not None or not all(map(is_known, known)):
        raise ManifestError(f"its manifest's 'vocabulary' must be null and then {expected}, as its unit is {unit!r}")
    if not known:
        raise ManifestError(f"its manifest's 'vocabulary' holds no {unit}")
    if len(set(known)) != len(known):
        raise ManifestError(f"its manifest's 'vocabulary' names a {unit} twice")
    return tuple(symbols)


def _is_character(symbol: Any) -> bool:
    return isinstance(symbol, str) and len(symbol) == 1


def _is_byte(symbol: Any) -> bool:
    return type(symbol) is int and 0 <= symbol <= 255  # isinstance would accept True

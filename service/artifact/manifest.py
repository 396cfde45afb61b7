"""manifest.json -> Manifest, strictly: what this version of the service does not understand is refused by name."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT = 1
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


Symbol = str | int | None
"""A character, the value of a byte, or null: the reserved one."""


class ManifestError(Exception):
    """The manifest is missing, broken, or speaks of something that this service does not know."""


@dataclass(frozen=True)
class Probe:
    """A text that the model gave when it was published: prompt and sampled symbols, with their logprobs."""

    prompt: str
    seed: int
    symbols: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True)
class Manifest:
    """What the service must know of a version; `fields` is all that the file says."""

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
    def symbols(self) -> int:
        """V: characters or bytes that the model knows, and the reserved id 0."""
        return len(self.vocabulary)

    @property
    def state_tensors(self) -> int:
        """S: h and c of each layer of an LSTM, h of each layer of the others."""
        return 2 * self.layers if self.cell == "lstm" else self.layers

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read `assets.extra/manifest.json` of a version.

        Raises:
            ManifestError: one sentence that says what is wrong.
        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ManifestError("it has no assets.extra/manifest.json") from None
        except (OSError, ValueError) as error:
            raise ManifestError(f"its manifest cannot be read: {error}") from None
        if not isinstance(fields, dict):
            raise ManifestError("its manifest is not a JSON object")
        _refuse_the_unknown(fields)
        unit, probe = fields["unit"], _field(fields, "probe", dict)
        return cls(
            name=_field(fields, "name", str),
            version=_field(fields, "version", int),
            unit=unit,
            normalization=fields["normalization"],
            vocabulary=_vocabulary(_field(fields, "vocabulary", list), unit),
            cell=fields["cell"],
            layers=_field(fields, "layers", int),
            units=_field(fields, "units", int),
            probe=Probe(
                prompt=_field(probe, "prompt", str),
                seed=_field(probe, "seed", int),
                symbols=tuple(_field(probe, "symbols", list)),
                logprobs=tuple(_field(probe, "logprobs", list)),
            ),
            fields=fields,
        )


def _refuse_the_unknown(fields: dict[str, Any]) -> None:
    understood: dict[str, tuple[Any, ...]] = {
        "format": (FORMAT,),
        "unit": ("char", "byte"),
        "normalization": ("none",) if fields.get("unit") == "byte" else ("NFC", "none"),
        "cell": ("lstm", "gru", "rnn"),
        "dtype": ("float32",),
    }
    for name, values in understood.items():
        if fields.get(name) not in values:
            known = " or ".join(repr(value) for value in values)
            raise ManifestError(f"its manifest says {name} {fields.get(name)!r}, and this service knows {known}")


def _field(fields: dict[str, Any], name: str, kind: type) -> Any:
    value = fields.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ManifestError(f"its manifest's {name!r} must be a {kind.__name__}, not {value!r:.50}")
    return value


def _vocabulary(symbols: list[Any], unit: str) -> tuple[Symbol, ...]:
    is_known, expected = {
        "char": (_is_character, "single characters"),
        "byte": (_is_byte, "whole numbers from 0 to 255"),
    }[unit]
    reserved, *known = symbols or [""]
    if reserved is not None or not all(map(is_known, known)):
        raise ManifestError(f"its manifest's 'vocabulary' must be null and then {expected}, as its unit is {unit!r}")
    if len(set(known)) != len(known):
        raise ManifestError(f"its manifest's 'vocabulary' names a {unit} twice")
    return tuple(symbols)


def _is_character(symbol: Any) -> bool:
    return isinstance(symbol, str) and len(symbol) == 1


def _is_byte(symbol: Any) -> bool:
    return type(symbol) is int and 0 <= symbol <= 255  # True is an int to isinstance

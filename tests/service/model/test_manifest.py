"""Manifests that are valid, not supported or damaged."""

import json
import math
import os
import random
from pathlib import Path

import pytest

from service.model.files import FileError
from service.model.manifest import Manifest, ManifestError
from service.model.version import ModelVersion
from tests.service.model.manifests import GOOD, read, write


def probe(**changes: object) -> dict[str, object]:
    return {"probe": GOOD["probe"] | changes}  # type: ignore[operator]


BYTES = {"unit": "byte", "normalization": "none", "vocabulary": [None, 10, 32, 255, 0]}


def test_a_manifest_is_read(tmp_path: Path) -> None:
    manifest = read(tmp_path, GOOD | {"a new field": "kept"})
    assert (manifest.name, manifest.version, manifest.symbols, manifest.state_tensors) == ("tale", 2, 4, 4)
    assert manifest.probe.symbols == (1, 2)
    assert manifest.fields["a new field"] == "kept"


def test_a_manifest_names_its_model_version(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD).model_version == ModelVersion("tale", 2)


def test_a_byte_models_manifest_is_read(tmp_path: Path) -> None:
    manifest = read(tmp_path, GOOD | BYTES)
    assert (manifest.unit, manifest.vocabulary, manifest.symbols) == ("byte", (None, 10, 32, 255, 0), 5)


@pytest.mark.parametrize(("cell", "state_tensors"), [("lstm", 6), ("gru", 3), ("rnn", 3)])
def test_an_lstm_has_two_state_tensors_a_layer_and_the_others_one(
    tmp_path: Path, cell: str, state_tensors: int
) -> None:
    assert read(tmp_path, GOOD | {"cell": cell, "layers": 3}).state_tensors == state_tensors


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, ["format 2", "supports 1"]),
        ({"unit": "word"}, ["unit 'word'", "'char' or 'byte'"]),
        ({"cell": "transformer"}, ["cell 'transformer'", "'lstm' or 'gru' or 'rnn'"]),
        ({"dtype": "float16"}, ["dtype 'float16'", "'float32'"]),
        ({"normalization": None}, ["normalization None"]),
        ({"layers": "two"}, ["'layers'", "int", "'two'"]),
        ({"layers": True}, ["'layers'"]),
        ({"vocabulary": ["a", "b"]}, ["null and then single characters"]),
        ({"vocabulary": [None, "ab"]}, ["single characters"]),
        ({"vocabulary": [None, "a", "a"]}, ["char twice"]),
        ({"vocabulary": [None, 10, 32]}, ["single characters", "unit is 'char'"]),
        (BYTES | {"normalization": "NFC"}, ["normalization 'NFC'", "'none'"]),
        (BYTES | {"vocabulary": [None, "a"]}, ["whole numbers from 0 to 255", "unit is 'byte'"]),
        (BYTES | {"vocabulary": [10, 32]}, ["null and then whole numbers"]),
        (BYTES | {"vocabulary": [None, 256]}, ["from 0 to 255"]),
        (BYTES | {"vocabulary": [None, -1]}, ["from 0 to 255"]),
        (BYTES | {"vocabulary": [None, 10.0]}, ["whole numbers"]),
        (BYTES | {"vocabulary": [None, True]}, ["whole numbers"]),
        (BYTES | {"vocabulary": [None, 10, 32, 10]}, ["byte twice"]),
        ({"vocabulary": []}, ["null and then"]),
        ({"probe": {}}, ["'prompt'"]),
        ({"format": True}, ["format True", "supports 1"]),
        ({"format": 1.0}, ["format 1.0", "supports 1"]),
        ({"cell": "x" * 10_000}, ["cell 'xxx"]),
        ({"name": "../tale"}, ["'name'", "'../tale'"]),
        ({"name": ""}, ["'name'"]),
        ({"version": 0}, ["'version'", "between 1 and 9223372036854775807", "not 0"]),
        ({"version": 2**63}, ["'version'", "between"]),
        ({"layers": 0}, ["'layers' must be between 1 and 128, not 0"]),
        ({"layers": 10**9}, ["'layers'", "128"]),
        ({"units": -1}, ["'units'", "65536"]),
        ({"units": 10**4000}, ["'units'", "65536"]),
        ({"vocabulary": [None]}, ["holds no char"]),
        ({"vocabulary": [None, ["a"]]}, ["single characters"]),
        ({"vocabulary": [None, "\ud800"]}, ["half of a surrogate pair"]),
        ({"a new field": {"\udfff": 1}}, ["half of a surrogate pair"]),
        ({"a new field": math.nan}, ["nan", "not a finite number"]),
        ({"a new field": [-math.inf]}, ["-inf", "not a finite number"]),
        (probe(symbols=[1, 4]), ["'symbols' must be whole numbers from 0 to 3"]),
        (probe(symbols=[1, -1]), ["'symbols'"]),
        (probe(symbols=[1, 2.0]), ["'symbols'"]),
        (probe(symbols=[1, True]), ["'symbols'"]),
        (probe(symbols=[1, [2]]), ["'symbols'"]),
        (probe(symbols=[], logprobs=[], prompt=""), ["1 to 10000 symbols, not 0"]),
        (probe(symbols=[1] * 10_001, logprobs=[0] * 10_001), ["1 to 10000 symbols, not 10001"]),
        (probe(logprobs=[-1.0]), ["2 symbols", "1 logprobs"]),
        (probe(prompt="aaa"), ["2 symbols", "prompt of 3 characters"]),
        (probe(logprobs=[-1.0, None]), ["'logprobs' must be finite numbers"]),
        (probe(logprobs=[-1.0, "-1"]), ["'logprobs'"]),
        (probe(logprobs=[-1.0, False]), ["'logprobs'"]),
        (probe(logprobs=[-1.0, 10**400]), ["'logprobs'"]),
        (probe(logprobs=[-1.0, math.nan]), ["nan"]),
        (probe(seed=-1), ["'seed'", "not -1"]),
        (probe(seed=2**63), ["'seed'", "9223372036854775807"]),
        (probe(seed=1.0), ["'seed'"]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_value_that_is_not_supported_is_refused_by_name(tmp_path: Path, changes: dict, words: list[str]) -> None:
    with pytest.raises(ManifestError) as refusal:
        read(tmp_path, GOOD | changes)
    for word in words:
        assert word in str(refusal.value)
    assert len(str(refusal.value)) < 250


NOT_JSON = ["\x00" * 100, "[" * 100_000, '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}", '{"a": ' * 50 + "1" + "}" * 50]


@pytest.mark.parametrize(
    "content", [*NOT_JSON, "", "{", "[1]", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")]
)
def test_a_file_that_is_not_a_manifest_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ManifestError):
        read(tmp_path, content)
    with pytest.raises(ManifestError, match=r"has no assets.extra/manifest.json"):
        Manifest.read(tmp_path / "absent")


def test_a_manifest_must_be_a_regular_file_of_bounded_size(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    os.truncate(path, 2**30)
    with pytest.raises(FileError, match=r"manifest.json has 1073741824 bytes, and at most 33554432 are read"):
        Manifest.read(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FileError, match=r"its assets.extra/manifest.json is not a regular file"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("created", "seconds"),
    [
        ("1970-01-02T00:00:00+00:00", 86400),
        ("1970-01-02T00:00:00Z", 86400),
        ("1970-01-02T01:00:00.5+01:00", 86400.5),
        ("1970-01-02T00:00:00", None),  # without a time zone
        ("yesterday", None),
        (86400, None),
        (None, None),
        ("0001-01-01T00:00:00+23:59", -62135683140),
    ],
)
def test_the_creation_time_is_an_instant_or_unknown(tmp_path: Path, created, seconds: float | None) -> None:
    assert read(tmp_path, GOOD | {"created": created}).created_s == seconds
    assert read(tmp_path, GOOD).created_s is None


UNUSUAL = [None, True, -1, 0, 10**30, 1e308, math.nan, -math.inf, "", "a", "\ud800", "\x85", [], [None], {}, [[[]]]]


def test_any_value_in_any_field_gives_a_manifest_or_an_error(tmp_path: Path) -> None:
    generator = random.Random(1)
    for _ in range(3000):
        fields = json.loads(json.dumps(GOOD))
        container = generator.choice([fields, fields["probe"]])
        key = generator.choice(list(container))
        if isinstance(container[key], list) and generator.random() < 0.7:
            container, key = container[key], generator.randrange(len(container[key]))
        container[key] = generator.choice(UNUSUAL)
        try:
            manifest = read(tmp_path, fields)
        except FileError:
            continue
        json.dumps(manifest.fields, ensure_ascii=False, allow_nan=False).encode()
        assert 0 < manifest.layers <= 128
        assert manifest.symbols > 1
        assert all(0 <= symbol < manifest.symbols for symbol in manifest.probe.symbols)
        assert all(map(math.isfinite, manifest.probe.logprobs))

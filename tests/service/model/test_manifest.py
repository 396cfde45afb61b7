import json
import math
import os
import random
from pathlib import Path

import pytest

from service.model.files import FileError
from service.model.manifest import Manifest, ManifestError
from tests.service.model.manifests import GOOD, read, write


def probe(**changes: object) -> dict[str, object]:
    return {"probe": GOOD["probe"] | changes}  # type: ignore[operator]


BYTES = {"unit": "byte", "normalization": "none", "vocabulary": [None, 10, 32, 255, 0]}


def test_a_manifest_is_read(tmp_path: Path) -> None:
    manifest = read(tmp_path, GOOD | {"of the future": "is kept"})
    assert (manifest.name, manifest.version, manifest.symbols, manifest.state_tensors) == ("tale", 2, 4, 4)
    assert manifest.probe.symbols == (1, 2)
    assert manifest.fields["of the future"] == "is kept"


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
        ({"of the future": {"\udfff": 1}}, ["half of a surrogate pair"]),
        ({"of the future": math.nan}, ["nan", "not a finite number"]),
        ({"of the future": [-math.inf]}, ["-inf", "not a finite number"]),
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
def test_what_is_not_understood_is_refused_by_name(tmp_path: Path, changes: dict, words: list[str]) -> None:
    with pytest.raises(ManifestError) as refusal:
        read(tmp_path, GOOD | changes)
    for word in words:
        assert word in str(refusal.value)
    assert len(str(refusal.value)) < 250


NOT_JSON = ["\x00" * 100, "[" * 100_000, '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}", '{"a": ' * 50 + "1" + "}" * 50]


@pytest.mark.parametrize(
    "content", [*NOT_JSON, "", "{", "[1]", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")]
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ManifestError):
        read(tmp_path, content)
    with pytest.raises(ManifestError, match=r"has no assets.extra/manifest.json"):
        Manifest.read(tmp_path / "absent")


def a_folder(path: Path) -> None:
    path.mkdir()


def a_sparse_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


def a_link_out_of_the_version(path: Path) -> None:
    path.symlink_to(write(path.parents[2], GOOD))


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "is not a regular file"),
        (a_folder, "is not a regular file"),
        (a_sparse_file, "has 1073741824 bytes, and at most 33554432 are read"),
        (a_link_out_of_the_version, "is a link out of the version's folder"),
        (a_device, "is a link out of the version's folder"),
        (a_link_to_itself, "cannot be read"),
    ],
)
def test_a_manifest_that_is_no_file_of_the_version_is_refused_at_once(tmp_path: Path, make, words: str) -> None:
    (tmp_path / "1/assets.extra").mkdir(parents=True)
    make(tmp_path / "1/assets.extra/manifest.json")
    with pytest.raises(FileError, match=f"its assets.extra/manifest.json {words}"):
        Manifest.read(tmp_path / "1")


def test_links_within_a_version_and_to_a_version_are_followed(tmp_path: Path) -> None:
    # As Kubernetes mounts a volume: a link to a link to the file.
    (tmp_path / "elsewhere/..of-today/assets.extra").mkdir(parents=True)
    write(tmp_path / "elsewhere/..of-today", GOOD)
    (tmp_path / "elsewhere/..data").symlink_to("..of-today")
    (tmp_path / "elsewhere/assets.extra").symlink_to("..data/assets.extra")
    (tmp_path / "2").symlink_to("elsewhere")
    assert Manifest.read(tmp_path / "2").version == 2


@pytest.mark.parametrize(
    ("created", "seconds"),
    [
        ("1970-01-02T00:00:00+00:00", 86400),
        ("1970-01-02T00:00:00Z", 86400),
        ("1970-01-02T01:00:00.5+01:00", 86400.5),
        ("1970-01-02T00:00:00", None),  # in no time zone
        ("yesterday", None),
        (86400, None),
        (None, None),
        ("0001-01-01T00:00:00+23:59", -62135683140),
    ],
)
def test_when_a_version_was_created_is_an_instant_or_unknown(tmp_path: Path, created, seconds: float | None) -> None:
    assert read(tmp_path, GOOD | {"created": created}).created_s == seconds
    assert read(tmp_path, GOOD).created_s is None


STRANGE = [None, True, -1, 0, 10**30, 1e308, math.nan, -math.inf, "", "a", "\ud800", "\x85", [], [None], {}, [[[]]]]


def test_any_value_in_any_field_gives_a_manifest_or_a_sentence(tmp_path: Path) -> None:
    generator = random.Random(1)
    for _ in range(3000):
        fields = json.loads(json.dumps(GOOD))
        place = generator.choice([fields, fields["probe"]])
        name = generator.choice(list(place))
        if isinstance(place[name], list) and generator.random() < 0.7:
            place, name = place[name], generator.randrange(len(place[name]))
        place[name] = generator.choice(STRANGE)
        try:
            manifest = read(tmp_path, fields)
        except FileError:
            continue
        json.dumps(manifest.fields, ensure_ascii=False, allow_nan=False).encode()
        assert 0 < manifest.layers <= 128
        assert manifest.symbols > 1
        assert all(0 <= symbol < manifest.symbols for symbol in manifest.probe.symbols)
        assert all(map(math.isfinite, manifest.probe.logprobs))

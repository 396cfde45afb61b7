import json
from pathlib import Path

import pytest

from service.artifact.manifest import Manifest, ManifestError

GOOD = {
    "format": 1,
    "name": "tale",
    "version": 2,
    "unit": "char",
    "normalization": "NFC",
    "vocabulary": [None, "a", "é", "\n"],
    "cell": "lstm",
    "dtype": "float32",
    "layers": 2,
    "units": 8,
    "probe": {"prompt": "a", "seed": 1, "symbols": [1, 2], "logprobs": [-1.0, -2.0]},
}
BYTES = {"unit": "byte", "normalization": "none", "vocabulary": [None, 10, 32, 255, 0]}


def read(folder: Path, fields: object) -> Manifest:
    path = folder / "manifest.json"
    path.write_text(fields if isinstance(fields, str) else json.dumps(fields))
    return Manifest.read(path)


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
        ({"format": 2}, ["format 2", "knows 1"]),
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
    ],
    ids=str,
)
def test_what_is_not_understood_is_refused_by_name(tmp_path: Path, changes: dict, words: list[str]) -> None:
    with pytest.raises(ManifestError) as refusal:
        read(tmp_path, GOOD | changes)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ManifestError):
        read(tmp_path, content)
    with pytest.raises(ManifestError, match=r"has no assets.extra/manifest.json"):
        Manifest.read(tmp_path / "absent.json")

import json
from pathlib import Path

import pytest

from service.artifact.manifest import Manifest, ManifestError
from service.artifact.text import TextCodec

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


def read(folder: Path, fields: object) -> Manifest:
    path = folder / "manifest.json"
    path.write_text(fields if isinstance(fields, str) else json.dumps(fields))
    return Manifest.read(path)


def test_a_manifest_is_read(tmp_path: Path) -> None:
    manifest = read(tmp_path, GOOD | {"of the future": "is kept"})
    assert (manifest.name, manifest.version, manifest.symbols, manifest.state_tensors) == ("tale", 2, 4, 4)
    assert manifest.probe.symbols == (1, 2)
    assert manifest.fields["of the future"] == "is kept"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, ["format 2", "knows 1"]),
        ({"unit": "byte"}, ["unit 'byte'", "'char'"]),
        ({"cell": "transformer"}, ["cell 'transformer'", "'lstm'"]),
        ({"normalization": None}, ["normalization None"]),
        ({"layers": "two"}, ["'layers'", "int", "'two'"]),
        ({"layers": True}, ["'layers'"]),
        ({"vocabulary": ["a", "b"]}, ["null and then single characters"]),
        ({"vocabulary": [None, "ab"]}, ["single characters"]),
        ({"vocabulary": [None, "a", "a"]}, ["twice"]),
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


def test_text_is_normalised_encoded_and_decoded_by_the_manifest(tmp_path: Path) -> None:
    text = TextCodec(read(tmp_path, GOOD))
    assert text.normalize("e\u0301") == "é"
    assert text.encode("aé\n?").tolist() == [1, 2, 3, 0]
    assert text.decode([2, 1]) == "éa"
    assert TextCodec(read(tmp_path, GOOD | {"normalization": "none"})).normalize("e\u0301") == "e\u0301"

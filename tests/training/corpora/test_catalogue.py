"""The catalogue of the blog post's corpora."""

import dataclasses
import hashlib
import re
import urllib.parse
import zipfile
from pathlib import Path

import pytest

from training.corpora.catalogue import CATALOGUE, Entry

CORPORA = Path(__file__).parents[4] / "shared" / "corpora"
PRESETS = {"names", "paul-graham", "shakespeare", "wikipedia", "latex", "linux", "tiny"}
DOCUMENT = Path(__file__).parents[3] / "docs" / "corpora.md"

entries = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE.keys())


def test_every_corpus_of_the_post_has_an_entry_with_its_presets_name() -> None:
    assert set(CATALOGUE) == PRESETS
    assert all(entry.name == name for name, entry in CATALOGUE.items())


def test_no_two_corpora_share_a_file() -> None:
    assert len({entry.file for entry in CATALOGUE.values()}) == len(CATALOGUE)


@entries
def test_an_entry_has_licence_origin_and_address(entry: Entry) -> None:
    assert entry.licence
    assert entry.origin
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", entry.file)
    if entry.url is None:
        assert entry.note, "a corpus without an address needs instructions"
    else:
        assert urllib.parse.urlsplit(entry.url).scheme in ("http", "https")
    assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert entry.sha256 is None or entry.bytes, "a checksum needs a size"


@entries
def test_every_corpus_is_documented_with_its_file(entry: Entry) -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert f"`{entry.name}`" in document
    assert entry.url is None or f"corpora/{entry.file}" in document


@pytest.mark.parametrize("name", ["tiny", "shakespeare"])
def test_the_real_file_is_recognised(name: str) -> None:
    file = CORPORA / CATALOGUE[name].file
    if not file.exists():
        pytest.skip("needs ../shared/corpora")
    assert CATALOGUE[name].difference(file) is None


def test_the_command_of_the_note_unpacks_the_names_without_their_readme(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "names.zip", "w") as archive:
        for member in ("names/README", "names/female.txt", "names/male.txt"):
            archive.writestr(member, "x")
    zipfile.main(["-e", str(tmp_path / "names.zip"), str(tmp_path)])
    pattern = re.search(r"'corpora/(\S+)'", CATALOGUE["names"].note)
    assert pattern
    assert sorted(path.name for path in tmp_path.glob(pattern[1])) == ["female.txt", "male.txt"]


def entry_of(content: bytes) -> Entry:
    return Entry(
        name="tale",
        file="tale.txt",
        url="http://localhost/",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="none",
        origin="a test",
    )


def test_another_byte_or_size_is_a_difference(tmp_path: Path) -> None:
    entry, file = entry_of(b"once upon"), tmp_path / "tale.txt"
    file.write_bytes(b"once upon")
    assert entry.difference(file) is None
    file.write_bytes(b"once upOn")
    assert "sha256" in str(entry.difference(file))
    file.write_bytes(b"once upon a")
    assert entry.difference(file) == "it has 11 bytes, not 9"


def test_without_a_checksum_any_file_but_an_empty_one_is_accepted(tmp_path: Path) -> None:
    entry, file = dataclasses.replace(entry_of(b"once"), bytes=None, sha256=None), tmp_path / "tale.txt"
    file.write_bytes(b"twice")
    assert entry.difference(file) is None
    assert "no checksum is known" in entry.verification
    file.write_bytes(b"")
    assert entry.difference(file) == "it is empty"

"""The received bytes of an unfinished download."""

from pathlib import Path

import pytest

from training.corpora.partial import Partial

URL = "http://localhost/tale.txt"


def partial_of(folder: Path, url: str = URL) -> Partial:
    return Partial(folder / "tale.txt", url)


def test_bytes_can_be_resumed_with_their_validator(tmp_path: Path) -> None:
    partial = partial_of(tmp_path)
    assert (partial.bytes, partial.validator()) == (0, None)
    partial.begin('"1"')
    partial.file.write_bytes(b"once")
    assert (partial_of(tmp_path).bytes, partial_of(tmp_path).validator()) == (4, '"1"')


def test_bytes_without_a_validator_or_of_another_address_cannot_be_resumed(tmp_path: Path) -> None:
    partial_of(tmp_path).begin(None)
    partial_of(tmp_path).file.write_bytes(b"once")
    assert partial_of(tmp_path).bytes == 0
    partial_of(tmp_path).begin('"1"')
    partial_of(tmp_path).file.write_bytes(b"once")
    assert partial_of(tmp_path, URL + "2").bytes == 0


@pytest.mark.parametrize("content", ["", "[1", "[1]", "{}", '{"url": "http://localhost/tale.txt"}'])
def test_damaged_metadata_is_no_validator(tmp_path: Path, content: str) -> None:
    partial_of(tmp_path).metadata.write_text(content)
    assert partial_of(tmp_path).validator() is None


def test_a_new_version_discards_the_received_bytes(tmp_path: Path) -> None:
    partial = partial_of(tmp_path)
    partial.begin('"1"')
    partial.file.write_bytes(b"once")
    partial.begin('"2"')
    assert (partial.bytes, partial.validator(), partial.file.exists()) == (0, '"2"', False)


def test_a_finished_file_gets_its_name_and_leaves_no_other(tmp_path: Path) -> None:
    partial = partial_of(tmp_path)
    partial.begin('"1"')
    partial.file.write_bytes(b"once upon")
    partial.finish()
    assert list(tmp_path.iterdir()) == [tmp_path / "tale.txt"]
    assert (tmp_path / "tale.txt").read_bytes() == b"once upon"

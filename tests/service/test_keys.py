"""Key files of any editor, and files that are refused without a word of their content."""

import codecs
import os
from pathlib import Path

import pytest

from service.keys import KeyFileError, read_keys


def keys_in(tmp_path: Path, content: bytes) -> frozenset[str]:
    (tmp_path / "keys").write_bytes(content)
    return read_keys(tmp_path / "keys")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_key_file_may_come_from_any_editor(tmp_path: Path, encoding: str, line_end: str) -> None:
    text = line_end.join(["first-key", "", "# two: for the \u2028 tests, é", "\tsecond  ", "third"])
    assert keys_in(tmp_path, text.encode(encoding)) == {"first-key", "second", "third"}
    big_endian = codecs.BOM_UTF16_BE + text.encode("utf-16-be")
    assert keys_in(tmp_path, big_endian) == {"first-key", "second", "third"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\n# nothing\n", "holds no key"),
        (b"good\nsecret k\n", "line 2 is not a key"),
        ("good\nsecret-ké\n".encode(), "line 2 is not a key"),
        ("good\n\nsecret\u2028k".encode(), "line 3 is not a key"),
        (b"secret" * 50, "line 1 is not a key"),
        ("good\nsecret-ké\n".encode("latin-1"), "line 2 is neither UTF-8 nor UTF-16"),
        ("good\nsecret".encode("utf-16-le"), "line 1 is not a key"),
        ("good\nsecret".encode("utf-16")[:-1], "line 2 is neither UTF-8 nor UTF-16"),
        ("secret".encode("utf-32"), "line 1 is not a key"),
        (b"secret\n" * 200_000, "longer than 1,000,000 bytes"),
        (b"\n".join(b"secret%d" % number for number in range(1001)), "holds 1,001 keys, more than 1,000"),
    ],
)
def test_an_invalid_key_file_is_refused_without_quoting_a_key(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(KeyFileError) as refusal:
        keys_in(tmp_path, content)
    assert words in str(refusal.value)
    assert str(refusal.value).startswith(("which ", "whose "))
    assert "secret" not in str(refusal.value)


def test_a_key_file_must_be_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "keys")
    with pytest.raises(KeyFileError, match="not a regular file"):
        read_keys(tmp_path / "keys")
    with pytest.raises(KeyFileError, match="cannot be read: No such file"):
        read_keys(tmp_path / "absent")

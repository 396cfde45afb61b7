"""Key files of any editor, files that are refused without quoting them, and files that change."""

import codecs
import hmac
import logging
import os
from pathlib import Path

import pytest

from service.keys import KeyFile, KeyFileError, read_keys


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


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with one key; its changes are seen at once."""
    monkeypatch.setattr("service.keys.SECONDS_BETWEEN_CHECKS", 0)
    path = tmp_path / "keys"
    path.write_text("old-secret\n")
    return path


def replace(path: Path, content: str) -> None:
    """Put a new file in the place of one, as tools that rotate secrets do."""
    path.with_name("new").write_text(content)
    path.with_name("new").rename(path)


def test_only_a_complete_key_matches(path: Path) -> None:
    keys = KeyFile(path)
    assert keys.match("old-secret") == "old-secret"
    for other in ("", "old-secre", "old-secret ", "old-secretx", "OLD-SECRET", "é"):
        assert keys.match(other) is None


def test_every_key_is_compared_in_constant_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("first\nsecond-and-longer\nthird\n")
    keys = KeyFile(path)
    compared: list[tuple[int, int]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for sent in ("first", "third", "x", "x" * 10_000):
        compared.clear()
        keys.match(sent)
        assert compared == [(32, 32)] * 3


def test_a_changed_file_is_read_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = KeyFile(path)
    replace(path, "new-secret\nsecret-2\n")
    with caplog.at_level(logging.INFO):
        assert [keys.match(key) for key in ("new-secret", "secret-2", "old-secret")] == ["new-secret", "secret-2", None]
    assert caplog.messages == [f"The key file {path} has changed and was read again: it holds 2 keys."]


def test_a_broken_or_missing_file_keeps_the_previous_keys_and_is_logged_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = KeyFile(path)
    for change in (lambda: replace(path, "secret k\n"), path.unlink):
        change()
        assert [keys.match("old-secret") for _ in range(3)] == ["old-secret"] * 3
    broken, missing = caplog.messages
    assert broken.startswith(f"The key file {path}, whose line 1 is not a key")
    assert missing.startswith(f"The key file {path}, which cannot be read: No such file or directory, is not used")
    assert "secret" not in caplog.text.replace(str(path), "")
    replace(path, "new-secret\n")
    assert [keys.match(key) for key in ("new-secret", "old-secret")] == ["new-secret", None]


def test_the_file_is_not_checked_for_each_request(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    monkeypatch.setattr("service.keys.SECONDS_BETWEEN_CHECKS", 1)
    keys = KeyFile(path)
    replace(path, "new-secret\n")
    now_s += 0.9
    assert keys.match("old-secret") == "old-secret"
    now_s += 0.2
    assert keys.match("old-secret") is None

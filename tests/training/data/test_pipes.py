"""Standard input and named pipes."""

import bz2
import gzip
import io
import lzma
import os
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from training.data.pipes import Peeked, pipe, stdin
from training.errors import InputError

TEXT = "".join(f"line {number}: naïve 漢字\n" for number in range(3000)).encode()


def read_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> bytes:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return b"".join(stdin().blocks())


def tar_archive() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return content.getvalue()


def zip_archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.txt", TEXT)
    return content.getvalue()


@pytest.mark.parametrize("data", [TEXT, b"short", b""])
def test_stdin_is_read_once(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    assert read_stdin(monkeypatch, data) == data
    assert (stdin().name, stdin().repeatable) == ("stdin", False)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_stream_is_decompressed(monkeypatch: pytest.MonkeyPatch, pack) -> None:
    assert read_stdin(monkeypatch, pack(TEXT)) == TEXT
    with pytest.raises(InputError, match=r"--corpus - \(stdin\) cannot be read"):
        read_stdin(monkeypatch, pack(TEXT)[:-50])


@pytest.mark.parametrize(
    ("data", "kind"),
    [(tar_archive(), "tar"), (gzip.compress(tar_archive()), "tar"), (zip_archive(), "zip")],
    ids=["tar", "tar.gz", "zip"],  # gzip's header has the time: each test process would make another id of the bytes
)
def test_an_archive_on_stdin_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, data: bytes, kind: str
) -> None:
    with pytest.raises(InputError) as refusal:
        read_stdin(monkeypatch, data)
    assert str(refusal.value) == (
        f"--corpus - (stdin) cannot be read: it is a {kind} archive, which can only be read from a file: "
        "save it and name the file."
    )


def test_a_closed_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="stdin is closed"):
        list(stdin().blocks())


def test_a_named_pipe_is_read_like_stdin(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(gzip.compress(TEXT),))
    writer.start()
    source = pipe(path)
    assert (source.name, source.display_path, source.repeatable) == ("pipe", str(path), False)
    assert b"".join(source.blocks()) == TEXT
    writer.join()


class Trickle:
    """A stream that returns at most three bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self._data.read(min(size, 3))


def test_the_first_bytes_are_known_although_a_stream_returns_few_at_a_time() -> None:
    stream = Peeked(Trickle(TEXT[:9000]))
    assert stream.head == TEXT[:8192]
    assert stream.read(5) == TEXT[:5]
    assert b"".join(iter(lambda: stream.read(100), b"")) == TEXT[5:9000]

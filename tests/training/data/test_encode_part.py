"""One part of a text, encoded on its own."""

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.texts import config, write
from training.data.encode_part import encode_part, settings_of
from training.data.selection import Selection
from training.data.storage import Folder
from training.errors import InputError


def test_a_part_has_its_own_ids_and_counts(tmp_path: Path) -> None:
    text = write(tmp_path / "texts", "aé\r\nb\n", "cccccc")
    part, notes = encode_part([text], config(), str(tmp_path / "parts"), part=0, parts=2)
    ids = np.fromfile(tmp_path / "parts" / part.file, np.uint8)
    assert "".join(chr(part.points[id_]) for id_ in ids) == "aé\nb\n"
    assert dict(zip(map(chr, part.points), part.counts, strict=True)) == {"a": 1, "é": 1, "\n": 2, "b": 1}
    assert (part.symbols, part.bytes, [source["path"] for source in part.sources]) == (5, 5, ["000.txt"])
    assert notes == ("Line ends became LF: 1 CR LF.",)
    part, _ = encode_part([text], config(), str(tmp_path / "parts"), part=1, parts=2)
    assert (part.symbols, len(part.points)) == (6, 1)


def test_a_part_with_many_symbols_has_wide_ids(tmp_path: Path) -> None:
    text = "".join(chr(0x3400 + number) for number in range(300))
    part, _ = encode_part([write(tmp_path / "texts", text)], config(), str(tmp_path / "parts"), part=0, parts=1)
    assert (part.dtype, part.bytes) == (np.uint16, 600)


def test_a_part_that_is_encoded_again_replaces_its_files(tmp_path: Path) -> None:
    for content in ("first\n" * 9, "other\n" * 8):
        text = write(tmp_path / "texts", content)
        for part in range(2):
            encode_part([text], config(), str(tmp_path / "parts"), part=part, parts=2)
    assert len(os.listdir(tmp_path / "parts")) == 4


def test_a_process_that_ends_before_the_record_leaves_the_earlier_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, to = write(tmp_path / "texts", "first\n" * 9), str(tmp_path / "parts")
    part, _ = encode_part([text], config(), to, part=0, parts=1)
    ids = (tmp_path / "parts" / part.file).read_bytes()
    write(tmp_path / "texts", "other text\n" * 8)
    upload = Folder.upload

    def ended(folder: Folder, path: str, file: Path) -> None:
        if path.endswith(".json"):
            raise KeyboardInterrupt
        upload(folder, path, file)

    monkeypatch.setattr(Folder, "upload", ended)
    with pytest.raises(KeyboardInterrupt):
        encode_part([text], config(), to, part=0, parts=1)
    assert part.file in (tmp_path / "parts/part-00000-of-00001.json").read_text()
    assert (tmp_path / "parts" / part.file).read_bytes() == ids


def test_only_the_files_of_the_share_are_read(tmp_path: Path) -> None:
    text = write(tmp_path / "texts", "text\n" * 50, b"\x89PNG\r\n\x1a\n" + bytes(300))
    part, _ = encode_part([text], config(), str(tmp_path / "parts"), part=0, parts=4)
    assert part.symbols > 0
    with pytest.raises(InputError, match=r"001\.txt is a PNG image"):
        encode_part([text], config(), str(tmp_path / "parts"), part=1, parts=4)


def test_a_part_may_have_unreadable_files_only(tmp_path: Path) -> None:
    text, skipping = (
        write(tmp_path / "texts", b"\x89PNG\r\n\x1a\n" + bytes(300), "text\n" * 50),
        Selection(skip_unreadable=True),
    )
    part, notes = encode_part([text], config(), str(tmp_path / "parts"), part=0, parts=2, selection=skipping)
    assert part.symbols == 0
    assert "000.txt is a PNG image" in "\n".join(notes)


def test_a_pipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text")))
    with pytest.raises(InputError, match=r"- \(stdin\) can be read only once, and every part reads it"):
        encode_part(["-"], config(), str(tmp_path / "parts"), part=0, parts=4)


def test_settings_are_those_that_decide_the_symbols() -> None:
    assert settings_of(config(encoding="UTF8")) == {"unit": "char", "normalization": "NFC", "encoding": "utf-8"}
    assert settings_of(config(encoding="auto"))["encoding"] == "auto"
    assert settings_of(config(unit="byte", encoding="klingon")) == {"unit": "byte"}


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--encoding klingon"):
        encode_part([write(tmp_path, "text")], config(encoding="klingon"), str(tmp_path / "parts"), part=0, parts=4)

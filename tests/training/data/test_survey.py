"""Every unreadable file of a corpus is reported at once, with a guess of its encoding."""

import random
import zipfile
from pathlib import Path

import pytest

from tests.training.data.texts import config
from training.data.selection import Selection
from training.data.survey import Survey, survey
from training.errors import InputError

FRENCH = "Plain first line\n" * 11 + "Les élèves étaient là… l’école « où » il pleuvait, 10 €.\n" * 4
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n" * 20
RUSSIAN = "Кот сидел на ковре и смотрел в окно.\n" * 20
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + random.Random(1).randbytes(300)


def fill(folder: Path, **contents: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


def read(path: Path, encoding: str = "utf-8", unit: str = "char", **selection) -> Survey:
    return survey([str(path)], config(encoding=encoding, unit=unit), Selection(**selection))


def refusal(path: Path, encoding: str = "utf-8", **selection) -> str:
    with pytest.raises(InputError) as refused:
        read(path, encoding, **selection)
    return str(refused.value)


def names(found: Survey) -> list[str]:
    return [source.name for source in found.sources]


def text(found: Survey) -> str:
    return "".join(part for reader in found.readers for part in type(reader)(reader.source).text("utf-8"))


def test_readable_files_are_read_to_their_end(tmp_path: Path) -> None:
    found = read(fill(tmp_path / "texts", a__txt="naïve".encode(), b__txt=b"text"))
    assert [(reader.bytes, reader.chars) for reader in found.readers] == [(6, 5), (4, 4)]
    assert (found.faults, found.notes) == ([], [])
    assert text(found) == "naïvetext"


def test_every_unreadable_file_is_reported_with_its_kind(tmp_path: Path) -> None:
    folder = fill(tmp_path / "texts", a__txt=b"text\n" * 50, logo__png=PNG, fr__txt=FRENCH.encode("cp1252"))
    fill(folder, blob=bytes(range(256)), z__zst=b"\x28\xb5\x2f\xfd" + bytes(9), wrong__gz=b"no gzip")
    with zipfile.ZipFile(folder / "letter.docx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<w:document/>")
    said = refusal(folder)
    assert "6 of 7 files cannot be read as text" in said
    for words in (
        "logo.png is a PNG image",
        "letter.docx is a Word document",
        "blob is a binary file",
        "z.zst is a Zstandard file",
        "wrong.gz cannot be read: its name ends in .gz",
        "fr.txt is not UTF-8: byte 0xe9 at offset 191; it looks like cp1252",
        "--encoding cp1252 would read its line 12 as 'Les élèves étaient là…",
        "--skip-unreadable",
    ):
        assert words in said
    assert "latin" not in said


def test_one_unreadable_file_is_one_line(tmp_path: Path) -> None:
    path = fill(tmp_path / "texts", logo__png=PNG) / "logo.png"
    assert refusal(path) == f"--corpus {path} is a PNG image. --unit byte reads the bytes of any file."


def test_reading_bytes_is_no_advice_for_files_whose_bytes_cannot_be_read(tmp_path: Path) -> None:
    folder = fill(tmp_path / "texts", a__gz=b"no gzip")
    assert "--unit byte" not in refusal(folder / "a.gz")
    assert "--unit byte" in refusal(fill(folder, logo__png=PNG))


def test_a_long_list_is_cut_after_ten_and_texts_come_first(tmp_path: Path) -> None:
    folder = fill(tmp_path / "texts", **{f"{number:02}__png": PNG for number in range(14)})
    fill(folder, z__txt=FRENCH.encode("cp1252"))
    said = refusal(folder)
    assert "14 × PNG image" in said
    assert "and 5 more" in said
    assert "z.txt is not UTF-8" in said


def test_bytes_are_read_of_any_file(tmp_path: Path) -> None:
    found = read(fill(tmp_path / "texts", logo__png=PNG), unit="byte")
    assert [(reader.bytes, reader.chars) for reader in found.readers] == [(len(PNG), 0)]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_a_binary_file_is_not_text_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    folder = fill(tmp_path / "texts", logo__png=PNG, a__txt=("text\n" * 50).encode(encoding))
    assert "logo.png is a PNG image" in refusal(folder, encoding)
    assert names(read(folder, encoding, skip_unreadable=True)) == ["a.txt"]


def test_skipped_files_are_listed(tmp_path: Path) -> None:
    folder = fill(tmp_path / "texts", a__txt=b"text\n" * 50, logo__png=PNG)
    found = read(folder, skip_unreadable=True)
    assert names(found) == ["a.txt"]
    assert found.notes[0] == "Left out because of --skip-unreadable: 1 × PNG image:"
    assert "logo.png is a PNG image" in found.notes[1]
    (folder / "a.txt").unlink()
    assert "logo.png is a PNG image" in refusal(folder, skip_unreadable=True)


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (FRENCH, "cp1252"),
        (JAPANESE, "cp932"),
        (RUSSIAN, "koi8_r"),
        ("plain text\n" * 20, "utf-16-be"),
        (RUSSIAN, "utf-32"),
    ],
)
def test_the_suggested_encoding_reads_the_text(tmp_path: Path, content: str, encoding: str) -> None:
    path = fill(tmp_path / "texts", t__txt=content.encode(encoding)) / "t.txt"
    assert f"--encoding {encoding} would read its line" in refusal(path)
    assert text(read(path, encoding)) == content


def test_auto_reads_each_file_in_its_guessed_encoding_and_notes_it(tmp_path: Path) -> None:
    folder = fill(tmp_path / "texts", a__txt=FRENCH.encode("cp1252"), b__txt=JAPANESE.encode("shift_jis"))
    fill(folder, c__txt=RUSSIAN.encode())
    assert "--encoding auto" in refusal(folder)
    found = read(folder, "auto")
    assert text(found) == FRENCH + JAPANESE + RUSSIAN
    said = "\n".join(found.notes)
    assert "a.txt is read as cp1252: its line 12 is 'Les élèves" in said
    assert "b.txt is read as cp932: its line 1 is '吾輩" in said
    assert "c.txt" not in said


def test_a_probably_wrong_encoding_is_noted(tmp_path: Path) -> None:
    folder = fill(tmp_path / "texts", a__txt=FRENCH.encode("cp1252"), b__txt=RUSSIAN.encode())
    said = "\n".join(read(folder, "latin-1").notes)
    assert "a.txt holds" in said
    assert "--encoding cp1252" in said
    assert "b.txt looks like UTF-8, but is read as latin-1" in said
    assert read(folder / "b.txt", "utf-8-sig").notes == []


def test_an_unknown_encoding_is_refused_before_the_files(tmp_path: Path) -> None:
    assert "--encoding klingon is not an encoding" in refusal(tmp_path / "missing", "klingon")

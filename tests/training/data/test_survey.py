"""All files of a corpus that are no text are told at once, with a proposal; which files are read can be chosen."""

import os
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.training.data.texts import config
from training.data.corpus import Corpus
from training.data.prepare import prepare
from training.data.selection import Selection
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


def read(path: Path, encoding: str = "utf-8", **selection) -> Corpus:
    """The corpus that this path makes."""
    folder = path.parent / "encoded"
    return prepare([str(path)], config(encoding=encoding), folder, selection=Selection(**selection))


def refusal(path: Path, encoding: str = "utf-8", **selection) -> str:
    with pytest.raises(InputError) as refused:
        read(path, encoding, **selection)
    return str(refused.value)


def names(corpus: Corpus) -> list[str]:
    return [file.path for file in corpus.files]


def test_every_unreadable_file_is_told_at_once_with_what_it_is(tmp_path: Path) -> None:
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


def test_a_long_list_is_cut_after_ten_and_proposals_come_first(tmp_path: Path) -> None:
    folder = fill(tmp_path / "texts", **{f"{number:02}__png": PNG for number in range(14)})
    fill(folder, z__txt=FRENCH.encode("cp1252"))
    said = refusal(folder)
    assert "14 × PNG image" in said
    assert "and 5 more" in said
    assert "z.txt is not UTF-8" in said


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_a_binary_is_none_in_an_encoding_that_takes_all_bytes(tmp_path: Path, encoding: str) -> None:
    folder = fill(tmp_path / "texts", logo__png=PNG, a__txt=("text\n" * 50).encode(encoding))
    assert "logo.png is a PNG image" in refusal(folder, encoding)
    assert names(read(folder, encoding, skip_unreadable=True)) == ["a.txt"]


def test_what_is_skipped_is_listed(tmp_path: Path) -> None:
    folder = fill(tmp_path / "texts", a__txt=b"text\n" * 50, logo__png=PNG)
    corpus = read(folder, skip_unreadable=True)
    assert names(corpus) == ["a.txt"]
    assert "logo.png is a PNG image" in "\n".join(corpus.notes)
    assert read(folder, skip_unreadable=True).notes == corpus.notes  # of the encoding that is there already, too
    (folder / "a.txt").unlink()
    assert "logo.png is a PNG image" in refusal(folder, skip_unreadable=True)


@pytest.mark.parametrize(
    ("text", "encoding", "proposed"),
    [
        (FRENCH, "cp1252", "cp1252"),
        ("naïve", "latin-1", "cp1252"),
        ("“Quotes” – and dashes…", "cp1252", "cp1252"),
        (JAPANESE, "shift_jis", "cp932"),
        (JAPANESE, "euc_jp", "euc_jp"),
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8_r", "koi8_r"),
        ("plain text\n" * 20, "utf-16", "utf-16"),
        ("plain text\n" * 20, "utf-16-le", "utf-16-le"),
        ("plain text\n" * 20, "utf-16-be", "utf-16-be"),
    ],
)
def test_an_encoding_is_proposed_and_the_proposal_works(tmp_path: Path, text, encoding, proposed) -> None:
    path = fill(tmp_path / "texts", t__txt=text.encode(encoding)) / "t.txt"
    assert f"--encoding {proposed} would read its line" in refusal(path)
    if len(text) > 100:
        corpus = read(path, proposed)
        assert corpus.text(0, len(corpus)) == text


def test_auto_reads_each_file_as_what_it_looks_like_and_says_so(tmp_path: Path) -> None:
    folder = fill(tmp_path / "texts", a__txt=FRENCH.encode("cp1252"), b__txt=JAPANESE.encode("shift_jis"))
    fill(folder, c__txt=RUSSIAN.encode())
    assert "--encoding auto" in refusal(folder)
    corpus = read(folder, "auto")
    assert corpus.text(0, len(corpus)) == FRENCH + JAPANESE + RUSSIAN
    said = "\n".join(corpus.notes)
    assert "a.txt is read as cp1252: its line 12 is 'Les élèves" in said
    assert "b.txt is read as cp932: its line 1 is '吾輩" in said
    assert "c.txt" not in said


def test_text_that_is_read_in_a_wrong_encoding_without_an_error_is_remarked(tmp_path: Path) -> None:
    folder = fill(tmp_path / "texts", a__txt=FRENCH.encode("cp1252"), b__txt=RUSSIAN.encode())
    said = "\n".join(read(folder, "latin-1").notes)
    assert "a.txt holds" in said
    assert "--encoding cp1252" in said
    assert "b.txt looks like UTF-8, but is read as latin-1" in said


def test_include_and_exclude_choose_by_name_or_by_path(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    for name in ("a.txt", "a.md", "sub/b.txt", "sub/deep/c.txt", "node/d.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text\n" * 20)

    def chosen(*include: str, exclude: tuple[str, ...] = ()) -> list[str]:
        return names(read(folder, include=include, exclude=exclude))

    assert chosen("*.txt") == ["a.txt", "d.txt", "b.txt", "c.txt"]
    assert chosen("*.txt", exclude=("node",)) == ["a.txt", "b.txt", "c.txt"]
    assert chosen("sub") == ["b.txt", "c.txt"]
    assert chosen("sub/*.txt") == ["b.txt"]
    assert chosen("sub/**/*.txt") == ["b.txt", "c.txt"]
    assert chosen("/*.txt") == ["a.txt"]
    assert "(--include applied)" in refusal(folder, include=("*.rst",))


def test_a_tar_is_read_by_its_first_bytes_and_only_its_regular_files(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("bbbb\n" * 20)
    (tmp_path / "a.txt").write_text("aaaa\n" * 20)
    for path, mode in ((tmp_path / "packed", "w:gz"), (tmp_path / "packed.tar", "w")):
        with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
            for name in ("b.txt", "a.txt"):
                archive.add(tmp_path / name, f"../{name}")
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(link)
        corpus = read(path)
        assert names(corpus) == [f"{path.name}/../b.txt", f"{path.name}/../a.txt"]
        assert corpus.text(0, len(corpus)) == "bbbb\n" * 20 + "aaaa\n" * 20
    content = path.read_bytes()
    path.write_bytes(content[:700])
    assert "packed.tar" in refusal(path)


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/far.txt").write_text("far text\n" * 20)
    folder = fill(tmp_path / "texts", near__txt=b"near text\n" * 20)
    (folder / "again.txt").symlink_to("near.txt")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(folder)
    (folder / "self").symlink_to("self")
    (folder / "broken.txt").symlink_to("nowhere")
    for path in (folder, folder / "**"):
        corpus = read(path)
        assert names(corpus) == ["far.txt", "near.txt"]
        said = "\n".join(corpus.notes)
        assert "broken.txt" in said
        assert "self" in said
        assert "already read were left out: 2" in said


def test_a_folder_of_links_alone_has_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text\n" * 20)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/link").symlink_to(tmp_path / "a.txt")
    assert names(read(tmp_path / "texts")) == ["link"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_pattern_tells_an_unreadable_folder_as_a_path_does(tmp_path: Path) -> None:
    folder = fill(tmp_path / "texts", a__txt=b"text\n" * 20)
    (folder / "locked").mkdir()
    (folder / "locked").chmod(0)
    try:
        for path in (folder, folder / "**" / "*.txt", folder / "*" / "*.txt"):
            assert "locked cannot be read: Permission denied" in refusal(path)
        assert names(read(folder / "**" / "*.txt", skip_unreadable=True)) == ["a.txt"]
    finally:
        (folder / "locked").chmod(0o700)

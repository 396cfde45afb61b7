"""Parts that do not belong together are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.data.encoded import encode_all
from tests.training.data.texts import config, write
from training.data.parts import load_parts, location_of_parts
from training.data.sources import sources
from training.data.storage import Folder
from training.errors import InputError

TEXT = "some text\n" * 50


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder of four parts."""
    encode_all(write(tmp_path / "texts", TEXT), config(), tmp_path / "parts", 4)
    return tmp_path / "parts"


def encode_another(parts: Path, number: int, of: int, text: str = TEXT, **changes: str) -> None:
    """Replace one part, or add one of another encoding."""
    aside = parts.parent / "aside"
    encode_all(write(parts.parent / "texts", text), config(**changes), aside, of)
    for old in parts.glob(f"part-{number:05}-of-{of:05}*"):
        old.unlink()
    for path in aside.glob(f"part-{number:05}-*"):
        shutil.copy(path, parts)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_parts_are_loaded_in_order(parts: Path) -> None:
    found = load_parts(Folder(str(parts)))
    assert [(part.part, part.parts) for part in found] == [(number, 4) for number in range(4)]
    assert sum(part.symbols for part in found) == len(TEXT)
    assert {name.suffix for name in parts.iterdir()} == {".ids", ".json"}


CHANGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda parts: (parts / "part-00002-of-00004.json").unlink(), r"lacks part 2 of 4: corpus encode --part 2/4\."),
    (
        lambda parts: [(parts / f"part-0000{number}-of-00004.json").unlink() for number in (1, 3)],
        r"lacks part 1 of 4 and 1 more",
    ),
    (
        lambda parts: shutil.copy(parts / "part-00001-of-00004.json", parts / "part-00002-of-00004.json"),
        r"part-00002-of-00004\.json is a copy of part 1 of 4",
    ),
    (lambda parts: encode_another(parts, 0, 2), r"of several encodings, of 2 and 4 parts each"),
    (
        lambda parts: encode_another(parts, 3, 4, unit="byte"),
        r"Part 3 .* with --unit byte, and part 0 with --unit char",
    ),
    (lambda parts: encode_another(parts, 3, 4, normalization="none"), r"--normalization none .*, and part 0 .* NFC"),
    (lambda parts: encode_another(parts, 3, 4, encoding="cp1252"), r"--encoding cp1252, and part 0 .* utf-8"),
    (lambda parts: encode_another(parts, 3, 4, text=TEXT + "more"), r"Part 3 .* from other files than part 0"),
    (lambda parts: next(parts.glob("part-00001-*.ids")).unlink(), r"part-00001-.*\.ids is missing or was changed"),
    (lambda parts: next(parts.glob("part-00001-*.ids")).write_bytes(b"short"), r"encode part 1 again"),
    (lambda parts: (parts / "part-00001-of-00004.json").write_text("{"), r"00004\.json is damaged"),
    (lambda parts: (parts / "part-00001-of-00004.json").write_text("[]"), r"00004\.json is damaged"),
    (lambda parts: edit(parts / "part-00001-of-00004.json", format=2), r"00004\.json is damaged"),
    (lambda parts: edit(parts / "part-00001-of-00004.json", file="../../secret"), r"00004\.json is damaged"),
    (lambda parts: edit(parts / "part-00001-of-00004.json", symbols=7), r"00004\.json is damaged"),
    (lambda parts: [path.unlink() for path in parts.glob("*.json")], r"holds no record of an encoded part"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=[words for _, words in CHANGES])
def test_parts_that_do_not_belong_together_are_refused(
    parts: Path, change: Callable[[Path], object], words: str
) -> None:
    change(parts)
    with pytest.raises(InputError, match=words) as refusal:
        load_parts(Folder(str(parts)))
    assert "\n" not in str(refusal.value)


def test_a_folder_of_parts_is_recognised(parts: Path) -> None:
    text = str(parts.parent / "texts")
    assert location_of_parts([str(parts)]) == str(parts)
    assert location_of_parts([text, f"{text}/000.txt", "-", "none"]) is None
    with pytest.raises(InputError, match="cannot be joined to other texts"):
        location_of_parts([text, str(parts)])


def test_parts_are_not_read_as_text(parts: Path) -> None:
    for path in (parts, parts / "part-00001-of-00004.json"):
        with pytest.raises(InputError, match="holds encoded parts, which only `train` reads"):
            sources([str(path)])

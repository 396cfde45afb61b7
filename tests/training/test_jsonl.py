"""Files of one JSON object a line: the characters of a line, and invalid lines."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from training import jsonl

# Every character that str.splitlines, Python's text files, JavaScript or a terminal takes for the end of a line.
LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def model_of(fields: dict[str, Any]) -> str:
    return str(fields["model"])


def test_a_line_contains_no_character_that_a_reader_takes_for_its_end() -> None:
    fields = {"text": f"a{LINE_ENDS}b", LINE_ENDS: [LINE_ENDS]}
    line = jsonl.line(fields)
    assert line.splitlines() == [line.removesuffix("\n")]
    assert json.loads(line) == fields


def test_text_in_any_language_is_readable() -> None:
    assert jsonl.line({"sample": "Толстой 紅樓夢 é"}) == '{"sample": "Толстой 紅樓夢 é"}\n'


def test_a_line_is_utf_8_for_any_file_name() -> None:
    line = jsonl.line({"reason": "na\udcefve.txt"})
    assert json.loads(line.encode())["reason"] == "na\udcefve.txt"


def test_numbers_that_json_lacks_become_null() -> None:
    line = jsonl.line(
        {"losses": {"fresh": {"old": math.nan, "new": -math.inf, "characters": 3.0}}, "list": (math.inf,)}
    )
    assert json.loads(line, parse_constant=pytest.fail) == {
        "losses": {"fresh": {"old": None, "new": None, "characters": 3.0}},
        "list": [None],
    }


def test_appended_objects_are_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    assert jsonl.read(path, model_of) == ([], None)
    for name in ("a", f"b{LINE_ENDS}\udcff"):
        jsonl.append(path, {"model": name})
    assert jsonl.read(path, model_of) == (["a", f"b{LINE_ENDS}\udcff"], None)


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b'{"model": "a", "sta', "JSONDecodeError"),
        (b"\xff\xfe", "UnicodeDecodeError"),
        (b"3", "TypeError"),
        (b"{}", "KeyError 'model'"),
        (b"[" * 100_000, "RecursionError"),
    ],
    ids=["incomplete", "not UTF-8", "no object", "empty", "too deep"],
)
def test_an_invalid_line_affects_no_other(tmp_path: Path, damaged: bytes, reason: str) -> None:
    path = tmp_path / "records.jsonl"
    jsonl.append(path, {"model": "a"})
    path.write_bytes(path.read_bytes() + damaged)  # without a line's end, as after a crash
    jsonl.append(path, {"model": "b"})
    records, sentence = jsonl.read(path, model_of)
    assert records == ["a", "b"]
    assert sentence is not None
    assert sentence.startswith(f"{path}, line 2 cannot be read and is left out: {reason}")
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_several_invalid_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"model": "a"}\n\n3\n4\n5\n')
    records, sentence = jsonl.read(path, model_of)
    assert records == ["a"]
    assert str(sentence).startswith(f"{path}, line 3 and 2 more cannot be read and are left out: TypeError")


def test_a_line_with_unescaped_characters_is_read(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps({"model": "a\u2028b\x85"}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert jsonl.read(path, model_of) == (["a\u2028b\x85"], None)


def test_a_warning_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for sentence in ("one is invalid", "one is invalid", "two is invalid"):
            jsonl.warn_once(sentence)
    assert caplog.messages == ["one is invalid", "two is invalid"]

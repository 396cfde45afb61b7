import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.app import PlainJson
from service.http import errors, models, operations
from service.store.store import Store
from tests.service.model.manifests import GOOD, write
from tests.service.store.fakes import Loader


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "tale/2").mkdir(parents=True)
    write(tmp_path / "tale/2", GOOD)
    return Store(tmp_path, None, Loader())


@pytest.fixture
def client(store: Store) -> FlaskClient:
    app = Flask(__name__)
    app.json = PlainJson(app)
    errors.register(app)
    app.register_blueprint(models.blueprint(store))
    app.register_blueprint(operations.blueprint(store, SimpleNamespace(has_begun=False), list))  # type: ignore[arg-type]
    return app.test_client()


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "tale/2/assets.extra/history.jsonl"


def strict(body: bytes) -> dict:
    """Parse JSON without NaN and infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(body.decode(), parse_constant=refuse)


def test_unusual_line_ends_do_not_split_a_line_of_the_history(client: FlaskClient, history: Path) -> None:
    lines = [{"step": 1, "sample": "a\x85b\u2028c\u2029d\x1ce\x0bf\r\ng"}, {"step": 2}]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    history.write_text(text, encoding="utf-8", newline="")
    shown = strict(client.get("/models/tale/2").data)
    assert (shown["history"], shown["history_error"]) == (lines, None)
    history.unlink()
    shown = strict(client.get("/models/tale/2").data)
    assert (shown["history"], shown["history_error"]) == ([], None)


DAMAGED = [
    '{"step": 3, "los',
    "",
    f'{{"loss": {math.nan}}}',
    '{"loss": -1e999}',
    '{"sample": "\\ud800"}',
    "[1]",
    "[" * 100_000,
    "9" * 5000,
    "{" + '"a": {' * 40 + "}" * 41,
    "\x00",
]


@pytest.mark.parametrize("line", DAMAGED, ids=lambda line: line[:20])
def test_damaged_lines_of_a_history_are_left_out_and_counted(client: FlaskClient, history: Path, line: str) -> None:
    history.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}')
    response = client.get("/models/tale/2")
    shown = strict(response.data)
    assert (response.status_code, shown["history"]) == (200, [{"step": 1}, {"step": 2}])
    expected = "1 of the 3 lines of assets.extra/history.jsonl are damaged and left out." if line else None
    assert shown["history_error"] == expected


def test_bytes_that_are_not_utf_8_are_a_damaged_line(client: FlaskClient, history: Path) -> None:
    history.write_bytes(b'{"step": 1}\n\xff\xfe\n')
    assert strict(client.get("/models/tale/2").data)["history"] == [{"step": 1}]


def make_sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**30)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.mkdir, "is not a regular file"),
        (os.mkfifo, "is not a regular file"),
        (make_sparse, "has 1073741824 bytes, and at most 16777216 are read"),
        (lambda path: path.symlink_to("/etc/passwd"), "is a link out of the version's folder"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
)
def test_a_history_that_is_not_a_file_of_the_version_is_not_shown(
    client: FlaskClient, history: Path, make, words: str
) -> None:
    make(history)
    shown = strict(client.get("/models/tale/2").data)
    assert shown["history"] == []
    expected = f"Version tale/2 has no history to show: its assets.extra/history.jsonl {words}"
    assert shown["history_error"].startswith(expected)


def test_an_invalid_manifest_is_404_with_the_reason(client: FlaskClient, tmp_path: Path) -> None:
    for fields in (GOOD | {"corpus": math.nan}, GOOD | {"corpus": "\ud800"}, "[" * 100_000, GOOD | {"layers": 0}):
        write(tmp_path / "tale/2", fields)
        response = client.get("/models/tale/2")
        assert response.status_code == 404
        assert "Version tale/2 is refused: its manifest" in strict(response.data)["error"]["message"]


def test_a_model_without_a_valid_version_is_shown_with_the_reason(
    client: FlaskClient, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "tale/2/broken").touch()
    store.poll()
    reason = "Version tale/2 is refused: its probe fails."
    response = client.get("/readyz")
    assert response.status_code == 503
    assert strict(response.data)["error"]["message"] == (
        f"The default model 'tale' has no valid version in {tmp_path}. {reason}"
    )
    assert strict(client.get("/models/tale/2").data)["error"]["message"] == reason
    assert strict(client.get("/models/tale").data) == {
        "name": "tale",
        "served": None,
        "versions": [{"version": 2, "loaded": False, "refused": "its probe fails"}],
    }

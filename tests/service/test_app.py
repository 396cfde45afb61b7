"""The wired application, with a model that is not loaded by TensorFlow."""

import atexit
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from service import app as module
from service.app import create_app
from service.config import Config
from service.http import page
from service.http.openapi_operations import OPERATIONS
from tests.processes import ROOT
from tests.service.fakes import FakeModel, expected_text
from tests.service.scripted import write_version

START = """
from service.app import create_app
from service.server import logs

logs.configure()
create_app()
"""


@pytest.fixture
def create(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Flask]]:
    """`create_app` on the models of `tmp_path`; its threads end with the test."""
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    monkeypatch.setattr(module, "configure_threads", lambda engines: None)
    monkeypatch.setattr(module, "Model", lambda folder, precision: FakeModel())
    yield lambda **settings: create_app(Config(models=tmp_path, engines=1, **settings))
    for close in reversed(at_exit):
        close()


def test_a_published_model_answers(tmp_path: Path, create: Callable[..., Flask]) -> None:
    (tmp_path / "fake/1").mkdir(parents=True)
    client = create().test_client()
    assert client.get("/readyz").json == {"status": "ready", "model": "fake", "version": 1, "refused": []}
    answer = client.post("/generate", json={"length": 5, "seed": 3, "stream": False})
    assert answer.json["text"] == expected_text("", 5, 3)
    assert list(answer.json)[:3] == ["finish_reason", "text", "seed"], "the fields keep the order of the source"
    assert client.get("/models").json["default"] == "fake"
    assert b"charloom_streams_running" in client.get("/metrics").data


def test_an_empty_store_starts_and_answers_503(create: Callable[..., Flask], caplog: pytest.LogCaptureFixture) -> None:
    client = create().test_client()
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert "/readyz answers 503 until a model is loaded." in caplog.text


@pytest.mark.parametrize("has_instructions", [True, False])
def test_bfloat16_on_a_processor_without_instructions_for_it_is_warned_about(
    create: Callable[..., Flask],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    has_instructions: bool,
) -> None:
    monkeypatch.setattr(module, "computes_bfloat16", lambda: has_instructions)
    create(precision="bfloat16")
    assert ("float32 would be faster" in caplog.text) is not has_instructions


def test_the_worker_finds_what_it_needs(create: Callable[..., Flask]) -> None:
    app = create(admin_port=9000, max_prompt=100, max_text=200)
    limits = app.extensions["max_body_bytes_of"]
    assert app.extensions["admin_port"] == 9000
    assert app.extensions["max_body_bytes"] >= 12 * 100
    assert limits[b"/score"] >= 12 * 200
    assert min(limits[b"/inspect"], limits[b"/neurons"]) >= 12 * 10_000
    assert app.extensions["faults"]() == []
    app.extensions["drain"].abort()
    assert app.test_client().get("/readyz").json["error"]["code"] == "draining"


@pytest.mark.parametrize(("proxies", "statuses"), [(0, [200, 429]), (1, [200, 200])])
def test_only_configured_proxies_name_the_client(
    create: Callable[..., Flask], proxies: int, statuses: list[int]
) -> None:
    client = create(trusted_proxies=proxies, rate_limit="1/hour").test_client()
    headers = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in (1, 2)]
    assert [client.get("/models", headers=sent).status_code for sent in headers] == statuses


def test_a_json_body_is_one_line_and_keeps_the_order_of_its_fields() -> None:
    odd = '\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\x00\x7f\x9b\udfff\ud800é\U0001f600"\\'
    body = module.PlainJson(Flask("test")).dumps({"b": odd, "a": 1})
    assert json.loads(body.encode()) == {"b": odd, "a": 1}
    assert list(json.loads(body)) == ["b", "a"]
    assert body.splitlines() == [body]
    assert not [character for character in body if 0x7F <= ord(character) <= 0x9F]


def test_every_route_is_documented_and_every_documented_operation_is_a_route(create: Callable[..., Flask]) -> None:
    routes = {
        (re.sub("<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", rule.rule), method)
        for rule in create().url_map.iter_rules()
        if not rule.endpoint.startswith(f"{page.NAME}.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    documented = {(operation.path, "POST" if operation.body else "GET") for operation in OPERATIONS}
    assert routes == documented


def test_every_line_of_the_log_is_a_record_also_while_tensorflow_is_imported(tmp_path: Path) -> None:
    write_version(tmp_path)
    environment = os.environ | {"CHARLOOM_MODELS": str(tmp_path)}
    program = [sys.executable, "-c", START]
    log = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, check=True, text=True).stderr
    messages = [json.loads(line)["message"] for line in log.splitlines()]
    assert any("scripted/1 is loaded" in message for message in messages)

"""The wired application, with a model that is not loaded by TensorFlow."""

import atexit
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from service import app as module
from service.app import create_app
from service.config import Config
from tests.service.fakes import FakeModel, expected_text


@pytest.fixture
def create(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Flask]]:
    """`create_app` on the models of `tmp_path`; its threads end with the test."""
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    monkeypatch.setattr(module, "configure_threads", lambda engines: None)
    monkeypatch.setattr(module, "Model", lambda folder: FakeModel())
    yield lambda **settings: create_app(Config(models=tmp_path, engines=1, **settings))
    for close in reversed(at_exit):
        close()


def test_a_published_model_answers(tmp_path: Path, create: Callable[..., Flask]) -> None:
    (tmp_path / "fake/1").mkdir(parents=True)
    client = create().test_client()
    assert client.get("/readyz").json == {"status": "ready", "model": "fake", "version": 1, "refused": []}
    answer = client.post("/generate", json={"length": 5, "seed": 3, "stream": False})
    assert answer.json["text"] == expected_text("", 5, 3)
    assert next(iter(answer.json)) == "finish_reason", "the fields keep the order of the source"
    assert client.get("/models").json["default"] == "fake"
    assert b"charloom_streams_running" in client.get("/metrics").data


def test_an_empty_store_starts_and_answers_503(create: Callable[..., Flask], caplog: pytest.LogCaptureFixture) -> None:
    client = create().test_client()
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert "/readyz answers 503 until a model is loaded." in caplog.text


def test_the_worker_finds_what_it_needs(create: Callable[..., Flask]) -> None:
    app = create(admin_port=9000, max_prompt=100)
    assert app.extensions["admin_port"] == 9000
    assert app.extensions["max_body_bytes"] >= 12 * 100
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

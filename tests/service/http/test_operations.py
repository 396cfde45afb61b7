from types import SimpleNamespace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.http import errors, operations
from service.store.store import NoModel


def client_of(*, model: object = None, has_begun: bool = False, faults: list[str] | None = None) -> FlaskClient:
    """An application over a store with one model or none."""

    def ready() -> object:
        if model is None:
            raise NoModel("There is no model yet.")
        return model

    store = SimpleNamespace(ready=ready, refusals=lambda: ["Version 2 is refused."])
    app = Flask(__name__)
    errors.register(app)
    drain = SimpleNamespace(has_begun=has_begun)
    app.register_blueprint(operations.blueprint(store, drain, lambda: faults or []))  # type: ignore[arg-type]
    return app.test_client()


MODEL = SimpleNamespace(manifest=SimpleNamespace(name="a", version=1))


def test_readyz_names_the_default_model_and_the_refused_versions() -> None:
    answer = client_of(model=MODEL).get("/readyz")
    expected = {"status": "ready", "model": "a", "version": 1, "refused": ["Version 2 is refused."]}
    assert (answer.status_code, answer.json) == (200, expected)


def test_readyz_names_the_threads_that_have_ended_or_are_stuck() -> None:
    faults = ["Thread engine-0 has ended.", "Thread poller has ended."]
    answer = client_of(model=MODEL, faults=faults).get("/readyz")
    assert (answer.status_code, answer.json["error"]["message"]) == (503, " ".join(faults))


@pytest.mark.parametrize(("model", "has_begun", "code"), [(None, False, "unavailable"), (MODEL, True, "draining")])
def test_readyz_is_503_without_a_model_and_while_draining(model: object, has_begun: bool, code: str) -> None:
    answer = client_of(model=model, has_begun=has_begun).get("/readyz")
    assert (answer.status_code, answer.json["error"]["code"]) == (503, code)


def test_livez_and_metrics_answer_without_a_model() -> None:
    client = client_of(has_begun=True)
    assert client.get("/livez").json == {"status": "alive"}
    answer = client.get("/metrics")
    assert answer.mimetype == "text/plain"
    assert "charloom_streams_running" in answer.text

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.http import errors, openai_models
from service.store.store import Store
from tests.service.model.manifests import GOOD, write
from tests.service.store.fakes import Loader

CREATED = {"created": "2026-01-02T03:04:05+00:00"}
CREATED_S = 1767323045


@pytest.fixture
def store(tmp_path: Path) -> Store:
    for version in (1, 2):
        (tmp_path / f"tale/{version}").mkdir(parents=True)
        write(tmp_path / f"tale/{version}", GOOD | {"version": version} | (CREATED if version == 2 else {}))
    return Store(tmp_path, None, Loader())


@pytest.fixture
def client(store: Store) -> FlaskClient:
    app = Flask(__name__)
    errors.register(app)
    app.register_blueprint(openai_models.blueprint(store))
    return app.test_client()


def model_object(model_id: str, created: int = CREATED_S) -> dict[str, object]:
    return {"id": model_id, "object": "model", "created": created, "owned_by": "charloom"}


def test_the_list_has_the_served_version_of_each_model(client: FlaskClient) -> None:
    assert client.get("/v1/models").json == {"object": "list", "data": [model_object("tale")]}


def test_a_model_is_found_by_name_and_by_version(client: FlaskClient) -> None:
    assert client.get("/v1/models/tale").json == model_object("tale")
    assert client.get("/v1/models/tale@2").json == model_object("tale@2")
    assert client.get("/v1/models/tale%402").json == model_object("tale@2")


def test_a_manifest_without_a_valid_time_has_the_time_0(client: FlaskClient, tmp_path: Path) -> None:
    for created in ({}, {"created": None}, {"created": "yesterday"}, {"created": 5}):
        fields = {name: value for name, value in GOOD.items() if name != "created"}
        write(tmp_path / "tale/1", fields | {"version": 1} | created)
        assert client.get("/v1/models/tale@1").json == model_object("tale@1", created=0)


def test_a_model_without_a_valid_version_is_not_listed(client: FlaskClient, store: Store, tmp_path: Path) -> None:
    for version in (1, 2):
        (tmp_path / f"tale/{version}/broken").touch()
    store.poll()
    assert client.get("/v1/models").json["data"] == []
    answer = client.get("/v1/models/tale")
    assert (answer.status_code, answer.json["error"]["param"]) == (404, "model")


@pytest.mark.parametrize("model_id", ["other", "tale@3", "tale@0", "..%2f..%2fetc", "%00", "x" * 10_000])
def test_an_unknown_model_is_404(client: FlaskClient, model_id: str) -> None:
    answer = client.get(f"/v1/models/{model_id}")
    assert answer.status_code == 404
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}
    assert len(answer.data) < 600

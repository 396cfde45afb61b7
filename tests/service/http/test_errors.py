import pytest
from flask import Flask
from werkzeug.exceptions import NotFound as NoRoute

from service.engine.scheduler import Closed, QueueFull
from service.http import errors
from service.model.model import MissingFunction
from service.store.store import NoModel, NotFound


@pytest.mark.parametrize(
    ("error", "status", "code", "headers"),
    [
        (errors.InvalidField("a is wrong", "a"), 422, "invalid_field", {}),
        (NotFound("There is no model 'a' here.", "model"), 404, "model_not_found", {}),
        (NoModel("There is no model yet."), 503, "unavailable", {}),
        (MissingFunction("It has no function 'inspect'."), 501, "unsupported_by_model", {}),
        (QueueFull("1 streams run and 2 wait"), 429, "queue_full", {"Retry-After": "1"}),
        (Closed(), 503, "draining", {"Retry-After": "1"}),
        (errors.TooManyRequests("try again", 7), 429, "rate_limit_exceeded", {"Retry-After": "7"}),
        (NoRoute(), 404, "not_found", {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_exception_has_a_status_and_a_code(error: Exception, status: int, code: str, headers: dict) -> None:
    found = errors.as_api_error(error)
    assert (found.status, found.code, found.headers) == (status, code, headers)
    body = found.to_json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    assert body["message"]


def test_an_unexpected_error_is_logged_and_its_message_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    found = errors.as_api_error(ZeroDivisionError("a secret"))
    assert (found.status, found.code) == (500, "internal_error")
    assert "secret" not in str(found)
    (record,) = caplog.records
    assert isinstance(record.exc_info[1], ZeroDivisionError)


def test_messages_and_parameters_have_a_bounded_length() -> None:
    error = errors.InvalidField("m" * 1000, "p" * 1000)
    assert str(error) == "m" * errors.MAX_MESSAGE_CHARS + "…"
    assert error.param == "p" * errors.MAX_SHOWN_CHARS + "…"
    assert errors.shorten("short") == "short"


def test_an_application_answers_every_exception_with_json() -> None:
    app = Flask(__name__)
    errors.register(app)

    @app.get("/fails")
    def fails() -> str:
        raise errors.TooManyRequests("The rate limit is 1/hour: try again in 7 s.", 7)

    client = app.test_client()
    answer = client.get("/fails")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json["error"]["message"] == "The rate limit is 1/hour: try again in 7 s."
    unknown = client.get("/v1/fails")
    assert (unknown.status_code, unknown.json["error"]["code"]) == (404, "not_found")
    assert unknown.json["error"]["message"] == "There is no route /v1/fails. Similar routes: GET /fails."
    assert client.get("/other").json["error"]["message"] == "There is no route /other."
    wrong_method = client.post("/fails")
    assert (wrong_method.status_code, wrong_method.json["error"]["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong_method.headers["Allow"]


@pytest.mark.parametrize("path", ["/models//1", "/models/..%2f/1", "//models/a/1"])
def test_a_path_with_an_empty_part_is_unknown_and_not_redirected(path: str) -> None:
    app = Flask(__name__)
    errors.register(app)
    app.add_url_rule("/models/<name>/<int:version>", view_func=lambda name, version: "found")
    answer = app.test_client().get("http://localhost" + path)
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "not_found")

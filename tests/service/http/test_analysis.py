import json
import logging
import math
import socket
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.engine.scheduler import Scheduler
from service.http.analysis import TEXTS_AT_ONCE
from service.http.delivery import UNREAD_STREAMS, ClientGone
from service.model.model import MissingFunction
from tests.service.analysis.fakes import InspectingModel
from tests.service.fakes import FakeModel, Gate
from tests.service.http.apps import app_of
from tests.waiting import wait_until

LINES = {"Accept": "application/x-ndjson"}
TEXT = "abcdefghijabcdefghij"


@pytest.fixture
def model() -> InspectingModel:
    return InspectingModel()


def lines_of(body: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines()]


def test_a_score_is_one_object(client: FlaskClient) -> None:
    answer = client.post("/score", json={"text": TEXT})
    score = answer.json
    assert set(score.pop("timings")) == {"queue_ms", "total_ms", "chars_per_second"}
    assert score == {
        "chars": 20,
        "nats": 190.0,
        "nats_per_char": 9.5,
        "bits_per_char": pytest.approx(9.5 / math.log(2)),
        "perplexity": pytest.approx(math.exp(9.5)),
        "unknown_chars": 0,
        "finish_reason": "length",
        "model": "fake",
        "version": 1,
    }
    assert (answer.headers["X-Model"], answer.headers["X-Model-Version"]) == ("fake", "1")
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_score_has_logprobs_if_they_are_asked_for(client: FlaskClient) -> None:
    answer = client.post("/score", json={"text": TEXT + "?", "logprobs": True})
    assert answer.json["logprobs"] == [-step for step in range(21)]
    assert answer.json["unknown_chars"] == 1


@pytest.mark.parametrize("with_logprobs", [False, True])
def test_ndjson_has_lines_of_progress_and_the_closing_object(client: FlaskClient, with_logprobs: bool) -> None:
    fields = {"text": TEXT, "logprobs": with_logprobs}
    answer = client.post("/score", json=fields, headers=LINES)
    assert answer.content_type == "application/x-ndjson; charset=utf-8"
    *progress, last = lines_of(answer.text)
    in_one_object = client.post("/score", json={"text": TEXT}).json
    assert last.pop("timings").keys() == in_one_object.pop("timings").keys()
    assert last == in_one_object
    assert (progress[-1]["chars"], progress[-1]["nats"], progress[-1]["nats_per_char"]) == (20, 190.0, 9.5)
    if with_logprobs:
        assert [logprob for line in progress for logprob in line["logprobs"]] == [-step for step in range(20)]
        assert progress[0]["index"] == 0
    else:
        assert not any("logprobs" in line for line in progress)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json, application/x-ndjson", "application/json"),
        ("application/x-ndjson;q=0.9, application/json;q=0.5", "application/x-ndjson"),
        ("text/html", "application/json"),
    ],
)
def test_the_accept_header_selects_the_format(client: FlaskClient, accept: str | None, content_type: str) -> None:
    answer = client.post("/score", json={"text": "abc"}, headers={"Accept": accept} if accept else {})
    assert answer.mimetype == content_type


@pytest.mark.parametrize(
    ("path", "fields", "param", "words"),
    [
        ("/score", {}, "text", "required"),
        ("/score", {"text": None}, "text", "string"),
        ("/score", {"text": ""}, "text", "at least 1 character, not 0"),
        ("/score", {"text": "a" * 1_000_001}, "text", "at most 1000000 characters, not 1000001"),
        ("/score", {"text": "a" * 100_001, "logprobs": True}, "logprobs", "100,001"),
        ("/score", {"text": "a", "units": []}, "units", "not a field"),
        ("/inspect", {"text": ""}, "text", "at least 1 character, not 0"),
        ("/inspect", {"text": "a" * 10_001}, "text", "at most 10000 characters, not 10001"),
        ("/inspect", {"text": "a", "units": [[0, 2]]}, "units.0.1", "less than 2, which this model has, not 2"),
        ("/inspect", {"text": "a", "units": [[0, 0], [1, 0]]}, "units.1.0", "less than 1, which this model has, not 1"),
        ("/inspect", {"text": "a", "units": [[0, -1]]}, "units.0.1", "greater than or equal to 0, not -1"),
        ("/inspect", {"text": "a", "units": [[0]]}, "units.0.1", "required"),
        ("/inspect", {"text": "a", "layer": 1}, "layer", "less than 1, which this model has, not 1"),
        ("/inspect", {"text": "a", "layer": 0, "units": [[0, 0]]}, "layer", "give one of them"),
        ("/inspect", {"text": "a" * 10_000, "units": [[0, 0]] * 101}, "text", "have 1,010,000"),
        ("/neurons", {}, "text", "required"),
        ("/neurons", {"text": ""}, "text", "at least 1 character, not 0"),
        ("/neurons", {"text": "a" * 100_001}, "text", "at most 100000 characters, not 100001"),
        ("/neurons", {"text": "a", "limit": 0}, "limit", "greater than or equal to 1, not 0"),
        ("/neurons", {"text": "a", "limit": 1001}, "limit", "less than or equal to 1000, not 1001"),
        ("/neurons", {"text": "a", "limit": 10**30}, "limit", "less than or equal to 1000"),
        ("/neurons", {"text": "a", "limit": "5"}, "limit", "integer, not '5'"),
        ("/neurons", {"text": "a", "units": []}, "units", "not a field"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_invalid_field_is_refused_before_the_model_is_called(
    client: FlaskClient, model: InspectingModel, path: str, fields: dict[str, Any], param: str, words: str
) -> None:
    answer = client.post(path, json=fields)
    assert (answer.status_code, answer.json["error"]["param"]) == (422, param)
    assert words in answer.json["error"]["message"]
    assert not model.calls
    assert not model.inspected


def test_the_texts_that_are_scored_at_once_have_a_limit(
    model: InspectingModel, scheduler: Scheduler, tmp_path: Path
) -> None:
    client, unread = app_of(model, scheduler, tmp_path, max_text=5).test_client(), []
    for _ in range(TEXTS_AT_ONCE):
        unread.append(client.post("/score", json={"text": "abcde"}, headers=LINES))
        wait_until(lambda: scheduler.is_idle)
    answer = client.post("/score", json={"text": "a"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert "Texts of 20 characters are being scored; the limit is 20." in answer.json["error"]["message"]
    unread.pop().close()
    assert client.post("/score", json={"text": "abcde"}).status_code == 200
    for response in unread:
        response.close()


def test_texts_and_streams_share_one_limit(client: FlaskClient, scheduler: Scheduler) -> None:
    unread = []
    for number in range(1 + UNREAD_STREAMS):
        fields = {"text": TEXT} if number % 2 else {"length": 5}
        unread.append(client.post("/score" if number % 2 else "/generate", json=fields, headers=LINES))
        assert unread[-1].status_code == 200
        wait_until(lambda: scheduler.is_idle)
    for path in ("/score", "/inspect", "/neurons"):
        answer = client.post(path, json={"text": "abc"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    unread.pop().close()
    for path in ("/score", "/inspect", "/neurons"):
        assert client.post(path, json={"text": "abc"}).status_code == 200
    for response in unread:
        response.close()


@pytest.mark.parametrize("path", ["/score", "/inspect", "/neurons"])
@pytest.mark.parametrize("headers", [{}, LINES])
def test_a_client_that_has_left_ends_the_reading(
    client: FlaskClient, scheduler: Scheduler, path: str, headers: dict[str, str]
) -> None:
    server_end, client_end = socket.socketpair()
    client_end.close()
    sent = {"json": {"text": TEXT}, "headers": headers, "environ_overrides": {"gunicorn.socket": server_end}}
    with server_end, pytest.raises(ClientGone):
        client.post(path, buffered=True, **sent)
    wait_until(lambda: scheduler.is_idle)
    assert client.post(path, json={"text": TEXT}).status_code == 200


def test_past_its_deadline_a_score_is_that_of_the_characters_so_far(scheduler: Scheduler, tmp_path: Path) -> None:
    model = Gate()
    client = app_of(model, scheduler, tmp_path, request_timeout=0.02).test_client()
    score = client.post("/score", json={"text": TEXT}).json
    assert (score["finish_reason"], score["chars"], score["nats"]) == ("timeout", 0, 0)
    assert (score["nats_per_char"], score["bits_per_char"], score["perplexity"]) == (None, None, None)
    model.permits.release(100)
    wait_until(lambda: scheduler.is_idle)


def test_a_long_text_has_more_time(scheduler: Scheduler, tmp_path: Path) -> None:
    model = Gate()
    client = app_of(model, scheduler, tmp_path, request_timeout=0.02, max_length=2).test_client()
    assert client.post("/score", json={"text": TEXT}).json["timings"]["total_ms"] >= 200
    model.permits.release(100)
    wait_until(lambda: scheduler.is_idle)


@pytest.mark.parametrize("path", ["/score", "/inspect", "/neurons"])
def test_the_log_line_has_the_measurements_and_no_text(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with caplog.at_level(logging.INFO):
        client.post(path, json={"text": TEXT}).close()
    (line,) = [vars(record) for record in caplog.records if record.name == "service.http.access"]
    assert (line["model"], line["version"], line["text_chars"], line["finish_reason"]) == ("fake", 1, 20, "length")
    assert (line.get("scored_chars") == 20) == (path == "/score")
    assert TEXT not in line.values()


@pytest.mark.parametrize("path", ["/score", "/inspect", "/neurons"])
@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ('{"text": "\\ud800"}', 400, None),
        ('{"text": "a", "model": "other"}', 404, "model"),
        ('{"text": "a", "version": 9}', 404, "version"),
    ],
)
def test_half_a_surrogate_pair_and_unknown_models_are_refused(
    client: FlaskClient, path: str, body: str, status: int, param: str | None
) -> None:
    answer = client.post(path, data=body, content_type="application/json")
    assert (answer.status_code, answer.json["error"]["param"]) == (status, param)


class TestVersionWithoutInspect:
    @pytest.fixture
    def model(self) -> FakeModel:
        class Old(FakeModel):
            def inspect(self, symbols: object, state: object) -> None:
                raise MissingFunction("Version fake 1 was published without the function 'inspect'.")

        return Old()

    def test_only_a_score_does_without(self, client: FlaskClient) -> None:
        for path in ("/inspect", "/neurons"):
            answer = client.post(path, json={"text": "abc"})
            assert (answer.status_code, answer.json["error"]["param"]) == (501, "model")
            assert "without the function 'inspect'" in answer.json["error"]["message"]
        assert client.post("/score", json={"text": "abc"}).status_code == 200

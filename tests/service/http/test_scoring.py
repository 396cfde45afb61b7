import json

import numpy as np
import pytest
from flask import Flask
from prometheus_client import REGISTRY

from service.analysis.score import Scoring
from service.engine.scheduler import Scheduler
from service.http.errors import Overloaded
from service.http.scoring import ScoreDelivery, TextLimit, decimals
from tests.service.fakes import FakeModel, Gate
from tests.waiting import wait_until

TEXT = "abcdefghij"


def rejected() -> float:
    return REGISTRY.get_sample_value("charloom_rejected_total", {"reason": "texts"}) or 0


def test_a_text_beyond_the_limit_is_refused_until_others_are_released() -> None:
    limit, before = TextLimit(10), rejected()
    first, second = limit.reserve(6), limit.reserve(4)
    with pytest.raises(Overloaded, match="Texts of 10 characters are being scored; the limit is 10"):
        limit.reserve(1)
    first()
    with pytest.raises(Overloaded, match="Texts of 4 characters"):
        limit.reserve(7)
    second()
    limit.reserve(10)
    assert rejected() == before + 2


def test_logprobs_are_written_with_the_digits_of_a_float32() -> None:
    logprobs = np.array([-0.1, -2.8345897, 0], np.float32)
    assert json.dumps(decimals(logprobs)) == "[-0.1, -2.8345897, 0.0]"
    assert json.dumps(decimals(logprobs.reshape(3, 1))) == "[[-0.1], [-2.8345897], [0.0]]"


def test_a_line_is_sent_in_each_interval_while_the_text_waits(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server notices only by writing that a client has left."""
    monkeypatch.setattr("service.http.scoring.REPORT_S", 0.01)
    model, released = Gate(), []
    with Flask("test").test_request_context():
        scoring = Scoring(model, TEXT, scheduler)  # type: ignore[arg-type]
        delivery = ScoreDelivery(scoring, with_logprobs=False, release=lambda: released.append(scoring.close()))
        response = delivery.as_lines()
    lines = iter(response.response)
    waiting = {"chars": 0, "nats": 0.0, "nats_per_char": None, "bits_per_char": None}
    assert [json.loads(next(lines)) for _ in range(2)] == [waiting] * 2
    response.close()
    assert released == [None]
    model.permits.release(100)
    wait_until(lambda: scheduler.is_idle)
    assert len(model.calls) <= 1


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_failure_is_the_last_line_or_an_exception(scheduler: Scheduler, model: FakeModel, is_streamed: bool) -> None:
    model.fails = True
    released = []
    with Flask("test").test_request_context():
        scoring = Scoring(model, TEXT, scheduler)  # type: ignore[arg-type]
        delivery = ScoreDelivery(scoring, with_logprobs=False, release=lambda: released.append(scoring.close()))
        if is_streamed:
            response = delivery.as_lines()
            assert json.loads(response.get_data())["error"]["type"] == "server_error"
            response.close()
        else:
            with pytest.raises(RuntimeError, match="the model broke"):
                delivery.as_object()
    assert released == [None]
    assert scoring.result().status == "error"


def test_a_failure_before_the_first_byte_is_a_status(app: Flask, model: FakeModel) -> None:
    model.fails = True
    answer = app.test_client().post("/score", json={"text": TEXT})
    assert (answer.status_code, answer.json["error"]["type"]) == (500, "server_error")

"""How characters become lines of bytes, for any characters and any common reader of lines."""

import json

import numpy as np
import pytest
from flask import Flask
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from service.app import PlainJson
from service.engine.generation import Characters
from service.http.formats import NDJSON, PLAIN, SSE, form_for, to_json

LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
ODD = LINE_ENDS + '\x00\x7f\x9b\udfff\ud800é\U0001f600"\\'


@pytest.mark.parametrize("form", [SSE, NDJSON], ids=lambda form: form.media_type)
def test_an_event_is_one_line_to_every_reader(form) -> None:
    characters = Characters(3, ODD, np.zeros(len(ODD), np.float32))
    sent = form.characters(characters) + form.last({"text": ODD}) + form.error({"error": ODD})
    lines = [line.removeprefix("data: ") for line in sent.encode().decode().splitlines() if line]
    *events, last, error = [json.loads(line) for line in lines]
    assert "".join(event["text"] for event in events) == last["text"] == error["error"] == ODD
    assert len(events) == len(ODD)


def test_json_bodies_escape_the_same() -> None:
    app = Flask("test")
    assert to_json("\x85\u2028\ud800é") == '"\\u0085\\u2028\\ud800é"'
    body = PlainJson(app).dumps({"b": ODD, "a": 1})
    assert json.loads(body.encode()) == {"b": ODD, "a": 1}
    assert body.splitlines() == [body]
    assert not [character for character in body if 0x7F <= ord(character) <= 0x9F]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", SSE),
        ("*/*", SSE),
        ("text/plain; charset=utf-8", PLAIN),
        ("text/plain;charset=UTF-8", PLAIN),
        ('TEXT/Plain; charset="utf-8"; format=flowed', PLAIN),
        ("text/event-stream;charset=utf-8", SSE),
        ("application/x-ndjson; charset=utf-8, text/plain;q=0.5", NDJSON),
        ("text/plain;q=0.5;charset=utf-8, application/x-ndjson;q=0.9", NDJSON),
        ("text/plain;q=0.9, text/event-stream;q=0.8", PLAIN),
        ("text/*", SSE),
        ("text/plain, */*", PLAIN),
        ("text/event-stream;q=0, text/plain;q=0.1", PLAIN),
        ("text/event-stream;q=0, */*", NDJSON),
        ("application/*", NDJSON),
        ("text/html, image/*;q=0.9", SSE),
        ("text/plain;q=0", SSE),
        ("text/plain;q=much, */*;q=0.1", SSE),
        (";;,,=", SSE),
    ],
)
def test_accept_picks_the_form(accept: str, form) -> None:
    assert form_for(parse_accept_header(accept, MIMEAccept)) is form

import json

import numpy as np
import pytest
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from service.engine.generation import Characters
from service.http.formats import MAX_ITEMS, NDJSON, PLAIN, SSE, StreamFormat, format_for, json_pieces, to_json
from service.model.guesses import GUESS

LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
ODD = LINE_ENDS + '\x00\x7f\x9b\udfff\ud800é\U0001f600"\\'


@pytest.mark.parametrize("stream_format", [SSE, NDJSON], ids=lambda stream_format: stream_format.media_type)
def test_an_event_is_one_line_to_every_reader(stream_format: StreamFormat) -> None:
    characters = Characters(3, ODD, np.zeros(len(ODD), np.float32))
    sent = (
        stream_format.characters(characters) + stream_format.last({"text": ODD}) + stream_format.error({"error": ODD})
    )
    lines = [line.removeprefix("data: ") for line in sent.encode().decode().splitlines() if line]
    *events, last, error = [json.loads(line) for line in lines]
    assert "".join(event["text"] for event in events) == last["text"] == error["error"] == ODD
    assert len(events) == len(ODD)


def test_json_escapes_line_ends_controls_and_half_surrogates() -> None:
    assert to_json("\x85\u2028\ud800é") == '"\\u0085\\u2028\\ud800é"'
    assert json.loads(to_json(ODD).encode()) == ODD


@pytest.mark.parametrize("items", [0, 1, MAX_ITEMS, MAX_ITEMS + 1, 3 * MAX_ITEMS])
def test_json_in_pieces_is_compact_and_no_piece_is_long(items: int) -> None:
    top = [[(ODD, -0.5), ("a", -1e-9)]] * items
    value = {"z": {}, "choices": [{"top": top, "text": ODD, "nothing": None}], "empty": [], "logprobs": [-0.25] * items}
    pieces = list(json_pieces(value))
    assert "".join(pieces) == json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(
        {ord(character): f"\\u{ord(character):04x}" for character in "\x7f\x9b\x85\u2028\u2029\ud800\udfff"}
    )
    assert max(map(len, pieces)) < 300 * MAX_ITEMS


@pytest.mark.parametrize(
    ("accept", "stream_format"),
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
def test_accept_chooses_the_format(accept: str, stream_format: StreamFormat) -> None:
    assert format_for(parse_accept_header(accept, MIMEAccept)) is stream_format


def test_plain_text_is_the_characters_and_ends_with_an_error_if_there_is_one() -> None:
    characters = Characters(0, "aé\n", np.zeros(3, np.float32))
    assert PLAIN.characters(characters) + PLAIN.last({"text": "aé\n"}) == "aé\n"
    assert json.loads(PLAIN.error({"error": "é"})) == {"error": "é"}


def test_an_event_has_the_index_and_the_shortest_decimal_of_the_logprob() -> None:
    characters = Characters(7, "ab", np.array([-0.1, -2.8345897], np.float32))
    expected = [{"index": 7, "text": "a", "logprob": -0.1}, {"index": 8, "text": "b", "logprob": -2.8345897}]
    assert [json.loads(line) for line in NDJSON.characters(characters).splitlines()] == expected
    assert "-2.8345897}" in NDJSON.characters(characters)


@pytest.mark.parametrize("stream_format", [SSE, NDJSON], ids=lambda stream_format: stream_format.media_type)
def test_an_event_has_the_guesses_before_its_character(stream_format: StreamFormat) -> None:
    guesses = np.array([[(1, -0.1), (0, -2.8345897)], [(2, -0.5), (1, -90.5)]], GUESS)
    texts = ("\ufffd", "a", "\u2028")
    characters = Characters(7, "ab", np.zeros(2, np.float32), guesses=guesses, symbol_texts=texts)
    sent = stream_format.characters(characters)
    events = [json.loads(line.removeprefix("data: ")) for line in sent.splitlines() if line]
    assert [event["top"] for event in events] == [
        [["a", -0.1], ["\ufffd", -2.8345897]],
        [["\u2028", -0.5], ["a", -90.5]],
    ]
    assert [(event["index"], event["text"], event["logprob"]) for event in events] == [(7, "a", 0), (8, "b", 0)]
    assert PLAIN.characters(characters) == "ab"

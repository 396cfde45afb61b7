"""One request while its bytes arrive: completeness, limits and deadlines."""

import dataclasses

import pytest

from service.server import request as module
from service.server.refusal import Refusal
from service.server.request import BODY_BYTES_PER_S, BODY_S, HEAD_S, IncomingRequest
from tests.service.server.fakes import LIMITS, Clock

HEAD = b"POST /generate HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def request(body_bytes: int = 100) -> IncomingRequest:
    return IncomingRequest(dataclasses.replace(LIMITS, body_bytes=body_bytes))


@pytest.mark.parametrize(
    "message",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Content-Length: 3\r\n\r\nabc",
        CHUNKED + b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("after", [b"", b"GET / HTTP/1.1\r\n"])
def test_a_request_is_complete_with_its_last_byte_and_later_bytes_are_separate(message: bytes, after: bytes) -> None:
    incoming = request()
    for byte in message:
        assert not incoming.is_complete
        incoming.feed(bytes([byte]))
    assert incoming.is_complete
    incoming.feed(after)
    assert incoming.take() == (message, after)


@pytest.mark.parametrize(
    ("message", "is_probe"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (b"GET /metrics?name=x HTTP/1.0\r\n\r\n", True),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", False),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nPOST /generate", True),
        (b"POST /livez HTTP/1.1\r\nHost: x\r\n\r\n", False),
        (b"GET /livezz HTTP/1.1\r\nHost: x\r\n\r\n", False),
        (b"GET /models HTTP/1.1\r\nHost: x\r\n\r\n", False),
    ],
)
def test_a_probe_has_no_body(message: bytes, is_probe: bool) -> None:
    incoming = request()
    incoming.feed(message)
    assert incoming.is_complete
    assert incoming.is_probe is is_probe


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"GET / HTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        *((CHUNKED + size + b"\r\n", 400) for size in (b"-1", b"0x2", b"0_2", b" 2", b"", b"2;\x00")),
        (CHUNKED + b"1\r\nab\r\n", 400),
        (CHUNKED + b"0\r\nContent-Length: 3\r\n", 400),
        (b"GET /" + b"a" * 9000, 431),
        (HEAD + b"X: " + b"a" * 9000, 431),
        (HEAD + b"X: y\r\n" * 101, 431),
        (HEAD + b"Content-Length: 101\r\n\r\n", 413),
        (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (CHUNKED + b"65\r\n" + b"a" * 101, 413),
        (CHUNKED + b"1;" + b"x" * 7000 + b"\r\na\r\n" + 9 * (b"1;" + b"x" * 7000 + b"\r\na\r\n"), 413),
    ],
)
def test_malformed_and_too_long_requests_are_refused(message: bytes, status: int) -> None:
    with pytest.raises(Refusal) as refusal:
        request().feed(message)
    assert refusal.value.status == status


def test_a_refusal_quotes_nothing_of_the_request() -> None:
    with pytest.raises(Refusal) as refusal:
        request().feed(HEAD + b"Authorization : Bearer secret\r\n")
    assert b"secret" not in refusal.value.response()
    assert b"malformed_request" in refusal.value.response()


def test_head_and_body_have_one_deadline_each(clock: Clock) -> None:
    incoming = request(body_bytes=10**6)
    silent_until_s = incoming.deadline_s
    assert clock.now_s < silent_until_s < clock.now_s + HEAD_S
    clock.now_s += 3
    incoming.feed(b"P")
    assert incoming.deadline_s == clock.now_s + HEAD_S
    head_until_s = incoming.deadline_s
    clock.now_s += 3
    incoming.feed(HEAD[1:])
    assert incoming.deadline_s == head_until_s, "more bytes of the head do not extend its deadline"
    incoming.feed(b"Content-Length: 900000\r\n\r\n")
    head_s = clock.now_s
    clock.now_s += 3
    incoming.feed(b"a" * BODY_BYTES_PER_S * 5)
    assert head_s + BODY_S + 5 <= incoming.deadline_s < head_s + BODY_S + 6


@pytest.mark.parametrize(("version", "expected"), [(b"1.1", True), (b"1.0", False)])
def test_expect_100_continue_is_for_http_1_1(version: bytes, expected: bool) -> None:
    incoming = request()
    head = b"POST / HTTP/" + version + b"\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    incoming.feed(head)
    assert incoming.wants_continue is expected
    assert not incoming.is_complete


def test_a_header_is_found_by_its_lower_case_name() -> None:
    arriving = request()
    arriving.feed(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-Id: one\r\n\r\n")
    assert (arriving.header(b"x-request-id"), arriving.header(b"x-other")) == ("one", "")


def test_a_path_may_have_a_limit_of_its_own() -> None:
    limits = dataclasses.replace(LIMITS, body_bytes=100, body_bytes_of={b"/score": 200_000})
    for path, size, is_accepted in ((b"/score", 200_000, True), (b"/score", 200_001, False), (b"/x", 101, False)):
        incoming = IncomingRequest(limits)
        head = b"POST %s?x=1 HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (path, size)
        if is_accepted:
            incoming.feed(head + b"a" * size)
            assert incoming.is_complete
        else:
            with pytest.raises(Refusal) as refused:
                incoming.feed(head)
            assert refused.value.status == 413

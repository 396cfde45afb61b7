import limits
import pytest

from service.http.rate import RateLimiter


def test_the_window_slides_and_clients_without_requests_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    limiter = RateLimiter(limits.parse("2/minute"))
    one, two = ("key", "one"), ("address", "one")
    assert [limiter.wait_s(one) for _ in range(3)] == [0, 0, 60]
    assert limiter.wait_s(two) == 0
    now_s += 45
    assert [limiter.wait_s(two), limiter.wait_s(two), limiter.wait_s(one)] == [0, 15, 15]
    now_s += 15
    assert [limiter.wait_s(two), limiter.wait_s(two), limiter.wait_s(one)] == [0, 45, 0]
    assert limiter.clients == 2
    now_s += 120
    assert limiter.wait_s(("key", "new")) == 0
    assert limiter.clients == 1

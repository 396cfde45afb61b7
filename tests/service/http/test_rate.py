import limits
import pytest

from service.http.rate import Quota, RateLimiter


def wait_s(limiter: RateLimiter, client: tuple[str, str]) -> float:
    """Count a request, and return 0 or the time until the next is allowed."""
    quota = limiter.count(client)
    return quota.reset_s if quota.is_exceeded else 0


def test_the_window_slides_and_clients_without_requests_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    limiter = RateLimiter(limits.parse("2/minute"))
    one, two = ("key", "one"), ("address", "one")
    assert [wait_s(limiter, one) for _ in range(3)] == [0, 0, 60]
    assert wait_s(limiter, two) == 0
    now_s += 45
    assert [wait_s(limiter, client) for client in (two, two, one)] == [0, 15, 15]
    now_s += 15
    assert [wait_s(limiter, client) for client in (two, two, one)] == [0, 45, 0]
    assert limiter.clients == 2
    now_s += 120
    assert wait_s(limiter, ("key", "new")) == 0
    assert limiter.clients == 1


def test_a_quota_has_the_requests_that_remain_and_the_time_until_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    limiter = RateLimiter(limits.parse("2/minute"))
    assert limiter.count(("key", "one")) == Quota(False, 2, 1, 60)
    now_s += 20
    assert limiter.count(("key", "one")) == Quota(False, 2, 0, 40)
    assert limiter.count(("key", "one")) == Quota(True, 2, 0, 40)
    now_s += 40
    assert limiter.count(("key", "one")) == Quota(False, 2, 0, 20)


@pytest.mark.parametrize("now_s", [1000.1, 1234.567, 98765.4321])
def test_the_time_until_one_more_is_at_most_the_window(monkeypatch: pytest.MonkeyPatch, now_s: float) -> None:
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    assert RateLimiter(limits.parse("1/hour")).count(("key", "one")).reset_s == 3600

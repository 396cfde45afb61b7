"""Keys, rates, addresses and origins, in the process: a small application with nothing but the checks."""

from pathlib import Path

import limits
import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.config import Config
from service.http import access, cors, errors, rate

PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


def client_of(tmp_path: Path, *, keys: str = "", **settings: object) -> FlaskClient:
    app = Flask(__name__)
    if keys:
        (tmp_path / "keys").write_text(keys)
        settings["api_keys_file"] = tmp_path / "keys"
    config = Config(models=tmp_path, **settings)
    errors.register(app)
    access.name_requests(app)
    cors.register(app, config.origins())
    access.register(app, config)
    app.add_url_rule("/ask", view_func=lambda: "answer", methods=["GET", "POST"])
    return app.test_client()


def statuses(client: FlaskClient, headers: list[str], address: str = "192.0.2.1") -> list[int]:
    environ = {"REMOTE_ADDR": address}
    return [
        client.get("/ask", headers={"Authorization": header}, environ_base=environ).status_code for header in headers
    ]


SPELLINGS = ["Bearer alpha", "Bearer   alpha", "bearer alpha", "BEARER alpha  ", "Bearer\talpha", " Bearer \t alpha\t"]


def test_however_a_key_is_spelt_it_is_one_client(tmp_path: Path) -> None:
    client = client_of(tmp_path, keys="alpha\nbeta\n", rate_limit="5/hour")
    assert statuses(client, SPELLINGS) == [200] * 5 + [429]
    assert statuses(client, ["Bearer beta"]) == [200]


def test_refused_keys_count_for_their_address_and_lock_no_holder_out(tmp_path: Path) -> None:
    client = client_of(tmp_path, keys="alpha\n192.0.2.1\n", rate_limit="3/hour")
    guesses = [f"Bearer guess-{number}" for number in range(5)]
    assert statuses(client, guesses) == [401] * 3 + [429] * 2
    assert statuses(client, ["Bearer alpha", "Bearer 192.0.2.1"]) == [200, 200]
    assert statuses(client, guesses[:1], address="192.0.2.2") == [401]


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (None, 'Bearer realm="charloom"'),
        ("", 'Bearer realm="charloom"'),
        ("Bearer", 'Bearer realm="charloom"'),
        ("Basic alpha", 'Bearer realm="charloom"'),
        ("Bearer wrong", 'Bearer realm="charloom", error="invalid_token"'),
        ("Bearer alpha beta", 'Bearer realm="charloom", error="invalid_token"'),
        ("Bearer \xe9", 'Bearer realm="charloom", error="invalid_token"'),
    ],
)
def test_401_tells_how_to_authenticate(tmp_path: Path, header: str | None, challenge: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = client_of(tmp_path, keys="alpha").get("/ask", headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, challenge)
    assert "alpha" not in answer.text


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:5123", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unknown", "unknown"),
        ("x" * 10_000, "x" * 60 + "…"),
    ],
)
def test_an_address_counts_as_its_network(address: str, network: str) -> None:
    assert access.network_of(address) == network


def test_all_addresses_of_a_subscriber_share_one_rate(tmp_path: Path) -> None:
    client = client_of(tmp_path, rate_limit="1/hour")
    assert statuses(client, [""], address="2001:db8::1") == [200]
    assert statuses(client, [""], address="2001:db8::2") == [429]
    assert statuses(client, [""], address="2001:db8:0:1::1") == [200]


def test_a_preflight_of_a_known_origin_needs_no_key_and_costs_no_rate(tmp_path: Path) -> None:
    client = client_of(tmp_path, keys="alpha", rate_limit="1/hour", cors_origins="https://a.org, https://b.org:8443")
    for _ in range(3):
        answer = client.options("/ask", headers=PREFLIGHT | {"Origin": "https://b.org:8443"})
        assert (answer.status_code, answer.data) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://b.org:8443"
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        assert answer.headers["Vary"] == "Origin"
        assert int(answer.headers["Access-Control-Max-Age"]) > 0
        assert answer.headers["X-Request-Id"]
    headers = {"Origin": "https://a.org", "Authorization": "Bearer alpha"}
    for status in (200, 429):
        answer = client.post("/ask", headers=headers)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, "https://a.org")
        exposed = answer.headers["Access-Control-Expose-Headers"]
        for name in ("X-Request-Id", "X-Model", "X-Model-Version", "X-Seed", "Retry-After"):
            assert name in exposed


def test_other_origins_are_told_nothing(tmp_path: Path) -> None:
    client = client_of(tmp_path, keys="alpha", cors_origins="https://a.org")
    for origin in ("https://evil.org", "https://a.org.evil.org", "http://a.org", "null"):
        answer = client.options("/ask", headers=PREFLIGHT | {"Origin": origin})
        assert answer.status_code == 401
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Vary"] == "Origin"


def test_every_origin_may_be_allowed(tmp_path: Path) -> None:
    answer = client_of(tmp_path, cors_origins="*").get("/ask", headers={"Origin": "https://any.org"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in answer.headers


def test_without_the_setting_there_is_no_cors(tmp_path: Path) -> None:
    answer = client_of(tmp_path).options("/ask", headers=PREFLIGHT | {"Origin": "https://a.org"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers.keys() if name.startswith("Access-Control")]  # noqa: SIM118


def test_the_rate_needs_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread for each window would fail where the system has none left, and with it the request."""
    client = client_of(tmp_path, rate_limit="2/hour")
    monkeypatch.setattr("threading.Thread.start", lambda thread: pytest.fail(f"{thread} was started"))
    assert statuses(client, [""] * 3) == [200, 200, 429]


def test_a_window_moves_and_clients_that_left_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    limiter = rate.RateLimiter(limits.parse("2/minute"))
    one, two = ("key", "one"), ("address", "one")
    assert [limiter.wait_s(one) for _ in range(3)] == [0, 0, 60]
    assert limiter.wait_s(two) == 0
    now_s += 45
    assert [limiter.wait_s(two), limiter.wait_s(two), limiter.wait_s(one)] == [0, 15, 15]
    now_s += 15
    assert [limiter.wait_s(two), limiter.wait_s(two), limiter.wait_s(one)] == [0, 45, 0]
    now_s += 120
    assert limiter.wait_s(("key", "new")) == 0
    assert list(limiter._times) == [("key", "new")]

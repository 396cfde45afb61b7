import logging
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.config import Config
from service.http import access, errors


def client_of(tmp_path: Path, *, keys: str = "", **settings: object) -> FlaskClient:
    app = Flask(__name__)
    if keys:
        (tmp_path / "keys").write_text(keys)
        settings["api_keys_file"] = tmp_path / "keys"
    config = Config(models=tmp_path, **settings)
    errors.register(app)
    access.name_requests(app)
    access.register(app, config)
    for path in ("/ask", "/livez", "/readyz"):
        app.add_url_rule(path, path, view_func=lambda: "answer", methods=["GET", "POST"])
    return app.test_client()


def statuses(client: FlaskClient, headers: list[str], address: str = "192.0.2.1") -> list[int]:
    environ = {"REMOTE_ADDR": address}
    return [
        client.get("/ask", headers={"Authorization": header}, environ_base=environ).status_code for header in headers
    ]


HEADERS_OF_ONE_KEY = [
    "Bearer alpha",
    "Bearer   alpha",
    "bearer alpha",
    "BEARER alpha  ",
    "Bearer\talpha",
    " Bearer \t alpha\t",
]


def test_a_key_is_one_client_in_every_form_of_the_header(tmp_path: Path) -> None:
    client = client_of(tmp_path, keys="alpha\nbeta\n", rate_limit="5/hour")
    assert statuses(client, HEADERS_OF_ONE_KEY) == [200] * 5 + [429]
    assert statuses(client, ["Bearer beta"]) == [200]


def test_wrong_keys_count_by_address_and_lock_no_valid_key_out(tmp_path: Path) -> None:
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
def test_401_has_the_challenge_of_rfc_6750(tmp_path: Path, header: str | None, challenge: str) -> None:
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
def test_an_address_is_counted_by_its_network(address: str, network: str) -> None:
    assert access.network_of(address) == network


def test_all_addresses_of_a_subscriber_share_one_rate_limit(tmp_path: Path) -> None:
    client = client_of(tmp_path, rate_limit="1/hour")
    assert statuses(client, [""], address="2001:db8::1") == [200]
    assert statuses(client, [""], address="2001:db8::2") == [429]
    assert statuses(client, [""], address="2001:db8:0:1::1") == [200]


def test_the_rate_limit_starts_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread for each window would fail, and the request with it, if the system had no thread left."""
    client = client_of(tmp_path, rate_limit="2/hour")
    monkeypatch.setattr("threading.Thread.start", lambda thread: pytest.fail(f"{thread} was started"))
    assert statuses(client, [""] * 3) == [200, 200, 429]


@pytest.mark.parametrize(
    ("given", "is_kept"), [("mine-1", True), ("x" * 128, True), ("x" * 129, False), ("a b", False)]
)
def test_every_response_has_a_request_id(tmp_path: Path, given: str, is_kept: bool) -> None:
    client = client_of(tmp_path)
    answers = [client.get(path, headers={"X-Request-Id": given}) for path in ("/ask", "/missing")]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert ids == [given, given] if is_kept else len({given, *ids}) == 3


def test_every_limited_response_reports_the_rate(tmp_path: Path) -> None:
    client = client_of(tmp_path, keys="alpha", rate_limit="2/hour")
    headers = {"Authorization": "Bearer alpha"}
    answers = [client.get("/ask", headers=headers), client.get("/missing", headers=headers)]
    answers.append(client.get("/ask", headers=headers))
    assert [answer.status_code for answer in answers] == [200, 404, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    for answer in answers:
        assert answer.headers["RateLimit-Limit"] == "2"
        assert 3500 < int(answer.headers["RateLimit-Reset"]) <= 3600
    assert answers[2].headers["Retry-After"] == answers[2].headers["RateLimit-Reset"]
    assert client.get("/ask").headers["RateLimit-Remaining"] == "1", "a refused key counts by its address"


@pytest.mark.parametrize(("path", "rate"), [("/livez", "1/hour"), ("/ask", None)])
def test_a_response_without_a_limit_reports_none(tmp_path: Path, path: str, rate: str | None) -> None:
    answer = client_of(tmp_path, rate_limit=rate).get(path)
    assert answer.status_code == 200
    assert not [name for name, _ in answer.headers if name.startswith("RateLimit-")]


def test_keys_are_rotated_while_the_service_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(tmp_path, keys="alpha\n")
    (tmp_path / "keys").write_text("alpha\nnew-key\n")
    monkeypatch.setattr("service.keys.SECONDS_BETWEEN_CHECKS", 0)
    assert statuses(client, ["Bearer alpha", "Bearer new-key"]) == [200, 200]
    (tmp_path / "keys").write_text("new-key\n")
    assert statuses(client, ["Bearer alpha", "Bearer new-key"]) == [401, 200]


def test_probes_need_no_key_and_cost_no_rate(tmp_path: Path) -> None:
    client = client_of(tmp_path, keys="alpha", rate_limit="1/hour")
    assert [client.get("/livez").status_code for _ in range(3)] == [200] * 3


def test_each_request_is_a_line_of_the_log_except_expected_probes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(tmp_path)
    with caplog.at_level(logging.INFO):
        for path in ("/ask", "/livez", "/readyz", "/" + "x" * 1000):
            client.get(path, headers={"X-Request-Id": "mine"}).close()
    lines = [vars(record) for record in caplog.records]
    assert [(line["path"], line["status"]) for line in lines] == [("/ask", 200), ("/" + "x" * 199 + "…", 404)]
    for line in lines:
        assert (line["request_id"], line["method"]) == ("mine", "GET")
        assert line["duration_ms"] >= 0

"""deploy/nginx before two real services: a rolling restart, full queues, one rate limit, errors of nginx's own."""

import http.client
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from service.config import Config, variable_of
from service.http.schemas import max_body_bytes, max_body_bytes_of
from tests.nginx_servers import CONFIGURATION, Nginx, needs_nginx, running_nginx
from tests.ports import free_port
from tests.processes import ROOT
from tests.redis_servers import needs_redis
from tests.system.clients import ENDLESS, JSON, log_records, metric
from tests.system.replicas import LENGTH, SEEDS, Load, Replicas, running_replicas
from tests.waiting import wait_until

CLIENTS = 16  # as many as one service runs or queues
SLOTS = QUEUE = 12
RATE = 40
COMPOSE = ROOT / "deploy/nginx/docker-compose.yml"


@pytest.fixture(scope="module")
def replicas(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    settings = {"engines": 1, "slots": SLOTS, "queue": QUEUE, "max_length": ENDLESS, "rate_limit": f"{RATE}/hour"}
    with running_replicas(tiny / "models", tmp_path_factory.mktemp("replicas"), **settings) as started:
        yield started


def check_rolling_restart(replicas: Replicas, clients: int, pause_s: float) -> None:
    texts = [replicas.services[0].generate(length=LENGTH, seed=seed)["text"] for seed in range(SEEDS)]
    with Load(replicas.nginx, clients, texts, pause_s=pause_s) as load:
        for number in (0, 1):
            done = len(load.first_event_s) + clients
            wait_until(lambda done=done: len(load.first_event_s) >= done, explain=lambda: load.failures)
            assert replicas.restart(number) == 0
            wait_until(lambda number=number: metric(replicas.services[number], "charloom_finished_total") > 0)
    assert load.failures == []
    print(load.summary())


@needs_nginx
@needs_redis
def test_a_rolling_restart_loses_no_stream(replicas: Replicas) -> None:
    check_rolling_restart(replicas, CLIENTS, pause_s=0.3)  # a pause leaves the cores to the service that starts


@needs_nginx
@needs_redis
@pytest.mark.slow
def test_a_rolling_restart_under_64_streams_of_the_included_model_loses_none(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "models/shakespeare", tmp_path / "models/shakespeare")
    with running_replicas(tmp_path / "models", tmp_path, engines=1) as replicas:
        check_rolling_restart(replicas, 64, pause_s=0)


@needs_nginx
@needs_redis
def test_events_are_not_buffered_and_a_request_is_refused_once_both_are_full(replicas: Replicas) -> None:
    with ExitStack() as streams:
        connections = [streams.enter_context(closing(replicas.nginx.connect())) for _ in range(2 * (SLOTS + QUEUE))]
        for connection in connections:
            connection.request("POST", "/generate", json.dumps({"length": ENDLESS}).encode(), JSON)
        # The head of a stream that waits in the queue comes after a second, with its first ping.
        responses = [streams.enter_context(closing(connection.getresponse())) for connection in connections]
        assert {response.status for response in responses} == {200}
        status, headers, body = replicas.nginx.request("POST", "/generate", {})
        assert (status, headers["Retry-After"], json.loads(body)["error"]["code"]) == (429, "1", "queue_full")
        for service in replicas.services:
            assert metric(service, "charloom_rejected_total", reason="queue_full") >= 1
            assert metric(service, "charloom_streams_running") == SLOTS
        # A ping has few bytes and comes once a second: with a buffer to fill first, it would arrive minutes later.
        lines = [response.readline() for response in responses]
        assert lines.count(b": ping\n") >= 2 * QUEUE
        assert all(line == b": ping\n" or line.startswith(b"data: ") for line in lines)
    for service in replicas.services:
        wait_until(lambda service=service: metric(service, "charloom_streams_running") == 0)


@needs_nginx
@needs_redis
def test_the_replicas_share_the_rate_limit_of_the_address_that_nginx_sees(replicas: Replicas) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", replicas.nginx.port, source_address=("127.99.0.1", 0))

    def ask(number: int) -> tuple[int, str | None]:
        connection.request("GET", "/models", headers={"X-Forwarded-For": f"10.0.0.{number}"})
        response = connection.getresponse()
        response.read()
        return response.status, response.headers["RateLimit-Remaining"]

    with closing(connection):
        assert [ask(number) for number in range(RATE)] == [(200, str(left)) for left in reversed(range(RATE))]
        assert ask(RATE) == (429, "0")
    for service in replicas.services:
        assert metric(service, "charloom_rejected_total", reason="rate_limit") == 1
        wait_until(lambda service=service: any(record.get("path") == "/models" for record in log_records(service)))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Nginx]:
    """nginx before two ports at which nothing listens."""
    with running_nginx(tmp_path, [free_port(), free_port()]) as nginx:
        yield nginx


@needs_nginx
def test_errors_of_nginx_have_the_format_of_the_service(alone: Nginx) -> None:
    status, headers, body = alone.request("POST", "/generate", {})
    assert (status, headers["Retry-After"], headers["Content-Type"]) == (503, "1", "application/json")
    assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}
    assert json.loads(body)["error"]["code"] == "unavailable"
    status, _, body = alone.request("GET", "/metrics")
    assert (status, json.loads(body)["error"]["code"]) == (404, "not_found")
    with closing(alone.connect()) as connection:
        connection.putrequest("POST", "/score")
        connection.putheader("Content-Length", "20000000")
        connection.endheaders()
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["error"]["code"]) == (413, "body_too_large")


def test_the_limits_of_nginx_fit_those_of_the_service() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    config = Config(models=ROOT / "models")
    largest = max(max_body_bytes(config), *max_body_bytes_of(config).values())
    assert largest < 2**20 * int(re.findall(r"client_max_body_size (\d+)m;", text)[0]) < largest * 1.2
    default, score = [int(seconds) for seconds in re.findall(r"proxy_read_timeout (\d+)s;", text)]
    assert default > config.request_timeout
    assert score > config.request_timeout * config.max_text / config.max_length
    ours = int(re.findall(r"^keepalive = (\d+)$", (ROOT / "service/gunicorn.conf.py").read_text(), re.MULTILINE)[0])
    assert int(re.findall(r"keepalive_timeout (\d+)s;", text)[0]) < ours


def test_the_replicas_of_compose_have_every_setting() -> None:
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    main = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["service"]
    variables = {variable_of(field.name) for field in fields(Config)}
    text = CONFIGURATION.read_text(encoding="utf-8")
    replicas = re.findall(r"server ([\w-]+):8000", text)
    assert ["build" in services[name] for name in replicas] == [True, False]
    assert replicas[0] in services[replicas[1]]["depends_on"]  # only the first fills the volume of models
    for name in replicas:
        environment = services[name]["environment"]
        assert environment.keys() == main["environment"].keys() <= variables
        assert environment["CHARLOOM_RATE_LIMIT_STORAGE"] == "redis://redis:6379/0"
        assert services[name]["volumes"] == main["volumes"]
        assert services[name]["stop_grace_period"] == main["stop_grace_period"]
    assert services["nginx"]["ports"] == ["${PORT:-127.0.0.1:8000}:" + re.findall(r"listen (\d+);", text)[0]]


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="needs docker-compose")
def test_the_compose_file_is_valid() -> None:
    command = ["docker-compose", "--project-directory", str(ROOT), "-f", str(COMPOSE), "config", "-q"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr

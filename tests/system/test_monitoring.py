"""Prometheus itself reads the rules, scrapes a running service and the nights, and answers the dashboard's queries."""

import http.client
import json
import math
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from tests.processes import ROOT
from tests.servers import Server
from tests.system.test_swap import publish
from training.retraining.metrics import Nights
from training.retraining.record import PUBLISHED, Night

DEPLOY = ROOT / "deploy"
pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="needs Debian's prometheus beside the engine")
SECONDS = 60


def promtool(*arguments: str) -> None:
    result = subprocess.run(["promtool", *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_prometheus_reads_its_configuration_and_the_alerts_fire_when_they_should() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")


def test_every_alert_is_explained() -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    names = [line.split()[-1] for line in (DEPLOY / "alerts.yml").read_text().splitlines() if "- alert:" in line]
    assert len(names) >= 10
    for name in names:
        assert name in page


class Prometheus:
    """A real one, with our configuration but for its targets and its pace."""

    def __init__(self, folder: Path, service: Server, nightly: int) -> None:
        self.port = Server.free_port()
        text = (DEPLOY / "prometheus.yml").read_text()
        for old, new in {
            "service:8000": f"127.0.0.1:{service.port}",
            "nightly:9101": f"127.0.0.1:{nightly}",
            "15s": "500ms",
        }.items():
            assert old in text
            text = text.replace(old, new)
        shutil.copy(DEPLOY / "alerts.yml", folder)
        (folder / "prometheus.yml").write_text(text)
        self._log = (folder / "log").open("w")
        command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        command.append(f"--web.listen-address=127.0.0.1:{self.port}")
        self._process = subprocess.Popen(command, cwd=folder, stdout=self._log, stderr=subprocess.STDOUT)

    def query(self, expression: str) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
            response = connection.getresponse()
            content = response.read()
        except OSError:  # it has not begun to listen
            return []
        finally:
            connection.close()
        if response.status == 503:  # it listens, and is not ready yet
            return []
        answer = json.loads(content)
        assert answer["status"] == "success", answer
        return [float(sample["value"][1]) for sample in answer["data"]["result"]]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)
        self._log.close()


@pytest.fixture
def prometheus(tiny: Path, serve: Any, tmp_path: Path) -> Iterator[tuple[Prometheus, Server]]:
    shutil.copytree(tiny / "models", tmp_path / "models")
    server = serve(tmp_path / "models", engines=1, slots=2, queue=0, poll_seconds=0.1)
    losses = {"fresh": {"old": 2.0, "new": 1.9, "characters": 1e3}}
    night = Night("tiny", "2026-11-21T03:00:00+00:00", decision=PUBLISHED, seconds=9.0, characters=7, losses=losses)
    night.append(tmp_path / "models")
    registry = CollectorRegistry()
    registry.register(Nights(tmp_path / "models", ["tiny"]))
    port = Server.free_port()
    nightly, thread = start_http_server(port, registry=registry)
    started = Prometheus(tmp_path, server, port)
    yield started, server
    started.stop()
    nightly.shutdown()
    nightly.server_close()
    thread.join()


def test_every_query_of_the_dashboard_has_data(
    prometheus: tuple[Prometheus, Server], tiny: Path, tmp_path: Path
) -> None:
    monitor, server = prometheus
    dashboard = json.loads((DEPLOY / "grafana/dashboards/charloom.json").read_text())
    queries = {target["expr"] for panel in dashboard["panels"] for target in panel["targets"]}
    assert len(queries) > 20
    assert all(panel["description"] for panel in dashboard["panels"])
    publish(tiny, tmp_path / "models", 9, broken=True)
    deadline_s = time.monotonic() + SECONDS
    empty = queries
    while empty:  # traffic goes on until each has seen some of it
        assert time.monotonic() < deadline_s, empty
        server.generate(prompt="the cat", length=50)
        _hang_up(server)
        empty = {query for query in empty if not _has_data(monitor, query)}
    for expression in ("ALERTS{alertname='CharloomVersionRefused'}", "up == 1"):
        while not monitor.query(expression):
            assert time.monotonic() < deadline_s, expression
            time.sleep(0.1)  # between two looks


def _has_data(monitor: Prometheus, query: str) -> bool:
    values = monitor.query(query.replace("$__rate_interval", "20s"))
    return bool(values) and not all(map(math.isnan, values))


def _hang_up(server: Server) -> None:
    """Ask for a long text and go away."""
    with closing(server.connect()) as connection:
        connection.request("POST", "/generate", b'{"length": 100000}', {"Content-Type": "application/json"})
        connection.getresponse().read(100)

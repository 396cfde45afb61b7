"""A real Prometheus loads deploy/, scrapes the service and the retraining job, and answers the dashboard's queries."""

import http.client
import json
import math
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from tests.ports import free_port
from tests.processes import ROOT
from tests.servers import Server
from tests.system.versions import publish_copy
from tests.waiting import wait_until
from training.retraining.metrics import RetrainingMetrics
from training.retraining.record import PUBLISHED, Record

DEPLOY = ROOT / "deploy"
pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool and prometheus")


def promtool(*arguments: str) -> None:
    result = subprocess.run(["promtool", *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_configuration_is_valid_and_the_alerts_pass_their_tests() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")


def test_every_alert_is_documented() -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    names = [line.split()[-1] for line in (DEPLOY / "alerts.yml").read_text().splitlines() if "- alert:" in line]
    assert len(names) >= 10
    for name in names:
        assert name in page


class Prometheus:
    """Prometheus with deploy/prometheus.yml; only its targets and its scrape interval differ."""

    def __init__(self, folder: Path, service: Server, nightly: int) -> None:
        self.port = free_port()
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
        except OSError:  # it does not listen yet
            return []
        finally:
            connection.close()
        if response.status == 503:  # it listens but is not ready
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
    """Prometheus that scrapes a service and the metrics of one retraining run."""
    shutil.copytree(tiny / "models", tmp_path / "models")
    server = serve(tmp_path / "models", engines=1, slots=2, queue=0, poll_seconds=0.1)
    losses = {"fresh": {"old": 2.0, "new": 1.9, "characters": 1e3}}
    record = Record("tiny", "2026-11-21T03:00:00+00:00", decision=PUBLISHED, seconds=9.0, characters=7, losses=losses)
    record.append(tmp_path / "models")
    registry = CollectorRegistry()
    registry.register(RetrainingMetrics(tmp_path / "models", ["tiny"]))
    port = free_port()
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
    publish_copy(tiny, tmp_path / "models", 9, broken=True)

    def all_have_data() -> bool:
        server.generate(prompt="the cat", length=50)  # rates need traffic
        _disconnect(server)
        queries.difference_update([query for query in queries if _has_data(monitor, query)])
        return not queries

    wait_until(all_have_data, explain=lambda: queries)
    wait_until(lambda: monitor.query("ALERTS{alertname='CharloomVersionRefused'}"))
    wait_until(lambda: monitor.query("up == 1"))


def _has_data(monitor: Prometheus, query: str) -> bool:
    values = monitor.query(query.replace("$__rate_interval", "20s"))
    return bool(values) and not all(map(math.isnan, values))


def _disconnect(server: Server) -> None:
    """Ask for a long text and close the connection."""
    with closing(server.connect()) as connection:
        connection.request("POST", "/generate", b'{"length": 100000}', {"Content-Type": "application/json"})
        connection.getresponse().read(100)

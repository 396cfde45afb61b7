"""Services that share a rate limit through a real Redis."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.processes import ROOT
from tests.redis_servers import needs_redis, running_redis, wait_long_for_redis
from tests.servers import Server
from tests.system.clients import log_records, metric


@needs_redis
def test_two_services_share_one_limit_and_outlive_their_redis(serve, tiny: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret-key")
    with running_redis(tmp_path) as redis:
        settings = {"engines": 1, "api_keys_file": keys, "rate_limit": "3/hour", "rate_limit_storage": redis.url}
        servers = [serve(tiny / "models", before_start=wait_long_for_redis, **settings) for _ in range(2)]

        def generate(server: Server) -> tuple[int, str | None, bool]:
            bearer = {"Authorization": "Bearer secret-key"}
            status, headers, _ = server.request("POST", "/generate", {"length": 2}, bearer)
            return status, headers["RateLimit-Remaining"], "Retry-After" in headers

        answers = [generate(servers[number % 2]) for number in range(5)]
        assert answers == [(200, "2", False), (200, "1", False), (200, "0", False), (429, "0", True), (429, "0", True)]
        redis.stop()
        assert generate(servers[0]) == (200, "2", False)
        assert metric(servers[0], "charloom_rate_limit_storage_failures_total") == 1
        records = log_records(servers[0])
        assert [record["level"] for record in records if record["logger"] == "service.http.shared_rate"] == ["ERROR"]
        for server in servers:
            assert "secret-key" not in server.log()


@pytest.mark.parametrize("storage", ["redis://:secret@127.0.0.1:9", "http://:secret@127.0.0.1"])
def test_a_redis_that_cannot_be_used_stops_the_start_with_one_sentence(tiny: Path, storage: str) -> None:
    environment = os.environ | {
        "CHARLOOM_MODELS": str(tiny / "models"),
        "CHARLOOM_ENGINES": "1",
        "CHARLOOM_RATE_LIMIT": "3/hour",
        "CHARLOOM_RATE_LIMIT_STORAGE": storage,
        "PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "gunicorn", "--config", "service/gunicorn.conf.py"]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if not _is_json(line)]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Charloom cannot start: CHARLOOM_RATE_LIMIT_STORAGE ")
    assert "secret" not in result.stderr


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False

"""Two services behind nginx with one Redis, and clients that request one stream after the other."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.nginx_servers import Nginx, running_nginx
from tests.ports import free_port
from tests.redis_servers import running_redis, wait_long_for_redis
from tests.servers import Server
from tests.system.clients import NDJSON

SEEDS = 4  # of the streams; each has one text
LENGTH = 300


class Replicas:
    """Two services at fixed ports, and nginx before them."""

    def __init__(self, models: Path, **settings: Any) -> None:
        """Start both services."""
        self._models, self._settings = models, settings
        self.services = [self._started(free_port()) for _ in range(2)]
        self.nginx: Nginx

    def restart(self, number: int) -> int:
        """Stop a service with SIGTERM, start it again at its port, and return the exit code of the first."""
        code = self.services[number].stop()
        self.services[number] = self._started(self.services[number].port)
        return code

    def _started(self, port: int) -> Server:
        return Server(self._models, port=port, before_start=wait_long_for_redis, **self._settings)


@contextmanager
def running_replicas(models: Path, folder: Path, **settings: Any) -> Iterator[Replicas]:
    """Start Redis, the services and nginx, and stop them at the end."""
    with running_redis(folder) as redis:
        replicas = Replicas(models, rate_limit_storage=redis.url, trusted_proxies=1, **settings)
        try:
            with running_nginx(folder, [service.port for service in replicas.services]) as replicas.nginx:
                yield replicas
        finally:
            for service in replicas.services:
                service.stop()


class Load:
    """Clients that request one stream after the other. A stream that is not complete is a failure."""

    def __init__(self, server: Server, clients: int, texts: list[str], *, pause_s: float) -> None:
        """`texts` has the text of each seed; `pause_s` is between two streams of a client."""
        self.first_event_s: list[float] = []  # of the complete streams
        self.failures: list[str] = []
        self._server, self._texts, self._pause_s = server, texts, pause_s
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[number % SEEDS]) for number in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let every client finish its stream."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def summary(self) -> str:
        """The number of complete streams, and the times to their first events."""
        first_ms = [1000 * seconds for seconds in sorted(self.first_event_s)]
        p50, p99 = (first_ms[len(first_ms) * share // 100] for share in (50, 99))
        first_event = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {first_ms[-1]:.0f} ms"
        return f"{len(first_ms)} complete streams; to the first event: {first_event}"

    def _run(self, seed: int) -> None:
        while not self._stopped.is_set():
            try:
                self.first_event_s.append(self._stream(seed))
            except (OSError, http.client.HTTPException, AssertionError, LookupError, ValueError) as error:
                self.failures.append(repr(error))
            self._stopped.wait(self._pause_s)

    def _stream(self, seed: int) -> float:
        """Read a stream to its end, and return the seconds to its first event."""
        connection = self._server.connect()
        try:
            began_s = time.monotonic()
            connection.request("POST", "/generate", json.dumps({"length": LENGTH, "seed": seed}).encode(), NDJSON)
            response = connection.getresponse()
            first = response.readline()
            first_event_s = time.monotonic() - began_s
            assert response.status == 200, first
            last = json.loads(response.read().splitlines()[-1])
            assert json.loads(first)["index"] == 0
            assert last["text"] == self._texts[seed], last
            return first_event_s
        finally:
            connection.close()

"""More clients than places and clients that vanish, on a real gunicorn: nobody hangs."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server
from tests.system.test_operations import ENDLESS, metric, streaming, wait_until

CLIENTS = 80  # ten times as many as may run or wait


def insist(server: Server, seed: int) -> int:
    """Ask as often as it takes, as the server asks to be asked; returns how often it refused."""
    refused = 0
    while True:
        status, headers, body = server.request("POST", "/generate", {"length": 300, "seed": seed})
        if status == 200:
            last = json.loads(body.decode().rstrip().rpartition("data: ")[2])
            assert (last["finish_reason"], len(last["text"])) == ("length", 300)
            return refused
        assert (status, headers["Retry-After"]) == (429, "1")
        assert headers["Content-Type"] == "application/json"
        assert json.loads(body)["error"]["code"] == "queue_full"
        refused += 1
        time.sleep(int(headers["Retry-After"]))


def test_past_the_queue_clients_are_refused_at_once_and_probes_stay_quick(serve, tiny: Path) -> None:
    server = serve(tiny / "models", engines=1, slots=4, queue=4, chunk=1)
    served, latencies_s = threading.Event(), []

    def probe() -> None:
        while not served.is_set():
            started = time.monotonic()
            assert server.request("GET", "/livez")[0] == 200
            latencies_s.append(time.monotonic() - started)

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        probing = pool.submit(probe)
        refused = sum(pool.map(lambda seed: insist(server, seed), range(CLIENTS)))
        served.set()
        probing.result()
    assert refused > 0
    # On a busy machine streams that have ended and are not yet read count as open too.
    reasons = ("queue_full", "slow_clients")
    assert sum(metric(server, "charloom_rejected_total", reason=reason) for reason in reasons) == refused
    assert sorted(latencies_s)[int(0.99 * len(latencies_s))] < 2, "a probe waited behind streams"
    assert metric(server, "charloom_streams_running") == 0


@contextmanager
def client(server: Server, **fields: Any) -> Iterator[socket.socket]:
    """A request that was sent; its client vanishes as a killed process does."""
    body = json.dumps(fields).encode()
    head = (
        f"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + body)
        yield connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a farewell


@pytest.fixture(scope="module")
def one_slot(tiny: Path) -> Iterator[Server]:
    started = Server(tiny / "models", engines=1, slots=1, queue=1, chunk=1, max_length=ENDLESS, max_prompt=10**6)
    yield started
    started.stop()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("prompt", ["", "the cat " * 100_000], ids=["generating", "reading its prompt"])
def test_a_client_that_vanishes_frees_its_row(one_slot: Server, prompt: str, stream: bool) -> None:
    cancelled, generated = (metric(one_slot, f"charloom_{name}_total") for name in ("cancelled", "generated_chars"))
    with client(one_slot, prompt=prompt, length=ENDLESS, stream=stream) as connection:
        wait_until(lambda: metric(one_slot, "charloom_streams_running") == 1)
        if stream and not prompt:
            assert connection.recv(1000)
    wait_until(lambda: metric(one_slot, "charloom_cancelled_total") == cancelled + 1)
    wait_until(lambda: metric(one_slot, "charloom_streams_running") == 0)
    assert (metric(one_slot, "charloom_generated_chars_total") == generated) is bool(prompt)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_vanishes_from_the_queue_frees_its_place(one_slot: Server, stream: bool) -> None:
    cancelled = metric(one_slot, "charloom_cancelled_total")
    with streaming(one_slot, length=ENDLESS):
        with client(one_slot, length=ENDLESS, stream=stream):
            wait_until(lambda: metric(one_slot, "charloom_streams_waiting") == 1)
            assert one_slot.request("POST", "/generate", {})[0] == 429
        wait_until(lambda: metric(one_slot, "charloom_cancelled_total") == cancelled + 1)
        assert metric(one_slot, "charloom_streams_running") == 1
        with client(one_slot, length=1) as next_client:
            assert next_client.recv(100).startswith(b"HTTP/1.1 200")
    wait_until(lambda: metric(one_slot, "charloom_streams_running") == 0)
    assert metric(one_slot, "charloom_streams_waiting") == 0


def test_a_client_that_closes_in_order_frees_its_place_too(one_slot: Server) -> None:
    """Closed with nothing unread, which could be a client that only stops sending: the next ping tells."""
    cancelled = metric(one_slot, "charloom_cancelled_total")
    with streaming(one_slot, length=ENDLESS):
        connection = one_slot.connect()
        connection.request("POST", "/generate", json.dumps({}).encode(), {"Content-Type": "application/json"})
        wait_until(lambda: metric(one_slot, "charloom_streams_waiting") == 1)
        connection.close()
        wait_until(lambda: metric(one_slot, "charloom_cancelled_total") == cancelled + 1)
    wait_until(lambda: metric(one_slot, "charloom_streams_running") == 0)

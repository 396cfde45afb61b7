"""Full slots, a full queue and clients that vanish, on a service that runs on gunicorn."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.servers import Server
from tests.system.clients import ENDLESS, metric, streaming, vanishing
from tests.waiting import wait_until

CLIENTS = 80  # ten times the slots and the queue


def generate_with_retries(server: Server, seed: int) -> int:
    """Ask until a stream is served, waiting as Retry-After says; returns the number of refusals."""
    refused = 0
    while True:
        fields = {"length": 100, "seed": seed, "stream": seed % 2 == 0}
        status, headers, body = server.request("POST", "/generate", fields)
        if status == 200:
            last = json.loads(body.decode().rstrip().rpartition("data: ")[2])
            assert (last["finish_reason"], len(last["text"])) == ("length", 100)
            return refused
        assert (status, headers["Retry-After"]) == (429, "1")
        assert headers["Content-Type"] == "application/json"
        assert json.loads(body)["error"]["code"] == "queue_full"
        refused += 1
        time.sleep(int(headers["Retry-After"]))


def test_with_a_full_queue_clients_get_429_and_probes_stay_fast(serve, tiny: Path) -> None:
    server = serve(tiny / "models", engines=1, slots=4, queue=4, chunk=1)
    served, latencies_s = threading.Event(), list[float]()

    def probe() -> None:
        while not served.is_set():
            started = time.monotonic()
            assert server.request("GET", "/livez")[0] == 200
            latencies_s.append(time.monotonic() - started)

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        probing = pool.submit(probe)
        refused = sum(pool.map(lambda seed: generate_with_retries(server, seed), range(CLIENTS)))
        served.set()
        probing.result()
    assert refused > 0
    # On a busy machine, streams that have ended but are not read yet count as open too.
    reasons = ("queue_full", "slow_clients")
    assert sum(metric(server, "charloom_rejected_total", reason=reason) for reason in reasons) == refused
    assert sorted(latencies_s)[int(0.99 * len(latencies_s))] < 2, "a probe waited behind streams"
    assert metric(server, "charloom_streams_running") == 0


@pytest.fixture(scope="module")
def one_slot(tiny: Path) -> Iterator[Server]:
    """A server that runs one stream and queues one."""
    started = Server(tiny / "models", engines=1, slots=1, queue=1, chunk=1, max_length=ENDLESS, max_prompt=10**6)
    yield started
    started.stop()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("prompt", ["", "the cat " * 100_000], ids=["decode", "prefill"])
def test_a_client_that_vanishes_frees_its_row(one_slot: Server, prompt: str, stream: bool) -> None:
    cancelled, generated = (metric(one_slot, f"charloom_{name}_total") for name in ("cancelled", "generated_chars"))
    begun = metric(one_slot, "charloom_first_char_seconds_count")
    with vanishing(one_slot, prompt=prompt, length=ENDLESS, stream=stream):
        wait_until(lambda: metric(one_slot, "charloom_streams_running") == 1)
        if not prompt:
            wait_until(lambda: metric(one_slot, "charloom_first_char_seconds_count") > begun)
    wait_until(lambda: metric(one_slot, "charloom_cancelled_total") == cancelled + 1)
    wait_until(lambda: metric(one_slot, "charloom_streams_running") == 0)
    if prompt:
        assert metric(one_slot, "charloom_generated_chars_total") == generated
    else:
        wait_until(lambda: metric(one_slot, "charloom_generated_chars_total") > generated)


@pytest.mark.parametrize("stream", [True, False])
def test_a_queued_client_that_vanishes_leaves_the_queue(one_slot: Server, stream: bool) -> None:
    cancelled = metric(one_slot, "charloom_cancelled_total")
    with streaming(one_slot, length=ENDLESS):
        with vanishing(one_slot, length=ENDLESS, stream=stream):
            wait_until(lambda: metric(one_slot, "charloom_streams_waiting") == 1)
            assert one_slot.request("POST", "/generate", {})[0] == 429
        wait_until(lambda: metric(one_slot, "charloom_cancelled_total") == cancelled + 1)
        assert metric(one_slot, "charloom_streams_running") == 1
        with vanishing(one_slot, length=1) as next_client:
            assert next_client.recv(100).startswith(b"HTTP/1.1 200")
    wait_until(lambda: metric(one_slot, "charloom_streams_running") == 0)
    assert metric(one_slot, "charloom_streams_waiting") == 0


def test_a_queued_client_that_closes_its_connection_leaves_the_queue(one_slot: Server) -> None:
    """A FIN alone may also mean that the client only stops sending; the next ping to it fails."""
    cancelled = metric(one_slot, "charloom_cancelled_total")
    with streaming(one_slot, length=ENDLESS):
        connection = one_slot.connect()
        connection.request("POST", "/generate", json.dumps({}).encode(), {"Content-Type": "application/json"})
        wait_until(lambda: metric(one_slot, "charloom_streams_waiting") == 1)
        connection.close()
        wait_until(lambda: metric(one_slot, "charloom_cancelled_total") == cancelled + 1)
    wait_until(lambda: metric(one_slot, "charloom_streams_running") == 0)

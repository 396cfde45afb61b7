"""N clients of an HTTP server in one thread, which count characters and measure when they arrive.

    python -m bench.client          a turn as JSON on each line of stdin, its results as JSON on stdout

It shares the server's cores, so it does little work: sockets without a library, one `count` over the received bytes.
It only assumes that each character is one event of `text/event-stream`, and that one more event ends a text.
"""

import json
import random
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.workload import lengths, seeds

# JSON escapes line feeds, so these bytes occur only at the start of an event.
EVENT = b"\ndata: "
HOST = "127.0.0.1"
PROBE_LENGTH = 5
LONGEST_PAUSE_S = 0.05  # between two probes; random, so that probes do not synchronise with the engine


class Refused(Exception):
    """The server did not answer as requested."""


@dataclass
class Reader:
    """One request under way."""

    socket: socket.socket
    length: int
    is_probe: bool
    sent_s: float
    events: int = 0
    last_s: float = 0.0  # when the last part of the text arrived
    end: bytes = b""  # of the last part: an event's start may be split between two
    head: bytes = field(default=b"", repr=False)

    def read(self) -> tuple[int, bool]:
        """Receive; returns the number of events received, and whether the response has ended."""
        content = self.socket.recv(1 << 18)
        if not self.events:
            self.head += content
            if len(self.head) >= 12 and not self.head.startswith(b"HTTP/1.1 200"):
                raise Refused(f"the server answered {self.head[:300]!r}")
        joined = self.end + content
        self.end = joined[1 - len(EVENT) :]
        found = joined.count(EVENT)
        if not content and self.events != self.length + 1:
            raise Refused(f"a text of {self.length} characters ended after {self.events} events")
        return found, not content


class Clients:
    """All requests of one turn."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._selector = selectors.DefaultSelector()
        self._texts = zip(lengths(job["seed"]), seeds(job["seed"]), strict=False)
        self._random = random.Random(job["seed"])
        self._events = self._ended = 0
        self._probe_due_s: float | None = None
        self.first_ms: list[float] = []
        self.probe_ms: list[float] = []
        self.gap_ms: list[float] = []

    def start(self) -> None:
        """Open the streams."""
        for _ in range(self._job["streams"]):
            self._ask_for_text()

    def run(self, *, until: float) -> int:
        """Read until then; returns the characters received since the start."""
        while (missing := until - time.perf_counter()) > 0:
            self._look(missing)
        return self._events - self._ended

    def probe(self, count: int, *, until: float) -> int:
        """Send one short request after the other beside the streams, until then or until one has been answered.

        Returns:
            The characters of the streams received since the start.
        """
        self._probe_due_s = time.perf_counter()
        while len(self.probe_ms) < count and ((now := time.perf_counter()) < until or not self.probe_ms):
            if self._probe_due_s is not None and now >= self._probe_due_s:
                self._probe_due_s = None
                self._ask_for_probe()
            self._look(LONGEST_PAUSE_S if self._probe_due_s is None else self._probe_due_s - now)
        return self._events - self._ended

    def close(self) -> None:
        """Close every connection. A client still without a character counts with the time that it has waited so far."""
        for reader in self._open():
            if not reader.events and not reader.is_probe:
                self.first_ms.append(1000 * (time.perf_counter() - reader.sent_s))
            reader.socket.close()
        self._selector.close()

    def _open(self) -> Iterator[Reader]:
        yield from [key.data for key in self._selector.get_map().values()]

    def _look(self, wait_s: float) -> None:
        for key, _ in self._selector.select(max(wait_s, 0)):
            self._take(key.data)

    def _take(self, reader: Reader) -> None:
        found, is_over = reader.read()
        now = time.perf_counter()
        if is_over:
            self._end(reader, now)
        elif found:
            self._note(reader, found, now)

    def _note(self, reader: Reader, found: int, now: float) -> None:
        if reader.is_probe:
            if not reader.events:
                self.probe_ms.append(1000 * (now - reader.sent_s))
            reader.events += found
            return
        times = self.gap_ms if reader.events else self.first_ms
        times.append(1000 * (now - (reader.last_s if reader.events else reader.sent_s)))
        reader.last_s = now
        reader.events += found
        self._events += found

    def _end(self, reader: Reader, now: float) -> None:
        self._selector.unregister(reader.socket)
        reader.socket.close()
        if reader.is_probe:
            self._probe_due_s = now + self._random.uniform(0, LONGEST_PAUSE_S)
        else:
            self._ended += 1
            self._ask_for_text()

    def _ask_for_text(self) -> None:
        length, seed = next(self._texts)
        self._ask({"prompt": "", "length": length, "seed": seed} | self._job.get("fields", {}), is_probe=False)

    def _ask_for_probe(self) -> None:
        prompt = "".join(self._random.choices(self._job["alphabet"], k=self._job["prompt_chars"]))
        self._ask({"prompt": prompt, "length": PROBE_LENGTH, "seed": 1}, is_probe=True)

    def _ask(self, fields: dict[str, Any], *, is_probe: bool) -> None:
        body = json.dumps(fields).encode()
        head = f"POST /generate HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        sent_s = time.perf_counter()
        connection = socket.create_connection((HOST, self._job["port"]))
        connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        connection.setblocking(False)
        reader = Reader(connection, fields["length"], is_probe, sent_s)
        self._selector.register(connection, selectors.EVENT_READ, reader)


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Keep N streams running, and count their characters.

    With `probes`, single short requests arrive meanwhile; the times to a first character are then those of the probes.
    """
    clients = Clients(job)
    clients.start()
    warmed = clients.run(until=time.perf_counter() + job["warm_s"])
    clients.gap_ms.clear()  # gaps while the streams started
    counted, cpu = time.perf_counter(), time.process_time()
    until = counted + job["seconds"]
    read = clients.probe(job["probes"], until=until) if job["probes"] else clients.run(until=until)
    passed, cpu = time.perf_counter() - counted, time.process_time() - cpu
    clients.close()
    return {
        "characters_per_second": (read - warmed) / passed,
        "first_char_ms": clients.probe_ms if job["probes"] else clients.first_ms,
        "gap_ms": clients.gap_ms,
        "client_cpu": cpu / passed,
    }


def main() -> None:
    """Run the job on each line of stdin."""
    for line in sys.stdin:
        job = json.loads(line)
        try:
            result = measure(job)
        except (Refused, OSError) as error:
            result = {"error": str(error)}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()

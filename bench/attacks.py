"""Hostile and careless clients of a service: the attacks of `bench.attack`. Knows a server only by its HTTP.

Each attack is called with a port and the time at which it ends (of `time.monotonic`), and returns the number of each
outcome: a status, `closed` (no response), `refused` (no connection) or `silent` (no response in time).
"""

import http.client
import json
import os
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

HOST = "127.0.0.1"
TICK_S = 0.05
DRIP_S = 5.0  # between two bytes of a slow client
SMALL_BUFFER = 2048
# 64 bytes each, so that a server which receives 8192 bytes at once finds the start of a request after them.
# 2,000 responses are more than the kernel buffers for a client that reads nothing.
UNREAD_LENGTH, UNREAD_COUNT = 64, 2000
CONNECT_S = 1.0
KEYS = ("alpha", "beta")
KEY_LIMIT, KEY_TRIES = 5, 40
USER = 54321  # without processes on this machine: the limit of processes counts all threads of a user
PROCESSES, THREADED_CLIENTS = 150, 200

Run = Callable[[int, float], Counter[str]]


def post(fields: str, *, length: int | None = None, path: str = "/generate") -> bytes:
    """A request with this JSON; `length` is a false Content-Length."""
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(fields) if length is None else length}\r\n\r\n{fields}".encode()


def get(path: str, *fields: str) -> bytes:
    """A request without a body."""
    return "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", f"Host: {HOST}", *fields, "")).encode()


@dataclass(frozen=True)
class Crowd:
    """`count` connections that all do the same. A closed one is replaced by another."""

    count: int
    first: bytes
    drip: bytes = b""  # sent every `drip_s` seconds
    drip_s: float = DRIP_S
    reads: bool = True

    def __call__(self, port: int, until: float) -> Counter[str]:
        """Keep them open until then, and close them."""
        seen: Counter[str] = Counter()
        members: dict[int, socket.socket] = {}
        answered: set[int] = set()
        drip_at = time.monotonic() + self.drip_s
        with select.epoll() as epoll:
            while (now := time.monotonic()) < until:
                for _ in range(min(max(10, self.count // 20), self.count - len(members))):
                    self._open(port, epoll, members, seen)
                if self.drip and now >= drip_at:
                    drip_at += self.drip_s
                    self._drip(members)
                time.sleep(TICK_S)  # limits the CPU time that the attacker takes from the service
                for descriptor, _ in epoll.poll(0):
                    self._look(descriptor, members, answered, seen)
        for member in members.values():
            member.close()
        seen["silent"] += len(members) - len(answered)
        return seen

    def _open(self, port: int, epoll: select.epoll, members: dict[int, socket.socket], seen: Counter[str]) -> None:
        member = socket.socket()
        member.settimeout(CONNECT_S)
        if not self.reads:
            member.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        try:
            member.connect((HOST, port))
            member.sendall(self.first)
        except OSError:
            seen["refused"] += 1
            member.close()
            return
        member.setblocking(False)
        members[member.fileno()] = member
        epoll.register(member, select.EPOLLRDHUP | (select.EPOLLIN if self.reads else 0))

    def _drip(self, members: Mapping[int, socket.socket]) -> None:
        for member in members.values():
            with suppress(OSError):
                member.send(self.drip)

    def _look(self, descriptor: int, members: dict[int, socket.socket], answered: set[int], seen: Counter[str]) -> None:
        try:
            content = members[descriptor].recv(1 << 18) if self.reads else b""
        except OSError:
            content = b""
        if content and descriptor not in answered:
            answered.add(descriptor)
            seen[status_of(content)] += 1
        if not content:
            seen["closed"] += descriptor not in answered
            answered.discard(descriptor)
            members.pop(descriptor).close()


def status_of(answer: bytes) -> str:
    """The status in the first line of a response."""
    return answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.") else "no HTTP"


EXTREMES = [
    *(f'"top_p": {value}' for value in ("1e-45", "1e-40", "1e-320", "5e-324", "1.2e-38", "0.99999999999", "1e-300")),
    *(f'"temperature": {value}' for value in ("1e-45", "1e-40", "1e-320", "5e-324", "1e-38", "4.9999999999")),
    *(f'"temperature": 1e-40, "top_p": {value}' for value in ("1e-40", "1e-320", "0.5")),
    *(f'"logit_bias": {{"e": {value}}}' for value in ("100", "-100", "1e-320", "-99.99999999999")),
    *(f'"top_k": {value}, "top_p": 1e-45' for value in ("1", "2147483647", "2147483648", "9223372036854775807")),
    '"seed": 9223372036854775807, "top_p": 1e-45',
    '"top_guesses": 5, "top_p": 1e-45, "temperature": 1e-45',
]


def extremes(port: int, until: float) -> Counter[str]:
    """Requests with numbers that a float32 cannot hold, a few at a time."""
    seen: Counter[str] = Counter()
    lock = threading.Lock()
    fields = cycle(EXTREMES)

    def ask() -> None:
        while time.monotonic() < until:
            with lock:
                chosen = next(fields)
            status = answer_to(port, post(f'{{"length": 20, "stream": false, {chosen}}}'), 10)
            with lock:
                seen[status] += 1

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def spellings(port: int, until: float) -> Counter[str]:
    """One key with its header written in many ways, more often than the rate limit allows."""
    seen: Counter[str] = Counter()
    forms = ["Bearer {}alpha", "bearer{} alpha", "BEARER \t{}alpha", "Bearer alpha {}", "Bearer {}alpha\t"]
    for number in range(KEY_TRIES):
        if time.monotonic() > until:
            break
        key = forms[number % len(forms)].format(" " * (number // len(forms)))
        request = post('{"length": 1, "stream": false}')
        seen[answer_to(port, request.replace(b"\r\n", f"\r\nAuthorization: {key}\r\n".encode(), 1), 10)] += 1
    return seen


def answer_to(port: int, request: bytes, timeout_s: float) -> str:
    """The outcome of one request on its own connection."""
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.sendall(request)
            return status_of(content) if (content := connection.recv(4096)) else "closed"
    except TimeoutError:
        return "silent"
    except (OSError, http.client.HTTPException):
        return "closed"


def nothing(port: int, until: float) -> Counter[str]:
    """No attack; the streams and the probes run alone."""
    time.sleep(max(0.0, until - time.monotonic()))
    return Counter()


def limited_processes() -> list[str]:
    """The prefix of a command that limits the threads of its user."""
    if os.geteuid() == 0:  # root has no such limit: another user, with root's right to read files
        powers = "+dac_read_search,+dac_override"
        user = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups", f"--inh-caps={powers}"]
        return ["setpriv", *user, f"--ambient-caps={powers}", "prlimit", f"--nproc={PROCESSES}"]
    threads = 0
    for path in Path("/proc").glob("[0-9]*/task"):
        with suppress(OSError):
            threads += len(os.listdir(path)) if path.stat().st_uid == os.geteuid() else 0
    return ["prlimit", f"--nproc={threads + PROCESSES}"]


@dataclass(frozen=True)
class Attack:
    """An attack, and the start of its service."""

    name: str
    run: Run
    prefix: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    has_streams: bool = True
    may_refuse: bool = False  # the start, with one sentence
    most_accepted: int | None = None  # responses of 200; more are a failure


def attacks() -> list[Attack]:
    """All attacks."""
    metrics = get("/metrics", "X-Pad: " + "a" * (UNREAD_LENGTH - len(get("/metrics", "X-Pad: "))))
    stream, long = json.dumps({"length": 300}), json.dumps({"length": 100_000})
    limited = f"{KEY_LIMIT}/minute"
    return [
        Attack("none", nothing),
        Attack("float extremes", extremes),
        Attack("livez body", Crowd(40, get("/livez", "Content-Length: 10"))),
        Attack("livez then stream", Crowd(16, get("/livez") + post(long))),
        Attack("10 unread metrics", Crowd(10, UNREAD_COUNT * metrics, reads=False)),
        Attack("100 unread metrics", Crowd(100, UNREAD_COUNT * metrics, reads=False)),
        Attack("4,700 of one byte", Crowd(4700, b"G")),
        Attack("430 slow heads", Crowd(430, b"POST /generate HTTP/1.1\r\nX-Slow: ", drip=b"a")),
        Attack("430 slow bodies", Crowd(430, post("{", length=10_000), drip=b" ")),
        Attack(f"{PROCESSES} threads", Crowd(THREADED_CLIENTS, post(stream)), limited_processes(), may_refuse=True),
        *(Attack(f"{n} files", nothing, ["prlimit", f"--nofile={n}:{n}"], may_refuse=True) for n in (64, 200, 256)),
        Attack("key formats", spellings, (), {"rate_limit": limited}, has_streams=False, most_accepted=KEY_LIMIT),
    ]

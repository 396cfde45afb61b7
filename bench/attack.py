"""Attacks on a real service, with 40 good streams beside each; exits 1 if one of these streams was incomplete.

    python -m bench.attack [--models FOLDER] [--seconds 15] [--only "float extremes"] [--strict] [--list]

Every attack of bench/attacks.py has its own service on a free port of 127.0.0.1. While it runs,

- 40 clients in another process request one stream after the other, and check every character and the closing object of
  each. A stream is lost after five seconds without a byte; after a 429 the client asks again;
- a third process sends GET /livez every 20 ms, each time on a new connection. When a response takes longer, the probes
  that were due in the meantime count with the time that they would have waited.

The exit code is 1 if a stream was lost, a rate limit was passed, or a service neither started nor said why in one
sentence; with --strict also if the 99th percentile of /livez is above 50 ms (`inf`: the probe failed). Clients and
service share the cores of this machine, so compare a row with the row "none". Needs Linux; the limits of threads and
files need `prlimit`, and as root `setpriv`.
"""

import argparse
import multiprocessing
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path

from bench import mixture
from bench.attacks import HOST, KEYS, Attack, attacks, get, status_of
from bench.servers import ROOT, NotStarted, Server, service

STREAMS, STREAM_CHARS, SECONDS_WITHOUT_A_BYTE = 40, 300, 5
PROBE_EVERY_S, PROBE_TIMEOUT_S = 0.02, 5.0
HEAD_START_S = 2.0  # of the streams and probes
MOST_MS = 50.0  # of the 99th percentile of /livez
SECONDS_TO_START = 60
OPEN_FILES = 8192


@dataclass
class Streams:
    """The outcomes of the good streams."""

    whole: int = 0
    refused: int = 0
    lost: Counter[str] = field(default_factory=Counter)  # by error

    @property
    def started(self) -> int:
        """The streams that were not refused."""
        return self.whole + self.lost.total()


def keep_streams(port: int, until: float) -> Streams:
    """Keep the good streams running until then, and read the last ones to the end."""
    seen = Streams()
    with ThreadPoolExecutor(STREAMS) as pool:
        list(pool.map(partial(_one_client, port, until, seen), range(STREAMS)))
    return seen


def _one_client(port: int, until: float, seen: Streams, number: int) -> None:
    request = {"prompt": "", "length": STREAM_CHARS, "seed": number}
    while time.monotonic() < until:
        try:
            answer = mixture.ask(port, request, "text/event-stream", timeout_s=SECONDS_WITHOUT_A_BYTE)
        except (mixture.Wrong, OSError, HTTPException, ValueError) as error:
            seen.lost[f"{type(error).__name__}: {error}"[:120]] += 1
            time.sleep(0.2)  # a dead service would otherwise be asked thousands of times
        else:
            seen.whole += answer.is_whole
            if not answer.is_whole:
                seen.refused += 1
                time.sleep(min(answer.retry_after_s, 1))


def probe(port: int, until: float) -> list[float]:
    """Milliseconds of each GET /livez, due every 20 ms; `inf` for a failure."""
    found, due = [], time.monotonic()
    while due < until:
        time.sleep(max(0.0, due - time.monotonic()))
        is_good = _is_alive(port)
        waited = time.monotonic() - due
        while waited > 0:
            found.append(1000 * waited if is_good else float("inf"))
            due, waited = due + PROBE_EVERY_S, waited - PROBE_EVERY_S
    return found


def _is_alive(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), PROBE_TIMEOUT_S) as connection:
            connection.sendall(get("/livez", "Connection: close"))
            return status_of(connection.recv(4096)) == "200"
    except OSError:
        return False


def percentile(values: list[float], share: int) -> float:
    """The percentile of values that may be `inf`."""
    return sorted(values)[-(-len(values) * share // 100) - 1]


def row(name: str, streams: str, probes: list[float], answers: Counter[str] | str, verdict: str) -> str:
    """One line of the table."""
    if probes:
        shown = f"{percentile(probes, 50):7.1f} {percentile(probes, 99):7.1f} {max(probes):7.1f}"
    else:
        shown = f"{'-':>7} {'-':>7} {'-':>7}"
    said = (
        answers if isinstance(answers, str) else ", ".join(f"{n:,} {kind}" for kind, n in sorted(answers.items()) if n)
    )
    return f"{name:19} {streams:>17} {shown}  {verdict:28} {said}"


HEADER = f"{'attack':19} {'whole/started/429':>17} {'p50':>7} {'p99':>7} {'max ms':>7}  {'verdict':28} answers"


class Bench:
    """Runs one attack after the other and prints a row of each."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, pool: ProcessPoolExecutor) -> None:
        self._arguments, self._folder, self._pool = arguments, folder, pool
        self.failed = False

    def run(self, attack: Attack) -> None:
        """Start a service, attack it, and print the row."""
        if attack.prefix and not all(map(shutil.which, {attack.prefix[0], "prlimit"})):
            print(row(attack.name, "-", [], "needs prlimit, and as root setpriv", "skipped"), flush=True)
            return
        settings = dict(attack.settings)
        if "rate_limit" in settings:
            (self._folder / "keys").write_text("\n".join(KEYS))
            settings["api_keys_file"] = str(self._folder / "keys")
        try:
            server = service(
                self._arguments.models.resolve(), self._folder / "log", prefix=attack.prefix,
                seconds_to_start=SECONDS_TO_START, **settings,
            )  # fmt: skip
        except NotStarted as fault:
            self._not_started(attack, fault)
            return
        try:
            self._attacked(attack, server)
        finally:
            server.stop()

    def _not_started(self, attack: Attack, fault: NotStarted) -> None:
        said = fault.log.strip().splitlines()
        if attack.may_refuse and fault.exit_code and len(said) == 1:
            print(row(attack.name, "-", [], said[0][:200], "refuses to start"), flush=True)
            return
        self.failed = True
        how = "never ready" if fault.exit_code is None else f"exit {fault.exit_code}, {len(said)} lines"
        print(row(attack.name, "-", [], said[-1][:200] if said else "", f"FAILED: {how}"), flush=True)

    def _attacked(self, attack: Attack, server: Server) -> None:
        until = time.monotonic() + HEAD_START_S + self._arguments.seconds
        probes = self._pool.submit(probe, server.port, until)
        streams = self._pool.submit(keep_streams, server.port, until) if attack.has_streams else None
        time.sleep(HEAD_START_S)
        answers = attack.run(server.port, until)
        seen = streams.result() if streams else Streams()
        times = probes.result()
        shown = f"{seen.whole}/{seen.started}/{seen.refused}" if streams else "-"
        print(row(attack.name, shown, times, answers, self._verdict(attack, seen, times, answers)), flush=True)
        for reason, count in seen.lost.most_common(3):
            print(f"{'':19} {count} lost: {reason}", flush=True)

    def _verdict(self, attack: Attack, seen: Streams, times: list[float], answers: Counter[str]) -> str:
        slow = percentile(times, 99) > MOST_MS
        faults = [f"{seen.lost.total()} streams lost"] if seen.lost else []
        if attack.has_streams and not seen.whole:
            faults.append("no stream whole")
        if attack.most_accepted is not None and answers["200"] > attack.most_accepted:
            faults.append(f"{answers['200']} accepted, not {attack.most_accepted}")
        if slow and self._arguments.strict:
            faults.append("/livez slow")
        self.failed = self.failed or bool(faults)
        return f"FAILED: {', '.join(faults)}" if faults else "whole, /livez slow" if slow else "held"


def raise_open_files() -> None:
    """Allow this process and its children the connections of the largest attack."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    """Run the attacks and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="the store that the service serves")
    parser.add_argument("--seconds", type=float, default=15, help="duration of each attack")
    parser.add_argument("--only", action="append", help="this attack; repeat the flag for several")
    parser.add_argument("--strict", action="store_true", help=f"also require /livez p99 of at most {MOST_MS:.0f} ms")
    parser.add_argument("--list", action="store_true", help="name the attacks and stop")
    arguments = parser.parse_args()
    known = {attack.name: attack for attack in attacks()}
    if unknown := set(arguments.only or ()) - set(known):
        parser.error(f"there is no attack {', '.join(sorted(unknown))}: there is {', '.join(known)}")
    if arguments.list:
        print("\n".join(known))
        return
    raise_open_files()
    print(HEADER, flush=True)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2, context) as pool:
        bench = Bench(arguments, Path(folder), pool)
        for name in arguments.only or known:
            bench.run(known[name])
    sys.exit(1 if bench.failed else 0)


if __name__ == "__main__":
    main()

"""Minutes or hours of mixed load on a real server while its store changes; exits 1 if the contract was broken.

    python -m bench.soak --minutes 30

Random requests in every format, clients that disconnect, a new version every 20 seconds, a broken one every minute, and
old ones removed. Every status must be 200 or 429, every finished text complete, and a request that is repeated minutes
and versions later must give the same text and logprobs. At the end no stream may run or wait, removed versions must be
out of memory, and memory must not have grown.
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bench import mixture, subject
from bench.churn import MANIFEST, Store
from bench.servers import Server, service

SECONDS_TO_SETTLE = 30
CACHE_MB = 8  # full within the first quarter; later its growth would look like a leak
MIB = 2**20


class Soak:
    """The state that all threads share: the server, the stop, the counts and the failures."""

    def __init__(self, server: Server, store: Store, alphabet: str, seed: int) -> None:
        self.server, self.store, self.alphabet, self.seed = server, store, alphabet, seed
        self.over = threading.Event()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.kept = mixture.Kept(random.Random(f"kept {seed}"))
        self._lock = threading.Lock()

    def count(self, **numbers: int) -> None:
        """Add to the counts."""
        with self._lock:
            self.counts.update(numbers)

    def report(self, failure: str) -> None:
        """Record and print a failure; the soak continues."""
        self.wrong.append(failure)
        print(f"WRONG: {failure}", flush=True)

    def client(self, number: int) -> None:
        """Send one request after the other until the soak is over."""
        generator = random.Random(f"{self.seed} {number}")
        while not self.over.is_set():
            request, expected = self.kept.take() or (mixture.random_request(generator, self.alphabet), None)
            hangs_up = expected is None and generator.random() < mixture.HANGS_UP
            hang_up = generator.choice((0, 1, mixture.READ_BYTES, 20 * mixture.READ_BYTES)) if hangs_up else None
            form = generator.choice(mixture.FORMS)
            try:
                answer = mixture.ask(self.server.port, request, form, hang_up=hang_up)
            except (mixture.Wrong, OSError, http.client.HTTPException, ValueError) as error:
                self.report(f"{type(error).__name__}: {error}; form {form}, request {json.dumps(request)[:500]}")
                self.over.wait(1)
            else:
                self._note(answer, request, expected)

    def _note(self, answer: mixture.Answer, request: dict[str, Any], expected: mixture.Answer | None) -> None:
        self.count(requests=1, refused=answer.status == 429, characters=len(answer.text))
        if answer.is_whole and expected is None:
            self.count(whole=1)
            self.kept.offer(request, answer)
        elif answer.is_whole and expected is not None:
            self.count(repeated=1)
            if (difference := mixture.difference(expected, answer)) is not None:
                self.report(f"when repeated, {difference}: {json.dumps(request)[:500]}")
        elif answer.status == 429:
            if expected is not None:
                self.kept.give_back(request, expected)
            self.over.wait(answer.retry_after_s)
        else:
            self.count(hung_up=1)

    def churn(self, every_s: float, broken_every_s: float) -> None:
        """Publish versions, valid and broken, and prune them."""
        broken_at, is_broken = time.monotonic() + broken_every_s / 2, False
        while not self.over.wait(every_s):
            # Never two in a row, so that one of the kept versions is always valid.
            is_broken = not is_broken and time.monotonic() >= broken_at
            self.store.publish(broken=is_broken)
            if is_broken:
                broken_at += broken_every_s
            self.count(broken=is_broken, published=not is_broken)
            self.store.prune()

    def metrics(self) -> dict[str, Any]:
        """Values of the server's /metrics."""
        status, content = self.server.get("/metrics")
        if status != 200:
            self.report(f"/metrics answers {status}")
            return {"rss": 0, "running": -1, "waiting": -1, "loaded": [], "refused": 0}
        families = text_string_to_metric_families(content.decode())
        samples = [sample for family in families for sample in family.samples]
        values: Counter[str] = Counter()
        for sample in samples:
            values[sample.name] += sample.value
        loaded = [s.labels["version"] for s in samples if s.name == "charloom_model_loaded" and s.value]
        return {
            "rss": values["process_resident_memory_bytes"],
            "running": int(values["charloom_streams_running"]),
            "waiting": int(values["charloom_streams_waiting"]),
            "loaded": sorted(map(int, loaded)),
            "refused": int(values["charloom_model_refusals_total"]),
        }


def watch(soak: Soak, seconds: float, every_s: float) -> list[float]:
    """Print the counts every `every_s` until the time is over; returns the memory at each of these times."""
    started, before, memory = time.monotonic(), Counter[str](), list[float]()
    while (left := started + seconds - time.monotonic()) > 0:
        time.sleep(min(every_s, left))
        now, said = Counter(soak.counts), soak.metrics()
        memory.append(said["rss"])
        counts = " ".join(f"{name} {now[name]:,}" for name in ("requests", "whole", "repeated", "hung_up", "refused"))
        speed = (now["characters"] - before["characters"]) / every_s
        print(
            f"{(time.monotonic() - started) / 60:6.1f} min  {counts}  {speed:,.0f} characters/s  "
            f"{said['rss'] / MIB:,.0f} MiB  running {said['running']} waiting {said['waiting']}  "
            f"loaded {said['loaded']}, {now['published']} came, {now['broken']} broken, "
            f"{said['refused']} refused  wrong {len(soak.wrong)}",
            flush=True,
        )
        before = now
    return memory


def settle(soak: Soak) -> dict[str, Any]:
    """After the last request: wait until no stream runs or waits and no removed version is in memory."""
    deadline = time.monotonic() + SECONDS_TO_SETTLE
    while True:
        said = soak.metrics()
        gone = set(said["loaded"]) - set(soak.store.versions)
        if not (said["running"] or said["waiting"] or gone):
            return said
        if time.monotonic() > deadline:
            soak.report(f"{SECONDS_TO_SETTLE} s after the last request: {said}, versions {soak.store.versions}")
            return said
        time.sleep(0.1)


def run(soak: Soak, arguments: argparse.Namespace) -> None:
    """Run clients and churn for the given time, then check the counts, the memory and the metrics."""
    threads = [threading.Thread(target=soak.client, args=(number,)) for number in range(arguments.clients)]
    threads.append(threading.Thread(target=soak.churn, args=(arguments.swap_seconds, arguments.broken_seconds)))
    for thread in threads:
        thread.start()
    try:
        memory = watch(soak, 60 * arguments.minutes, arguments.report_seconds)
    finally:
        soak.over.set()
        for thread in threads:
            thread.join()
    last = settle(soak)
    grown = (last["rss"] - memory[len(memory) // 4]) / MIB  # buffers and caches are allocated in the first quarter
    print(f"Memory since the first quarter: {grown:+,.0f} MiB, to {last['rss'] / MIB:,.0f} MiB.")
    if grown > arguments.max_growth_mib:
        soak.report(f"memory grew by {grown:,.0f} MiB, more than --max-growth-mib {arguments.max_growth_mib}")
    for name in ("whole", "repeated", "hung_up"):
        if not soak.counts[name]:
            soak.report(f"no request was {name.replace('_', ' ')}: nothing is proven")
    if last["refused"] > soak.counts["broken"]:
        soak.report(f"{last['refused']} versions were refused, and {soak.counts['broken']} broken")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    subject.add_options(parser)
    parser.set_defaults(units=64)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--slots", type=int, default=8, help="of each engine: few, so that some are refused")
    parser.add_argument("--queue", type=int, default=8)
    parser.add_argument("--swap-seconds", type=float, default=20.0)
    parser.add_argument("--broken-seconds", type=float, default=60.0)
    parser.add_argument("--report-seconds", type=float, default=30.0)
    parser.add_argument("--max-growth-mib", type=float, default=64.0, help="of the server, after the first quarter")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Soak, and print the failures."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        version = subject.make(Path(folder), arguments)
        vocabulary = json.loads((version / MANIFEST).read_text(encoding="utf-8"))["vocabulary"]
        models, log = Path(folder) / "models", Path(folder) / "service.log"
        server = service(models, log, slots=arguments.slots, queue=arguments.queue, cache_mb=CACHE_MB)
        try:
            soak = Soak(server, Store(version), "".join(vocabulary[1:]), arguments.seed)
            run(soak, arguments)
        finally:
            code = server.stop()
        if code:
            soak.report(f"the server ended with {code}")
        if "Traceback" in server.log():
            soak.report("the server logged a traceback")
        if soak.wrong:
            print(server.log()[-5000:], file=sys.stderr)
    print(f"{len(soak.wrong)} failures." if soak.wrong else "No failures.")
    sys.exit(bool(soak.wrong))


if __name__ == "__main__":
    main()

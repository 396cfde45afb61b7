"""Whether the time of a refused API key depends on the characters that it shares with a valid one.

    python -m bench.key_timing [--samples 20000] [--requests 2000] [--models FOLDER]

Keys of three kinds are refused in a random order: none, half, or all but the last of their characters are those of a
valid key. A row gives the median of each kind, and compares the second and third with the first by the Mann-Whitney U
test (two-sided, normal approximation with ties). If two distributions are equal, p is uniform between 0 and 1: one p in
a hundred is below 0.01. The last row is a control, a comparison that stops at the first difference: there p has to be
near 0, or the samples are too few.
"""

import argparse
import http.client
import math
import random
import statistics
import string
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

from bench.servers import ROOT, service
from service.keys import MAX_KEYS, KeyFile

KEY_CHARS = 64
SHARED = (0, KEY_CHARS // 2, KEY_CHARS - 1)
Refuse = Callable[[str], object]


def guesses(key: str, count: int, generator: random.Random) -> list[tuple[int, str]]:
    """`count` keys for each number in `SHARED`, in a random order, each with that number."""
    kinds = [shared for shared in SHARED for _ in range(count)]
    generator.shuffle(kinds)  # before the keys are made: otherwise each kind has memory, and cache lines, of its own
    found = []
    for shared in kinds:
        wrong = generator.choice([char for char in string.ascii_lowercase if char != key[shared]])
        rest = generator.choices(string.ascii_lowercase, k=KEY_CHARS - shared - 1)
        found.append((shared, "".join([*key[:shared], wrong, *rest])))
    return found


def times_ns(refuse: Refuse, tried: list[tuple[int, str]]) -> dict[int, list[int]]:
    """The time of each refusal, by the number of shared characters."""
    times: dict[int, list[int]] = {shared: [] for shared in SHARED}
    for shared, guess in tried:
        started = time.perf_counter_ns()
        refuse(guess)
        passed = time.perf_counter_ns() - started  # before anything that depends on `shared`
        times[shared].append(passed)
    return times


def mann_whitney_p(one: list[int], other: list[int]) -> float:
    """The two-sided p of the hypothesis that two samples have one distribution (Mann and Whitney 1947)."""
    first, total = Counter(one), len(one) + len(other)
    rank_sum, ties, below = 0.0, 0, 0
    for value, group in groupby(sorted(one + other)):
        size = len(list(group))
        rank_sum += first[value] * (below + (size + 1) / 2)
        ties += size**3 - size
        below += size
    u = rank_sum - len(one) * (len(one) + 1) / 2
    variance = len(one) * len(other) / 12 * (total + 1 - ties / (total * (total - 1)))
    return math.erfc(abs(u - len(one) * len(other) / 2) / math.sqrt(2 * variance))


def row(name: str, times: dict[int, list[int]]) -> str:
    """One line of the table, in microseconds."""
    medians = "".join(f"{statistics.median(times[shared]) / 1000:10.3f}" for shared in SHARED)
    tests = "".join(f"{mann_whitney_p(times[0], times[shared]):10.3f}" for shared in SHARED[1:])
    return f"{name:26}{medians}{tests}{len(times[0]):10,}"


def early_exit(key: str) -> Refuse:
    """The control: it compares one character after the other."""
    return lambda guess: next((False for one, other in zip(key, guess, strict=True) if one != other), True)


def through_http(models: Path, path: Path, folder: Path, tried: list[tuple[int, str]]) -> dict[int, list[int]]:
    """The time from a request to its 401, on one connection to a service."""
    server = service(models, folder / "log", api_keys_file=path)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)

    def refuse(guess: str) -> None:
        connection.request("GET", "/models", headers={"Authorization": f"Bearer {guess}"})
        response = connection.getresponse()
        response.read()
        if response.status != 401:
            raise SystemExit(f"A wrong key was answered with {response.status}.")

    try:
        times_ns(refuse, tried[:100])  # the first requests are slower
        return times_ns(refuse, tried)
    finally:
        connection.close()
        server.stop()


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=20_000, help="keys of each kind; a tenth with many valid keys")
    parser.add_argument("--requests", type=int, default=2000, help="requests of each kind to a service; 0: none")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="the store that the service serves")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    keys = ["".join(generator.choices(string.ascii_lowercase, k=KEY_CHARS)) for _ in range(MAX_KEYS)]
    print(f"{'median µs, shared chars':26}" + "".join(f"{shared:10}" for shared in SHARED), end="")
    print("".join(f"{f'p 0/{shared}':>10}" for shared in SHARED[1:]) + f"{'each':>10}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count, samples in ((1, arguments.samples), (MAX_KEYS, arguments.samples // 10)):
            path = folder / f"keys-{count}"
            path.write_text("\n".join(keys[-count:]))
            # The guesses resemble the last key of the file.
            times = times_ns(KeyFile(path).match, guesses(keys[-1], samples, generator))
            print(row(f"{count:,} valid", times), flush=True)
        if arguments.requests:
            tried = guesses(keys[-1], arguments.requests, generator)
            times = through_http(arguments.models.resolve(), folder / "keys-1", folder, tried)
            print(row("1 valid, through HTTP", times), flush=True)
    times = times_ns(early_exit(keys[-1]), guesses(keys[-1], arguments.samples, generator))
    print(row("control with early exit", times))


if __name__ == "__main__":
    main()

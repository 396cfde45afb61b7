"""Every Prometheus metric of the service, named in one place. Knows nothing of what it counts.

Names and meanings follow vLLM's where it has the same thing; a token is a character here. Times are seconds.
"""

from prometheus_client import Counter, Gauge, Histogram

MODEL = ("model", "version")

_FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 10)
_SLOW_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000)
_ROWS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)

RUNNING = Gauge("charloom_streams_running", "Streams that the engines advance.")
WAITING = Gauge("charloom_streams_waiting", "Streams that no engine has taken yet.")
BATCH_ROWS = Histogram("charloom_batch_rows", "Streams in one call of an engine.", MODEL, buckets=_ROWS)
CALL_SECONDS = Histogram("charloom_call_seconds", "Time of one call of an engine.", MODEL, buckets=_FAST_S)

PROMPT_CHARS = Counter("charloom_prompt_chars", "Characters of prompts.", MODEL)
CACHED_CHARS = Counter("charloom_cached_chars", "Characters of prompts that the prefix cache had read before.", MODEL)
GENERATED_CHARS = Counter("charloom_generated_chars", "Characters generated.", MODEL)
QUEUE_SECONDS = Histogram("charloom_queue_seconds", "From a request to its place in a batch.", MODEL, buckets=_FAST_S)
FIRST_CHAR_SECONDS = Histogram(
    "charloom_first_char_seconds", "From a request to its first character.", MODEL, buckets=_FAST_S
)
GAP_SECONDS = Histogram(
    "charloom_gap_seconds", "Between the characters of one call and those of the next.", MODEL, buckets=_FAST_S
)
STREAM_SECONDS = Histogram("charloom_stream_seconds", "From a request to its last character.", MODEL, buckets=_SLOW_S)
FINISHED = Counter("charloom_finished", "Streams that ended, by finish reason.", (*MODEL, "reason"))
CANCELLED = Counter("charloom_cancelled", "Streams whose client went away.", MODEL)
REJECTED = Counter("charloom_rejected", "Requests refused before their first byte.", ("reason",))
for _reason in ("queue_full", "rate_limit", "slow_clients", "connections", "timeout"):
    REJECTED.labels(_reason)  # of a series that begins with 1 Prometheus sees no increase

CACHE_HITS = Counter("charloom_prefix_cache_hits", "Prompts of which the prefix cache knew a part.", MODEL)
CACHE_MISSES = Counter("charloom_prefix_cache_misses", "Prompts of which it knew nothing.", MODEL)
CACHE_BYTES = Gauge("charloom_prefix_cache_bytes", "Memory that the states in the prefix cache take.")

LOADS = Counter("charloom_model_loads", "Versions loaded.", MODEL)
REFUSALS = Counter("charloom_model_refusals", "Versions refused.", MODEL)
LOADED = Gauge("charloom_model_loaded", "1 for a version in memory.", MODEL)
SERVED = Gauge("charloom_model_served", "1 for the version that answers where none is named.", MODEL)
DRAINING = Gauge("charloom_draining", "1 once the service was asked to stop.")
THREAD_UP = Gauge("charloom_thread_up", "1 while a thread that the service depends on runs.", ("thread",))
THREAD_BUSY_SECONDS = Gauge(
    "charloom_thread_busy_seconds", "How long such a thread has been busy with one task.", ("thread",)
)
ENGINE_FAILURES = Counter("charloom_engine_failures", "Exceptions on an engine thread, by what failed.", ("part",))
for _part in ("join", "call", "engine"):
    ENGINE_FAILURES.labels(_part)


_OF_VERSIONS = (
    *(BATCH_ROWS, CALL_SECONDS, PROMPT_CHARS, CACHED_CHARS, GENERATED_CHARS, QUEUE_SECONDS, FIRST_CHAR_SECONDS),
    *(GAP_SECONDS, STREAM_SECONDS, FINISHED, CANCELLED, CACHE_HITS, CACHE_MISSES, LOADS, REFUSALS, LOADED, SERVED),
)


def forget(model: str, version: str) -> None:
    """Tell nothing more of a version, which takes a hundred lines of every scrape."""
    for metric in _OF_VERSIONS:
        metric.remove_by_labels({"model": model, "version": version})

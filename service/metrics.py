"""Every Prometheus metric of the service, defined in one place.

Names and meanings follow vLLM's metrics where it has the same one, with characters in place of tokens. Times are in
seconds.
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
CACHED_CHARS = Counter("charloom_cached_chars", "Characters of prompts whose state came from the prefix cache.", MODEL)
GENERATED_CHARS = Counter("charloom_generated_chars", "Characters generated.", MODEL)
SCORED_CHARS = Counter("charloom_scored_chars", "Characters of texts that were scored.", MODEL)
QUEUE_SECONDS = Histogram("charloom_queue_seconds", "From a request to its slot in a batch.", MODEL, buckets=_FAST_S)
FIRST_CHAR_SECONDS = Histogram(
    "charloom_first_char_seconds", "From a request to its first character.", MODEL, buckets=_FAST_S
)
GAP_SECONDS = Histogram(
    "charloom_gap_seconds", "From the characters of one call to those of the next.", MODEL, buckets=_FAST_S
)
STREAM_SECONDS = Histogram("charloom_stream_seconds", "From a request to its last character.", MODEL, buckets=_SLOW_S)
FINISHED = Counter("charloom_finished", "Streams that ended, by finish reason.", (*MODEL, "reason"))
CANCELLED = Counter("charloom_cancelled", "Streams whose client went away.", MODEL)
REJECTED = Counter("charloom_rejected", "Requests refused before their first byte.", ("reason",))
for _reason in ("queue_full", "rate_limit", "slow_clients", "connections", "timeout", "texts"):
    REJECTED.labels(_reason)  # starts the series at 0: Prometheus sees no increase in one that starts at 1
RATE_STORAGE_FAILURES = Counter(
    "charloom_rate_limit_storage_failures", "Failed requests to the Redis that the rate limit is shared through."
)

CACHE_HITS = Counter("charloom_prefix_cache_hits", "Prompts with a prefix in the prefix cache.", MODEL)
CACHE_MISSES = Counter("charloom_prefix_cache_misses", "Prompts without a prefix in the prefix cache.", MODEL)
CACHE_BYTES = Gauge("charloom_prefix_cache_bytes", "Memory of the states in the prefix cache.")

OBJECT_STORAGE_FAILURES = Counter(
    "charloom_object_storage_failures", "Failed attempts to read the bucket of the models."
)
LOADS = Counter("charloom_model_loads", "Versions loaded.", MODEL)
REFUSALS = Counter("charloom_model_refusals", "Versions refused.", MODEL)
LOADED = Gauge("charloom_model_loaded", "1 for a version in memory.", MODEL)
SERVED = Gauge("charloom_model_served", "1 for the version that answers requests that name none.", MODEL)
DRAINING = Gauge("charloom_draining", "1 during a graceful shutdown.")
THREAD_UP = Gauge("charloom_thread_up", "1 while a thread that the service depends on runs.", ("thread",))
THREAD_BUSY_SECONDS = Gauge(
    "charloom_thread_busy_seconds", "How long the thread has been busy with one task.", ("thread",)
)
ENGINE_FAILURES = Counter(
    "charloom_engine_failures", "Exceptions on an engine thread, by the part that failed.", ("part",)
)
for _part in ("join", "call", "engine"):
    ENGINE_FAILURES.labels(_part)


_BY_VERSION = (
    *(BATCH_ROWS, CALL_SECONDS, PROMPT_CHARS, CACHED_CHARS, GENERATED_CHARS, SCORED_CHARS, QUEUE_SECONDS),
    *(FIRST_CHAR_SECONDS, GAP_SECONDS, STREAM_SECONDS, FINISHED, CANCELLED, CACHE_HITS, CACHE_MISSES, LOADS),
    *(REFUSALS, LOADED, SERVED),
)


def forget(model: str, version: str) -> None:
    """Remove the series of a version, which are about a hundred lines of every scrape."""
    for metric in _BY_VERSION:
        metric.remove_by_labels({"model": model, "version": version})

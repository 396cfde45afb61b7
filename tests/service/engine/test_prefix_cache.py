import itertools
import threading
import time
import weakref

import numpy as np
import pytest

from service.engine import prefix_cache
from service.engine.prefix_cache import ENTRY_BYTES, PrefixCache
from tests.service.fakes import FakeModel

STATE = np.zeros((2, 3), np.float32)


def ids(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8).astype(np.int32)


def cached_symbols(cache: PrefixCache, model: FakeModel, text: str) -> int:
    prefix = cache.longest(model, ids(text))
    return prefix.symbols if prefix else 0


def test_the_longest_cached_prefix_is_found_with_its_state_and_last_symbol(model: FakeModel) -> None:
    cache = PrefixCache(100_000)
    for text in ("ab", "abcd", "abcx", "b"):
        cache.keep(model, ids(text), STATE + len(text))
    found = cache.longest(model, ids("abcde"))
    assert (found.symbols, found.previous) == (4, ord("d"))
    np.testing.assert_array_equal(found.state, STATE + 4)
    assert [cached_symbols(cache, model, text) for text in ("abcd", "abc", "a", "", "bcd", "xab")] == [4, 2, 0, 0, 1, 0]


def test_a_state_is_copied(model: FakeModel) -> None:
    cache, state = PrefixCache(100_000), STATE.copy()
    cache.keep(model, ids("a"), state)
    state += 1
    np.testing.assert_array_equal(cache.longest(model, ids("a")).state, STATE)


def test_each_model_has_its_own_prefixes(model: FakeModel) -> None:
    cache, other = PrefixCache(100_000), FakeModel()
    cache.keep(model, ids("abc"), STATE)
    assert cached_symbols(cache, other, "abc") == 0


def test_the_least_recently_used_prefix_is_evicted_when_memory_is_full(model: FakeModel) -> None:
    cache = PrefixCache(3 * (STATE.nbytes + ENTRY_BYTES))
    for text in ("a", "b", "c"):
        cache.keep(model, ids(text), STATE)
    assert cached_symbols(cache, model, "a") == 1  # now "b" is the least recently used
    cache.keep(model, ids("dd"), STATE)
    assert [cached_symbols(cache, model, text) for text in ("a", "b", "c", "dd")] == [1, 0, 1, 2]


def test_without_memory_nothing_is_cached(model: FakeModel) -> None:
    cache = PrefixCache(0)
    cache.keep(model, ids("abc"), STATE)
    assert not cache.is_on
    assert cache.longest(model, ids("abc")) is None


def test_it_does_not_keep_a_model_alive() -> None:
    cache, model = PrefixCache(100_000), FakeModel()
    cache.keep(model, ids("abc"), STATE)
    reference = weakref.ref(model)
    del model
    assert reference() is None


def test_several_threads_may_use_it(model: FakeModel) -> None:
    cache, wrong = PrefixCache(5 * (STATE.nbytes + ENTRY_BYTES)), list[str]()

    def work(seed: int) -> None:
        generator = np.random.default_rng(seed)
        for _ in range(400):
            text = "".join(generator.choice(list("ab"), generator.integers(1, 8)))
            found = cache.longest(model, ids(text))
            if found and (found.state != sum(map(ord, text[: found.symbols]))).any():
                wrong.append(text)
            cache.keep(model, ids(text), STATE + sum(map(ord, text)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    texts = ["".join(letters) for size in range(1, 8) for letters in itertools.product("ab", repeat=size)]
    entries = [text for text in texts if cached_symbols(cache, model, text) == len(text)]
    assert len(entries) == 5  # as many as fit into the memory


def test_the_time_of_a_lookup_does_not_grow_with_the_cache(model: FakeModel) -> None:
    empty, full = PrefixCache(100_000_000), PrefixCache(100_000_000)
    generator = np.random.default_rng(0)
    prompt, other = generator.integers(1, 60, (2, 8000)).astype(np.int32)
    for length in range(1, 8001):
        full.keep(model, other[:length], STATE)

    def seconds(cache: PrefixCache) -> float:
        times = []
        for _ in range(20):
            start_s = time.perf_counter()
            assert cache.longest(model, prompt) is None
            times.append(time.perf_counter() - start_s)
        return min(times)

    assert seconds(full) < 4 * seconds(empty)  # with a digest for each length it was 50 times as long
    assert full.longest(model, np.append(other, [1, 2]).astype(np.int32)).symbols == 8000


def test_prompts_are_found_in_any_order_of_lengths(model: FakeModel) -> None:
    cache, generator = PrefixCache(100_000_000), np.random.default_rng(1)
    texts = ["".join(generator.choice(list("ab"), size)) for size in generator.integers(1, 400, 60)]
    for text in texts:
        cache.keep(model, ids(text), STATE + len(text))
    for text in texts:
        assert cache.longest(model, ids(text + "zz")).symbols == len(text)
        assert cached_symbols(cache, model, "z" + text) == 0


def test_a_prompt_with_the_fingerprint_of_another_is_not_mistaken_for_it(model: FakeModel) -> None:
    class Zero(np.random.Generator):
        """Draws weights with which all fingerprints are equal."""

        def integers(self, low, high=None, size=None, dtype=np.int64, endpoint=False):  # type: ignore[override]
            return np.zeros(size or (), dtype)

    cache = PrefixCache(100_000, secret=Zero(np.random.PCG64(0)))
    cache.keep(model, ids("abc"), STATE)
    assert [cached_symbols(cache, model, text) for text in ("abc", "abcd", "abd", "xyz")] == [3, 3, 0, 0]


def test_a_prompt_that_is_too_long_is_not_cached(model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_cache, "MAX_SYMBOLS", 3)
    cache = PrefixCache(100_000)
    for text in ("abcd", "xyz"):
        cache.keep(model, ids(text), STATE)
    assert [cached_symbols(cache, model, text) for text in ("abcd", "xyz", "xyzabc")] == [0, 3, 3]
    assert len(cache._weights) <= 2 * 3  # a longer prompt has no more fingerprints

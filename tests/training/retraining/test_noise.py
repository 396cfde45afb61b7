"""Noise is recognised, and texts of any kind are not taken for it."""

import base64
import random
from pathlib import Path

import pytest

from training.retraining.noise import MIN_BYTES, is_noise

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("size", [MIN_BYTES, 100_000])
@pytest.mark.parametrize("seed", range(3))
def test_data_without_order_is_noise(seed: int, size: int) -> None:
    generator = random.Random(seed)
    noise = generator.randbytes(size)
    ideographs = "".join(chr(generator.randrange(0x4E00, 0x9FA5)) for _ in range(size // 3 + 1))
    for data in (noise, base64.encodebytes(noise), noise.hex().encode(), ideographs.encode()):
        assert is_noise(data)


def test_texts_are_not_noise() -> None:
    texts = [path for folder in ("docs", "service", "training") for path in (ROOT / folder).rglob("*")]
    texts = [path for path in texts if path.suffix in (".md", ".py") and path.stat().st_size >= MIN_BYTES]
    assert len(texts) > 20
    for path in texts:
        assert not is_noise(path.read_bytes()), path
    generator = random.Random(1)
    names = "".join(generator.choice(["Anna", "Bertil", "Çelik", "Диана", "엘리"]) + "\n" for _ in range(3000))
    assert not is_noise(names.encode())
    assert not is_noise(b"\0" * 10_000)


def test_short_data_is_never_noise() -> None:
    assert not is_noise(random.Random(0).randbytes(MIN_BYTES - 1))
    assert not is_noise(b"")

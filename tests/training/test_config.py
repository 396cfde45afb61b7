"""TrainConfig: the limits of each setting, and its JSON form."""

import dataclasses
import json

import pytest

from training.config import CHOICES, TrainConfig, with_decay_of_optimizer
from training.errors import InputError


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_is_refused_with_the_known_ones(name: str) -> None:
    for allowed in CHOICES[name]:
        assert getattr(TrainConfig(**{name: allowed}), name) == allowed
    with pytest.raises(InputError) as refusal:
        TrainConfig(**{name: "other"})
    flag = f"--{name.replace('_', '-')}"
    assert str(refusal.value) == f"{flag} must be one of {', '.join(CHOICES[name])}, not other."


@pytest.mark.parametrize(
    ("name", "lowest", "below", "limit"),
    [
        *((name, 1, 0, "at least 1") for name in ("min_count", "layers", "units", "batch_size", "window", "epochs")),
        ("eval_chars", 1, 0, "at least 1"),
        *((name, 0, -1, "at least 0") for name in ("embedding", "warmup_steps", "decay_after", "patience")),
        *((name, 0, -0.1, "at least 0") for name in ("grad_clip", "weight_decay")),
        *((f"{prefix}dropout", 0, -0.1, "below 1") for prefix in ("input_", "", "output_", "weight_")),
        ("ema", 0, -0.1, "below 1"),
        ("cold_start", 0, -0.1, "between 0 and 1"),
        ("decay_rate", 1e-9, 0, "above 0"),
        *((name, 1e-9, 0, "above 0") for name in ("learning_rate", "eval_every")),
        ("seed", 0, -1, "between 0 and 2^63-1"),
    ],
)
def test_a_number_below_its_limit_is_refused(name: str, lowest: float, below: float, limit: str) -> None:
    assert getattr(TrainConfig(**{name: lowest}), name) == lowest
    with pytest.raises(InputError, match=f"^--{name.replace('_', '-')} must be .*not {below}\\.$") as refusal:
        TrainConfig(**{name: below})
    assert limit in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "highest", "above"),
    [
        *((f"{prefix}dropout", 0.99, 1.0) for prefix in ("input_", "", "output_", "weight_")),
        ("ema", 0.9999, 1.0),
        ("cold_start", 1.0, 1.01),
        ("decay_rate", 1.0, 1.01),
        ("learning_rate", 1000.0, 1000.1),
        ("weight_decay", 1000.0, 1000.1),
        ("grad_clip", 1e6, 1000000.1),
        ("seed", 2**63 - 1, 2**63),
    ],
)
def test_a_number_above_its_limit_is_refused(name: str, highest: float, above: float) -> None:
    assert getattr(TrainConfig(**{name: highest}), name) == highest
    with pytest.raises(InputError, match=f"^--{name.replace('_', '-')} must be .*not {above}\\.$"):
        TrainConfig(**{name: above})


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ((0.5, 0.5, 0.5), ["add up to 1", "1.5", "0.5,0.5,0.5"]),
        ((1.0, 0.0, 0.0), ["validation part above 0", "1,0,0"]),
        ((0.0, 0.5, 0.5), ["training", "above 0", "0,0.5,0.5"]),
        ((0.9, 0.2, -0.1), ["no part below 0", "0.9,0.2,-0.1"]),
    ],
    ids=str,
)
def test_an_invalid_split_is_refused(split: tuple[float, float, float], words: list[str]) -> None:
    with pytest.raises(InputError) as refusal:
        TrainConfig(split=split)
    assert all(word in str(refusal.value) for word in ["--split", *words])


def test_from_json_restores_every_setting() -> None:
    config = TrainConfig(cell="gru", split=(0.8, 0.2, 0.0), seed=2**63 - 1, learning_rate=0.1 + 0.2)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert set(config.to_json()) == {field.name for field in dataclasses.fields(TrainConfig)}


def test_another_optimizer_than_adamw_has_no_decay_unless_it_is_given() -> None:
    assert with_decay_of_optimizer({"optimizer": "sgd", "units": 3}) == {
        "optimizer": "sgd",
        "units": 3,
        "weight_decay": 0.0,
    }
    for settings in ({}, {"optimizer": "adamw"}, {"optimizer": "sgd", "weight_decay": 0.1}):
        assert with_decay_of_optimizer(settings) == settings

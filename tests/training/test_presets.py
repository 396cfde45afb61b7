"""Presets: valid settings, and those of the blog post as the post gives them."""

from dataclasses import fields

import pytest

from training.config import TrainConfig
from training.corpora.catalogue import CATALOGUE
from training.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_a_configuration(name: str) -> None:
    config = TrainConfig(**PRESETS[name])
    assert all(getattr(config, field) == value for field, value in PRESETS[name].items())
    assert TrainConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("name", PRESETS)
def test_every_setting_of_a_preset_exists(name: str) -> None:
    assert set(PRESETS[name]) <= {field.name for field in fields(TrainConfig)}


def test_every_corpus_of_the_catalogue_has_a_preset_of_its_name() -> None:
    assert set(CATALOGUE) <= set(PRESETS)


def test_presets_have_the_sizes_that_the_post_gives() -> None:
    given = {
        "paul-graham": {"layers": 2, "units": 512, "dropout": 0.5, "batch_size": 100, "window": 100},
        "shakespeare": {"layers": 3, "units": 512},
        "wikipedia": {"unit": "byte", "split": (0.96, 0.04, 0.0)},
        "linux": {"layers": 3},
    }
    for name, settings in given.items():
        assert settings.items() <= PRESETS[name].items(), name


def test_war_and_peace_has_the_papers_split_and_ends_within_two_hours() -> None:
    config = TrainConfig(**PRESETS["war-and-peace"])
    assert config.split == (0.8, 0.1, 0.1)
    assert 0 < config.minutes < 120
    assert config.weight_decay > 0


@pytest.mark.parametrize("name", sorted({*PRESETS} - {"tiny", "war-and-peace"}))
def test_presets_of_the_post_have_no_weight_decay(name: str) -> None:
    """Weight decay is a default of this project, not of char-rnn."""
    assert TrainConfig().weight_decay > 0
    assert TrainConfig(**PRESETS[name]).weight_decay == 0

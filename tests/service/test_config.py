from pathlib import Path

import pytest

from service.config import Config, ConfigError, cores


def test_unset_and_empty_variables_keep_their_defaults(tmp_path: Path) -> None:
    config = Config.from_env({"CHARLOOM_MODELS": str(tmp_path), "CHARLOOM_SLOTS": "", "UNRELATED": "1"})
    assert (config.slots, config.queue, config.port, config.models) == (64, 256, 8000, tmp_path)
    assert config.engines >= 1
    assert config.api_keys() == frozenset()


def test_every_setting_is_read_from_its_variable(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("one\n\n  two \n")
    config = Config.from_env(
        {
            "CHARLOOM_MODELS": str(tmp_path),
            "CHARLOOM_DEFAULT_MODEL": "mine",
            "CHARLOOM_ENGINES": "3",
            "CHARLOOM_SLOTS": "5",
            "CHARLOOM_QUEUE": "7",
            "CHARLOOM_CHUNK": "9",
            "CHARLOOM_MAX_PROMPT": "11",
            "CHARLOOM_MAX_LENGTH": "13",
            "CHARLOOM_API_KEYS_FILE": str(keys),
            "CHARLOOM_RATE_LIMIT": "60/minute",
            "PORT": "1234",
        }
    )
    assert (config.engines, config.slots, config.queue, config.chunk) == (3, 5, 7, 9)
    assert (config.max_prompt, config.max_length, config.port, config.default_model) == (11, 13, 1234, "mine")
    assert config.api_keys() == {"one", "two"}
    assert config.rate().get_expiry() == 60


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CHARLOOM_SLOTS", "many", ["whole number", "'many'"]),
        ("CHARLOOM_SLOTS", "0", ["at least 1", "0"]),
        ("CHARLOOM_QUEUE", "-1", ["at least 0", "-1"]),
        ("PORT", "70000", ["between 1 and 65535", "70000"]),
        ("CHARLOOM_MODELS", "/nowhere/at/all", ["/nowhere/at/all", "not a folder"]),
        ("CHARLOOM_API_KEYS_FILE", "/nowhere", ["/nowhere", "cannot be read"]),
        ("CHARLOOM_RATE_LIMIT", "often", ["60/minute", "'often'"]),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(tmp_path: Path, variable: str, value: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        Config.from_env({"CHARLOOM_MODELS": str(tmp_path), variable: value})
    for word in [variable, *words]:
        assert word in str(refusal.value)


def test_a_key_file_without_keys_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("\n")
    with pytest.raises(ConfigError, match="holds no key"):
        Config(models=tmp_path, api_keys_file=tmp_path / "keys")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 4),
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "900000 100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "350000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.max": "nonsense\n"}, 4),
    ],
)
def test_engines_are_as_many_as_the_containers_quota_pays_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(4)))
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert cores(tmp_path) == expected

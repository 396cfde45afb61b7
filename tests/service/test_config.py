"""Settings from the environment: their values, limits and messages."""

import math
from dataclasses import fields
from pathlib import Path

import pytest

from service.config import Config, ConfigError, variable_of

TEXTS = {
    *("models", "models_cache", "default_model", "api_keys_file", "rate_limit", "rate_limit_storage", "cors_origins"),
    *("host", "precision"),
}
NUMBERS = [setting for setting in fields(Config) if setting.name not in TEXTS]


def test_unset_and_empty_variables_keep_their_defaults(tmp_path: Path) -> None:
    config = Config.from_env({"CHARLOOM_MODELS": str(tmp_path), "CHARLOOM_SLOTS": "", "UNRELATED": "1"})
    assert (config.slots, config.queue, config.port, config.models) == (64, 256, 8000, tmp_path)
    assert config.engines >= 1
    assert config.key_file() is None


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
            "CHARLOOM_MAX_TEXT": "17",
            "CHARLOOM_API_KEYS_FILE": str(keys),
            "CHARLOOM_RATE_LIMIT": "60/minute",
            "PORT": "1234",
        }
    )
    assert (config.engines, config.slots, config.queue, config.chunk) == (3, 5, 7, 9)
    assert (config.max_prompt, config.max_length, config.max_text) == (11, 13, 17)
    assert (config.port, config.default_model) == (1234, "mine")
    assert [config.key_file().match(key) for key in ("one", "two", "six")] == ["one", "two", None]
    assert config.rate().get_expiry() == 60


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CHARLOOM_SLOTS", "many", ["whole number", "'many'"]),
        ("CHARLOOM_SLOTS", "0", ["between 1 and 1,024", "0"]),
        ("CHARLOOM_SLOTS", "99999999", ["between 1 and 1,024", "99999999"]),
        ("CHARLOOM_QUEUE", "-1", ["between 0 and 10,000", "-1"]),
        ("PORT", "70000", ["between 1 and 65,535", "70000"]),
        ("CHARLOOM_ADMIN_PORT", "8000", ["differ from PORT", "8000"]),
        ("CHARLOOM_PRECISION", "float16", ["float32 or bfloat16", "'float16'"]),
        ("CHARLOOM_DEFAULT_MODEL", "../mine", ["a model's name", "'../mine'"]),
        ("CHARLOOM_HOST", "my host", ["host name, an IP address or *", "'my host'"]),
        ("CHARLOOM_HOST", " ", ["host name, an IP address or *", "' '"]),
        ("CHARLOOM_CORS_ORIGINS", "example.org", ["https://example.org", "'example.org'"]),
        ("CHARLOOM_CORS_ORIGINS", "https://a.org/", ["https://example.org", "'https://a.org/'"]),
        ("CHARLOOM_CORS_ORIGINS", "*,https://a.org", ["'*' or origins", "'*'"]),
        ("CHARLOOM_CORS_ORIGINS", ",".join(["https://a.org"] * 101), ["at most 100", "101"]),
        ("CHARLOOM_RATE_LIMIT", "0/minute", ["between 1 and 100,000 requests", "'0/minute'"]),
        ("CHARLOOM_RATE_LIMIT", "9999999/day", ["between 1 and 100,000 requests", "'9999999/day'"]),
        ("CHARLOOM_RATE_LIMIT", "5/9999 years", ["31 days", "'5/9999 years'"]),
        ("CHARLOOM_RATE_LIMIT", "60/minute;5/second", ["60/minute", "'60/minute;5/second'"]),
        ("CHARLOOM_RATE_LIMIT", "60/0 minute", ["60/minute", "'60/0 minute'"]),
        ("CHARLOOM_RATE_LIMIT", "60/" + "x" * 10_000, ["60/minute", "'60/xxx"]),
        ("CHARLOOM_MODELS", "/nowhere/at/all", ["/nowhere/at/all", "not a folder"]),
        ("CHARLOOM_MODELS", "ftp://key:secret@host/a", ["s3://bucket/prefix", "not 'host/a'"]),
        ("CHARLOOM_API_KEYS_FILE", "/nowhere", ["/nowhere", "cannot be read"]),
        ("CHARLOOM_RATE_LIMIT", "often", ["60/minute", "'often'"]),
        ("CHARLOOM_RATE_LIMIT_STORAGE", "memcached://host", ["redis://host:6379/0", "'memcached://host'"]),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(tmp_path: Path, variable: str, value: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        Config.from_env({"CHARLOOM_MODELS": str(tmp_path), variable: value})
    for word in [variable, *words]:
        assert word in str(refusal.value)


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_every_number_is_finite_and_has_bounds_on_both_sides(tmp_path: Path, setting) -> None:
    """A new setting that is a number needs bounds; one that is a text must be added to `TEXTS`."""
    at_least, at_most = setting.metadata["at_least"], setting.metadata["at_most"]
    variable, base = variable_of(setting.name), {"CHARLOOM_MODELS": str(tmp_path), "CHARLOOM_ADMIN_PORT": "9000"}
    for bound in (at_least, at_most):
        assert getattr(Config.from_env(base | {variable: str(bound)}), setting.name) == bound
    numbers = [str(at_least - 1), str(at_most + 1), "-1e999", "1e999", "9" * 40]
    spellings = [
        "inf",
        "-inf",
        "nan",
        "Infinity",
        "1_000",
        " 1",
        "1 ",
        "1\n",
        "\uff11",
        "\u0661",
        "0x1",
        "1,0",
        "--1",
        "+",
    ]
    for value in numbers + spellings:
        with pytest.raises(ConfigError) as refusal:
            Config.from_env(base | {variable: value})
        assert str(refusal.value).startswith(f"{variable} must be ")
        assert "\n" not in str(refusal.value)
    for value in (math.inf, -math.inf, math.nan):
        with pytest.raises(ConfigError, match="must be between"):
            Config(models=tmp_path, **{setting.name: value})


@pytest.mark.parametrize("given", ["60/minute", "60 per minute", "3/hour", "5/2 seconds", "1/day"])
def test_valid_rate_limits_are_accepted(tmp_path: Path, given: str) -> None:
    assert Config(models=tmp_path, rate_limit=given).rate().amount == int(given[:2].rstrip("/"))


def test_a_key_file_is_read_and_a_bad_one_is_refused_by_the_name_of_its_setting(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("first\n")
    assert Config(models=tmp_path, api_keys_file=path).key_file().match("first") == "first"
    path.write_text("secret k\n")
    with pytest.raises(ConfigError) as refusal:
        Config(models=tmp_path, api_keys_file=path)
    assert str(refusal.value).startswith(f"CHARLOOM_API_KEYS_FILE names {path}, whose line 1 is not a key")


def test_the_storage_of_the_rate_limit_is_memory_or_a_redis(tmp_path: Path) -> None:
    assert Config(models=tmp_path).rate_storage() is None
    assert Config(models=tmp_path, rate_limit_storage="memory").rate_storage() is None
    assert Config(models=tmp_path, rate_limit_storage="redis://host:6379/1").rate_storage() is not None


def test_the_storage_is_checked_only_if_there_is_a_rate_limit(tmp_path: Path) -> None:
    storage = "redis://127.0.0.1:1"
    Config(models=tmp_path, rate_limit_storage=storage).check_rate_storage()
    Config(models=tmp_path, rate_limit="1/hour").check_rate_storage()
    with pytest.raises(ConfigError, match=r"^CHARLOOM_RATE_LIMIT_STORAGE names a Redis that cannot be used: "):
        Config(models=tmp_path, rate_limit="1/hour", rate_limit_storage=storage).check_rate_storage()


def test_the_models_are_in_a_folder_or_in_a_bucket(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    variables = {"CHARLOOM_MODELS": "s3://bucket/pre/fix", "CHARLOOM_MODELS_CACHE": str(cache)}
    assert Config.from_env(variables).models == "s3://bucket/pre/fix"
    assert cache.is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^CHARLOOM_MODELS_CACHE names .*file, which cannot be used: "):
        Config(models="s3://bucket", models_cache=tmp_path / "file")


def test_origins_are_compared_in_lower_case(tmp_path: Path) -> None:
    config = Config(models=tmp_path, cors_origins="https://Example.org:8443, http://localhost:3000")
    assert config.origins() == {"https://example.org:8443", "http://localhost:3000"}
    assert Config(models=tmp_path, cors_origins="*").origins() == {"*"}
    assert Config(models=tmp_path).origins() == frozenset()

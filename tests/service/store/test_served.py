"""The version of each model that serves, with models that are only names."""

from pathlib import Path

import pytest

from service import metrics
from service.model.version import ModelVersion
from service.store.loaded import LoadedVersion
from service.store.served import ServedVersions
from tests.service.store.fakes import NamedModel, samples


def loaded(name: str, number: int) -> LoadedVersion:
    return LoadedVersion(ModelVersion(name, number), NamedModel(Path(name) / str(number)), (), requested_s=1.0)


def test_the_last_version_serves_and_is_the_default_of_its_model() -> None:
    served, first, second = ServedVersions(), loaded("a", 1), loaded("a", 2)
    assert served.get("a") is served.get(None) is served.default() is None
    served.default_name = "a"
    for version in (first, second):
        assert served.serve(version) is version
        assert served.get("a") is served.default() is version
    assert served.names() == ["a"]


def test_a_version_that_serves_may_be_kept() -> None:
    served, first, second = ServedVersions(), loaded("a", 1), loaded("a", 2)
    assert served.serve(first, unless_served=True) is first
    assert served.serve(second, unless_served=True) is first
    assert served.get("a") is first


def test_a_version_that_has_served_is_released_at_once() -> None:
    first = loaded("a", 1)
    ServedVersions().serve(first)
    assert first.requested_s == float("-inf")


def test_each_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    served, first = ServedVersions(), loaded("a", 1)
    for _ in range(2):
        served.serve(first)
    for _ in range(2):
        served.withdraw("a")
    assert served.get("a") is None
    assert caplog.messages == ["Version a/1 now serves.", "Model 'a' is gone."]


def test_the_metric_shows_the_version_that_serves() -> None:
    served, name = ServedVersions(), "served"  # metrics are global: no other test has a model of this name
    for number in (1, 2, 2):  # the second of version 2 replaces its folder
        served.serve(loaded(name, number))
        assert samples(metrics.SERVED, name) == {(name, str(number)): 1}
    served.withdraw(name)
    assert samples(metrics.SERVED, name) == {}

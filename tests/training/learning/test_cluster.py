"""The workers of a run, from the flags or from TF_CONFIG."""

import json
from typing import Any

import pytest

from training.errors import InputError
from training.learning.cluster import Cluster, cluster_of, replicas_of


def config(cluster: dict[str, list[str]], kind: str, index: Any) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_flags_describe_a_cluster_and_win_over_tf_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", config({"worker": ["x:1", "y:2"]}, "worker", 0))
    assert cluster_of("a:1,b:2", 1) == Cluster(("a:1", "b:2"), 1)


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "worker"),
    [
        ({"worker": ["a:1", "b:2"]}, "worker", "1", 1),
        ({"chief": ["a:1"], "worker": ["b:2"]}, "chief", 0, 0),
        ({"chief": ["a:1"], "worker": ["b:2"]}, "worker", 0, 1),
    ],
)
def test_tf_config_describes_a_cluster(
    monkeypatch: pytest.MonkeyPatch, cluster: dict[str, list[str]], kind: str, index: Any, worker: int
) -> None:
    monkeypatch.setenv("TF_CONFIG", config(cluster, kind, index))
    found = cluster_of(None, None)
    assert found == Cluster(("a:1", "b:2"), worker)
    assert found.is_chief == (worker == 0)


@pytest.mark.parametrize("text", ["", "{}", config({"worker": ["a:1"]}, "worker", 0)])
def test_one_process_trains_alone(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert cluster_of(None, None) is None


def test_a_cluster_is_read_back_from_its_own_tf_config(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(("a:1", "b:2"), 1)
    monkeypatch.setenv("TF_CONFIG", cluster.to_tf_config())
    assert cluster_of(None, None) == cluster


@pytest.mark.parametrize(
    ("workers", "worker", "message"),
    [
        ("a:1,b:2", None, "--workers and --worker are given together"),
        (None, 0, "--workers and --worker are given together"),
        ("a:1,b", 0, "not 'b'"),
        ("a:1,a:1", 0, "different addresses"),
        ("a:1,b:2", 2, "from 0 to 1 with 2 workers, not 2"),
    ],
)
def test_invalid_flags_are_refused(workers: str | None, worker: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cluster_of(workers, worker)


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", '{"cluster": {"worker": ["a:1", "b:2"]}}'),
        *(config({"worker": ["a:1", "b:2"]}, "ps", 0), config({"worker": ["a:1", "b:2"]}, "worker", 5)),
    ],
)
def test_an_invalid_tf_config_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match="TF_CONFIG"):
        cluster_of(None, None)


def test_workers_share_the_replicas() -> None:
    workers = ("a:1", "b:2", "c:3")
    assert [Cluster(workers, i).share(7) for i in range(3)] == [range(2), range(2, 4), range(4, 7)]
    with pytest.raises(InputError, match="use at most 2 workers"):
        Cluster(workers, 0).share(2)


def test_a_new_run_has_the_replicas_of_equal_workers() -> None:
    assert replicas_of([4, 4, 4]) == 12
    with pytest.raises(InputError, match="equal numbers of cores, not 4, 2:"):
        replicas_of([4, 2])

from service.model.version import ModelVersion


def test_a_version_is_shown_with_its_model_and_gives_metric_labels() -> None:
    version = ModelVersion("tale", 2)
    assert str(version) == "tale/2"
    assert version.labels == ("tale", "2")


def test_versions_are_keys_and_are_sorted_by_name_and_number() -> None:
    versions = [ModelVersion("b", 1), ModelVersion("a", 10), ModelVersion("a", 2)]
    assert list(map(str, sorted(versions))) == ["a/2", "a/10", "b/1"]
    assert {ModelVersion("a", 2): "found"}[versions[2]] == "found"

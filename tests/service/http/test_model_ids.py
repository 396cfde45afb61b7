import pytest

from service.http.errors import Missing
from service.http.model_ids import load, parse
from service.store.store import NotFound


@pytest.mark.parametrize(
    ("model_id", "parsed"), [("tale", ("tale", None)), ("tale@3", ("tale", 3)), ("a.b-c_d@12", ("a.b-c_d", 12))]
)
def test_an_id_is_a_name_or_a_name_and_a_version(model_id: str, parsed: tuple[str, int | None]) -> None:
    assert parse(model_id) == parsed


@pytest.mark.parametrize(
    "model_id", ["", "@", "@1", "tale@", "tale@0", "tale@x", "tale@1@1", "tale@-1", "t@" + "1" * 99]
)
def test_another_text_is_no_id(model_id: str) -> None:
    with pytest.raises(Missing, match="There is no model") as missing:
        parse(model_id)
    assert missing.value.param == "model"


class NoVersions:
    """A store that has no version and records requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[object, ...]] = []

    def get(self, *request: object) -> None:
        self.requests.append(request)
        if request:
            raise NotFound("Model 'tale' has no version 3.", "version")


def test_the_field_of_an_absent_version_is_model() -> None:
    store = NoVersions()
    with pytest.raises(Missing, match="no version 3") as missing:
        load(store, "tale@3")  # type: ignore[arg-type]
    assert missing.value.param == "model"
    load(store, None)  # type: ignore[arg-type]
    assert store.requests == [("tale", 3), ()]

import pytest

from service.request_id import request_id


@pytest.mark.parametrize("given", ["a", "0f-._:/", "~" * 128])
def test_a_valid_id_of_the_client_is_kept(given: str) -> None:
    assert request_id(given) == given


@pytest.mark.parametrize("given", ["", "a b", "a\n", "é", "~" * 129])
def test_any_other_id_is_replaced_by_a_new_one(given: str) -> None:
    found = {request_id(given) for _ in range(10)}
    assert len(found) == 10
    assert given not in found

"""Every operation has an example, and names that are its own."""

import pytest

from service.config import Config
from service.http.openapi import document
from service.http.openapi_operations import OPERATIONS, Operation


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.path)
def test_every_operation_has_an_example_of_its_body_and_parameters(operation: Operation) -> None:
    assert bool(operation.examples) == (operation.body is not None)
    assert all(f"{{{name}}}" in operation.path for name in operation.parameters)
    assert operation.path.count("{") == len(operation.parameters)
    assert operation.summary
    assert not operation.summary.endswith(".")


def test_ids_of_operations_are_unique() -> None:
    paths = document(Config())["paths"].values()
    ids = [operation["operationId"] for methods in paths for operation in methods.values()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)

"""Fixtures of the fake models."""

import pytest

from tests.service.fakes import FakeByteModel, FakeModel


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def byte_model() -> FakeByteModel:
    return FakeByteModel()

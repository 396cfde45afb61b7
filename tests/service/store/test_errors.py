from pathlib import Path

import pytest

from service.store.errors import NoModel, reading


def test_an_os_error_becomes_no_model_with_the_folder_and_the_reason() -> None:
    with (
        pytest.raises(NoModel, match=r"^The store models cannot be read: Permission denied\.$"),
        reading(Path("models")),
    ):
        raise PermissionError(13, "Permission denied")


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="other"), reading(Path("models")):
        raise ValueError("other")

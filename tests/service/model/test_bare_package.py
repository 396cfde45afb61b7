import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.model.bare_package import bare_package

NAME = "package_that_is_slow"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with a module `part` that imports `rest`."""
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text("is_complete = True\n")
    (folder / "part.py").write_text(f"from {NAME}.rest import value\n")
    (folder / "rest.py").write_text("value = 7\n")
    (folder / "inner").mkdir()
    (folder / "inner/__init__.py").touch()
    (folder / "inner/first.py").touch()
    (folder / "inner/second.py").write_text(f"from {NAME} import is_complete\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield NAME
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


def test_a_part_is_imported_without_the_init_file(package: str) -> None:
    with bare_package(package):
        part = importlib.import_module(f"{package}.part")
        assert not hasattr(sys.modules[package], "is_complete")
    assert part.value == 7
    assert package not in sys.modules


def test_the_package_can_be_imported_afterwards_with_the_same_parts(package: str) -> None:
    with bare_package(package):
        part = importlib.import_module(f"{package}.part")
    assert importlib.import_module(package).is_complete
    assert importlib.import_module(f"{package}.part") is part


def test_a_later_import_of_another_part_runs_the_init_file_first(package: str) -> None:
    with bare_package(package):
        importlib.import_module(f"{package}.inner.first")
    assert importlib.import_module(f"{package}.inner.second").is_complete


def test_an_imported_package_stays_as_it_is(package: str) -> None:
    imported = importlib.import_module(package)
    with bare_package(package):
        importlib.import_module(f"{package}.part")
    assert sys.modules[package] is imported


def test_a_failed_import_leaves_no_bare_package(package: str) -> None:
    with pytest.raises(ModuleNotFoundError), bare_package(package):
        importlib.import_module(f"{package}.absent")
    assert package not in sys.modules


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match="No package named 'not_installed'"), bare_package("not_installed"):
        pass

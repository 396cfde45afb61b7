"""A Python that cannot find some packages."""

from collections.abc import Iterable
from pathlib import Path

# Every Python runs sitecustomize at its start. Importing a hidden package fails as if it had never been installed.
SITECUSTOMIZE = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hide())
"""


def hide_packages(hidden: Iterable[str], folder: Path) -> Path:
    """Write a file that hides these packages from every Python with `folder` on its PYTHONPATH; returns `folder`."""
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE.format(hidden=list(hidden)))
    return folder

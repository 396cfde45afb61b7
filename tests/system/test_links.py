"""Links and file names in the documentation lead to files that exist."""

import re
from pathlib import Path

import pytest

from tests.processes import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "models").glob("**/README.md")]
PAGES_WITH_FILE_NAMES = [ROOT / "docs/architecture.md", ROOT / "CONTRIBUTING.md"]
SOURCES = [ROOT / folder for folder in ("service", "training", "tests", "bench", "deploy")]
EXAMPLES = {"mgu.py"}  # files that CONTRIBUTING.md proposes to add


def anchor(heading: str) -> str:
    """The fragment that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)}


def is_a_source(name: str) -> bool:
    """Whether a path from the root, or a name within the source folders, is that of a file."""
    if (ROOT / name.partition("/")[0]).exists():
        return (ROOT / name).is_file()
    return any(path.match(name) for folder in SOURCES for path in folder.rglob(Path(name).name))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


@pytest.mark.parametrize("page", PAGES_WITH_FILE_NAMES, ids=lambda page: page.name)
def test_every_source_file_that_is_named_exists(page: Path) -> None:
    names = re.findall(r"`([\w./-]+\.(?:py|yml|toml))`", page.read_text(encoding="utf-8"))
    assert len(names) > 5
    assert [name for name in names if Path(name).name not in EXAMPLES and not is_a_source(name)] == []

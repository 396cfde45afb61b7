"""Which paths --include and --exclude select."""

import pytest

from training.data.selection import Selection

PATHS = ["a.txt", "a.md", "node/d.txt", "sub/b.txt", "sub/deep/c.txt"]


@pytest.mark.parametrize(
    ("include", "exclude", "taken"),
    [
        ((), (), PATHS),
        (("*.txt",), (), ["a.txt", "node/d.txt", "sub/b.txt", "sub/deep/c.txt"]),
        (("*.txt",), ("node",), ["a.txt", "sub/b.txt", "sub/deep/c.txt"]),
        (("sub",), (), ["sub/b.txt", "sub/deep/c.txt"]),
        (("sub/*.txt",), (), ["sub/b.txt"]),
        (("sub/**/*.txt",), (), ["sub/b.txt", "sub/deep/c.txt"]),
        (("/*.txt",), (), ["a.txt"]),
        (("deep/",), (), ["sub/deep/c.txt"]),
        (("a.txt", "*.md"), ("a.*",), []),
        ((), ("**/c.txt", "node/*"), ["a.txt", "a.md", "sub/b.txt"]),
    ],
)
def test_patterns_select_by_name_or_by_path(include, exclude, taken) -> None:
    selection = Selection(include, exclude)
    assert [path for path in PATHS if selection.takes(path)] == taken


def test_a_folder_is_excluded_but_not_for_lack_of_an_include() -> None:
    selection = Selection(include=("*.txt",), exclude=("node_modules",))
    assert selection.excludes("web/node_modules")
    assert not selection.excludes("web")

"""Features of short texts, written below the characters: a space is 0, a letter is a digit of a large number."""

import random
import time

import numpy as np
import pytest

from service.analysis import features
from service.analysis.features import FEATURES

QUOTES = r"""
He said "No" and «oui» and “ja”, didn't he?
        111      1111      111
'Ay, sir,' quoth he. 'Tis the dogs' own.
111111111
‘it’s so’ 'it's so, 'tis th' end' ''
11111111  1111111111111111111111  1
a('"', "\"'", '\'') 'not closed
  11   1111   111
x \'don\'t stop' y

'first 'second' third
       1111111
"to the⏎next line" "to the paragraph⏎ ⏎its end "x"
11111111111111111  11111111111111111           11
/* it's "so" */ "x" // a "y"
                11
"""
COMMENTS = """
a /* b⏎c */ d // e⏎/*/ f */ /* g
  11111111    1111 1111111  1111
x # y⏎#z⏎http://a.b C# a#b⏎#include <c>⏎#if d⏎# if
  111 11                                      1111
"// no" //"yes"
        1111111
"""
URLS = """
(http://a.org/b?c=1). www.x.de, HTTPS://y ftp://z!
 111111111111111111   11111111  111111111 1111111
the www and http: //

"""
OTHERS = {
    "bracket_depth": [")(a[b]{c})d)(x", " 11221221   11"],
    "line_position": ["ab⏎⏎cde⏎f", "12  123 1"],
    "indentation": ["  a b⏎→ →x⏎   y ⏎z", "12222 89gg 12333"],
    "capitals": ["ROMEO: Hi, I É5", "11111  1   1 1"],
    "capital_run": ["ROMEO: Hi, I ÉÀ A", "11111        11"],
}
LINES = {name: lines[1:-1].split("\n") for name, lines in
         {"inside_quotes": QUOTES, "inside_comment": COMMENTS, "inside_url": URLS}.items()} | OTHERS  # fmt: skip
CASES = [
    (name, text.replace("⏎", "\n").replace("→", "\t"), values)
    for name, lines in LINES.items()
    for text, values in zip(lines[::2], lines[1::2], strict=True)
]


@pytest.mark.parametrize(("name", "text", "values"), CASES)
def test_a_feature_has_the_value_after_each_character(name: str, text: str, values: str) -> None:
    expected = [int(digit, 17) if digit != " " else 0 for digit in values.ljust(len(text))]
    assert getattr(features, name)(text).tolist() == expected


def test_brackets_are_counted_as_by_a_loop() -> None:
    text, depth, expected = "".join(random.Random(1).choices("()[]{}a\n", k=1000)), 0, []
    for character in text:
        depth += (character in "([{") - (character in ")]}" and depth > 0)
        expected.append(depth)
    assert features.bracket_depth(text).tolist() == expected


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_any_text_has_a_finite_value_for_each_character(feature: features.Feature) -> None:
    generator = random.Random(2)
    alphabet = "'\"“”‘’«»\\/*#:()[]{} \t\n\r\0aBthwww.http://é😀\ud800"
    for length in (0, 1, 2, 3, 500):
        text = "".join(generator.choices(alphabet, k=length))
        values = feature.values(text)
        assert (values.shape, values.dtype) == ((length,), np.float32)
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        assert not feature.is_binary or set(values.tolist()) <= {0, 1}


HOSTILE = [
    "'a ",
    "'tis ",
    "'",
    '"',
    "\\",
    "'\\a",
    " \\'a",
    "/*",
    "/*/",
    "# ",
    "www.,",
    "http://a!",
    '"\n ',
    "'x. ",
    "‘a",
    "a\n'",
]


@pytest.mark.parametrize("part", HOSTILE)
def test_the_time_grows_with_the_length_only(part: str) -> None:
    """A search that starts again at each mark would take minutes."""
    text = (part * 100_000)[:100_000]
    for hostile in (text, "'" + text, '"' + text, "http://" + text):
        started_s = time.process_time()
        features.inside_quotes(hostile)
        features.inside_url(hostile)
        assert time.process_time() - started_s < 10

"""Features of a text, one number for each character. Knows no model.

The value of a character is the one after it was read, as an activation is: the mark that opens a quotation or a comment
is inside, and the last character of its end is outside. Every function takes time proportional to the length of the
text, also of a hostile one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]  # [characters]

TAB_COLUMNS = 8

_SAME_PARAGRAPH = r"\n(?![^\S\n]*\n)"
# Words that begin or end with an apostrophe, which is no quotation mark.
_ELIDED_START = r"(?:tis|twas|twere|twill|twixt|tween|twould|t|em|gainst|fore|scape|cause|til)\b"
_ELIDED_END = r"(?<!\bth)(?<!\bo)(?<!\bha)(?<!\bi)"
# A mark after a backslash opens none. If it did, a text of such marks would be scanned to its end from each of them.
_OPEN = rf"(?<![\w\\])'(?=\S)(?!{_ELIDED_START})"
_CLOSE = rf"(?<=\S){_ELIDED_END}'(?!\w)"
_DIRECTIVE = r"(?:include|define|undef|ifn?def|if|elif|else|endif|pragma|error|warning|line)\b"  # of C

# Quotations and comments exclude each other: the one that begins first counts, as in most programming languages.
_MARKED = re.compile(
    rf"""
    (?P<comment> /\*[\s\S]*?(?:\*(?=/)|\Z) | (?<!:)//[^\n]* | (?:^|(?<=\s))\#(?!{_DIRECTIVE})[^\n]* ) /?
    |
    (?P<quotation>
        "(?:\\[\s\S]|[^"\\\n]|{_SAME_PARAGRAPH})*+
        | “(?:[^”\n]|{_SAME_PARAGRAPH})*+
        | «(?:[^»\n]|{_SAME_PARAGRAPH})*+
        | ‘(?:(?!’(?!\w))[^\n]|{_SAME_PARAGRAPH})*+
        | {_OPEN}(?:\\[\s\S]|(?!{_OPEN}|{_CLOSE})[^\\\n]|{_SAME_PARAGRAPH})*+(?={_CLOSE})
    )["”»’']?
    """,
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)
_URL_CHARACTER = r"""[^\s<>"'()\[\]{}|]"""
_URL = re.compile(rf"\b(?P<url>(?:https?://|ftp://|www\.){_URL_CHARACTER}*(?<![.,;:!?*]))", re.IGNORECASE)


def inside_quotes(text: str) -> Values:
    """1 inside a quotation.

    Quotations are `"…"`, `“…”`, `«…»`, `‘…’` and `'…'`. They end at a blank line at the latest. A backslash takes the
    next character out of its role. `'` opens one after a character that is not part of a word and before one that is
    not white space, if one that closes follows before the next that opens; apostrophes inside words, and those of
    common elisions ('tis, 'em, th', o'), are neither.
    """
    return _inside(_MARKED, "quotation", text)


def inside_comment(text: str) -> Values:
    """1 inside a comment: `/*` to `*/`, or to the end of the line `//`, not after a colon, or `#` after white space.

    A directive of C's preprocessor, such as `#include`, is not a comment.
    """
    return _inside(_MARKED, "comment", text)


def inside_url(text: str) -> Values:
    """1 inside a URL that begins with `http://`, `https://`, `ftp://` or `www.`; punctuation at its end is outside."""
    return _inside(_URL, "url", text)


def bracket_depth(text: str) -> Values:
    """The number of open brackets of ()[]{}, of any kind; one that closes none does not count."""
    codes = _codes(text)
    steps = np.isin(codes, _codes("([{")).astype(np.int64) - np.isin(codes, _codes(")]}"))
    depth = np.cumsum(steps)
    return (depth - np.minimum(0, np.minimum.accumulate(depth))).astype(np.float32)


def line_position(text: str) -> Values:
    """The number of characters of the line that were read; 0 for the line feed that ends it."""
    indices = np.arange(len(text))
    line_feeds = np.where(_codes(text) == ord("\n"), indices, -1)
    return (indices - np.maximum.accumulate(line_feeds)).astype(np.float32)


def indentation(text: str) -> Values:
    """The columns of white space at the start of the line, as far as it was read; a tab ends at a multiple of 8."""
    columns, column, is_leading = [], 0, True
    for character in text:
        if character == "\n":
            column, is_leading = 0, True
        elif is_leading and character == " ":
            column += 1
        elif is_leading and character == "\t":
            column += TAB_COLUMNS - column % TAB_COLUMNS
        else:
            is_leading = False
        columns.append(column)
    return np.array(columns, np.float32)


def capitals(text: str) -> Values:
    """1 for an upper-case letter."""
    return np.array([character.isupper() for character in text], np.float32)


def capital_run(text: str) -> Values:
    """1 for an upper-case letter next to another, as in the names of a play's speakers."""
    upper = capitals(text) > 0
    padded = np.pad(upper, 1)
    return (upper & (padded[:-2] | padded[2:])).astype(np.float32)


@dataclass(frozen=True)
class Feature:
    """A feature, and whether its values are only 0 and 1."""

    values: Callable[[str], Values]
    is_binary: bool

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.values.__name__


FEATURES = (
    Feature(inside_quotes, is_binary=True),
    Feature(bracket_depth, is_binary=False),
    Feature(line_position, is_binary=False),
    Feature(inside_comment, is_binary=True),
    Feature(capitals, is_binary=True),
    Feature(capital_run, is_binary=True),
    Feature(indentation, is_binary=False),
    Feature(inside_url, is_binary=True),
)


def _inside(pattern: re.Pattern[str], group: str, text: str) -> Values:
    """1 for the characters of each match of a group."""
    inside = np.zeros(len(text), np.float32)
    for match in pattern.finditer(text):
        start, end = match.span(group)  # -1, -1: another group has matched
        inside[max(0, start) : max(0, end)] = 1
    return inside


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)

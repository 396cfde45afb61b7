"""Reads a report back from its HTML."""

import re
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """The texts of a page by their element, and all attributes. Checks that elements are closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(self.source)

    @classmethod
    def of_file(cls, path: Path) -> "Page":
        return cls(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "link", "input", "path", "circle", "rect"):
            self.open.append(tag)
            self.texts.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.texts[-1][0] == self.open[-1]:
            tag, text = self.texts[-1]
            self.texts[-1] = tag, text + data

    def of(self, tag: str) -> list[str]:
        """The texts in all elements of this kind."""
        return [text for found, text in self.texts if found == tag]


def rows(source: str, head: str) -> list[list[str]]:
    """The cells of the table whose first column has this head."""
    tables = re.findall(r"<table>(.*?)</table>", source, re.DOTALL)
    (found,) = [table for table in tables if f">{head}</th>" in table.partition("</th>")[0] + "</th>"]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in found.split("<tr")[2:]]


def wide_chart(source: str) -> str:
    """The first chart for wide windows."""
    return re.search(r'<svg class="wide".*?</svg>', source, re.DOTALL)[0]

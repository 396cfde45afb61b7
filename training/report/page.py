"""A self-contained HTML page: style sheet, script, tables, escaping. Knows nothing of runs.

The page makes no requests, and its content security policy forbids them.
"""

from html import escape
from pathlib import Path

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"

FOLDER = Path(__file__).parent
# base.css is the one of the playground, so that both look the same; tests/contract holds the copies together.
STYLE = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("base.css", "report.css"))
SCRIPT = (FOLDER / "report.js").read_text(encoding="utf-8")


def page(title: str, body: str) -> str:
    """The HTML document around `body`, which is HTML; `title` is text."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{shown(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def shown(text: object) -> str:
    """Any text as HTML. Control characters become their control pictures (U+2400), invalid ones U+FFFD."""
    return escape("".join(map(_visible, str(text))))


def table(head: list[str], rows: list[list[str]], *, numbers: set[int], best: int | None = None) -> str:
    """A table of HTML cells; the columns `numbers` are right-aligned, the row `best` is bold."""
    columns = "".join(f"<th{_alignment(index in numbers)}>{cell}</th>" for index, cell in enumerate(head))
    lines = "".join(
        f"<tr{' class=best-row' if at == best else ''}>"
        + "".join(f"<td{_alignment(index in numbers)}>{cell}</td>" for index, cell in enumerate(row))
        + "</tr>"
        for at, row in enumerate(rows)
    )
    return f'<div class="wide-table"><table><thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table></div>'


def _alignment(is_number: bool) -> str:
    return ' class="number"' if is_number else ' class="text"'


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20 and character not in "\n\t":
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0x80 <= code < 0xA0 or 0xD800 <= code < 0xE000:
        return "\ufffd"
    return character

"""A self-contained HTML page: style sheet, script, tables, escaping. Knows nothing of runs.

The page makes no requests, and its content security policy forbids them.
"""

from html import escape

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"

STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf7; --card: #ffffff; --ink: #23221f; --soft: #68655d; --line: #e4e1d9;
  --training: #bf6a30; --validation: #23599c; --third: #3f7d58; --fourth: #8a4f9e; --fifth: #9a7b12; --sixth: #b23b5e; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171a; --card: #1c1f23; --ink: #e6e3dc; --soft: #a09c93;
  --line: #30343a; --training: #e59a62; --validation: #83b4f0; --third: #86c79f; --fourth: #cf9be0; --fifth: #d9c05c;
  --sixth: #f08fab; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 800px; margin: 0 auto; padding: 40px 20px 80px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -.01em; margin: 0 0 12px; overflow-wrap: anywhere; }
h2 { font-size: 20px; line-height: 1.3; margin: 56px 0 6px; }
h3 { font-size: 15px; margin: 22px 0 4px; }
p { margin: 0 0 12px; max-width: 68ch; }
.facts { font-size: 18px; overflow-wrap: anywhere; }
.note { color: var(--soft); font-size: 14px; }
b { font-weight: 650; font-variant-numeric: tabular-nums; }
svg { display: block; width: 100%; height: auto; margin: 8px 0; overflow: visible; }
svg.narrow { display: none; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); gap: 0 28px; }
text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.grid { stroke: var(--line); } .axis { stroke: var(--soft); }
.level, .leader { stroke: var(--soft); fill: none; opacity: .75; } .level { stroke-dasharray: 5 4; }
.curve { fill: none; stroke-width: 2.25; stroke-linejoin: round; stroke-linecap: round; }
.training { stroke: var(--training); } .validation { stroke: var(--validation); } .third { stroke: var(--third); }
.run-0 { stroke: var(--validation); } .run-1 { stroke: var(--training); } .run-2 { stroke: var(--third); }
.run-3 { stroke: var(--fourth); } .run-4 { stroke: var(--fifth); } .run-5 { stroke: var(--sixth); }
.curve.training { stroke-width: 1.75; } .point { fill: none; stroke-width: 8; stroke-linecap: round; }
.best { fill: var(--paper); stroke: var(--validation); stroke-width: 2.25; }
.at rect { fill: transparent; } .at .shown { visibility: hidden; pointer-events: none; }
.at:hover .shown { visibility: visible; } .rule { stroke: var(--soft); } .dot { fill: var(--paper); stroke-width: 2; }
.value { fill: var(--ink); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 22px; margin: 12px 0 0; padding: 0; list-style: none;
  font-size: 14px; color: var(--soft); }
.legend svg { display: inline-block; width: 26px; height: 10px; margin: 0 7px 0 0; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
.wide-table { overflow-x: auto; margin: 12px 0; }
th, td { text-align: left; padding: 5px 22px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } thead th { color: var(--soft); font-weight: 500; } td.number, th.number { text-align: right; }
td.text { overflow-wrap: anywhere; } td:first-child { white-space: nowrap; } tr.best-row td { font-weight: 650; }
details { border-bottom: 1px solid var(--line); } summary { cursor: pointer; padding: 8px 0; font-size: 14px; }
pre { margin: 4px 0 16px; padding: 16px 18px; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 14px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.stepper[hidden] { display: none; }
.stepper { display: flex; flex-wrap: wrap; align-items: center; gap: 10px 12px; margin: 14px 0 6px; }
.stepper input { flex: 1 1 180px; min-width: 0; accent-color: var(--validation); height: 28px; margin: 0; }
.tabs { display: flex; flex-wrap: wrap; gap: 6px; }
button { font: inherit; font-size: 14px; padding: 5px 13px; min-height: 34px; cursor: pointer; color: var(--ink);
  background: transparent; border: 1px solid var(--line); border-radius: 17px; }
button:hover { border-color: var(--soft); }
button[aria-pressed=true] { background: var(--ink); color: var(--paper); border-color: var(--ink); }
:focus-visible { outline: 2px solid var(--validation); outline-offset: 2px; }
.stepped details { border: 0; } .stepped details:not([open]) { display: none; }
.stepped summary { list-style: none; cursor: default; pointer-events: none; font-size: 15px; }
.stepped summary::-webkit-details-marker { display: none; }
.stepped .sample:not(.chosen), .stepped h3 { display: none; } .stepped pre { min-height: 20em; }
@media (max-width: 640px) { main { padding: 24px 16px 60px; } svg.wide { display: none; } svg.narrow { display: block; }
  h1 { font-size: 25px; } h2 { margin-top: 44px; } .facts { font-size: 17px; } pre { padding: 12px; font-size: 13px; }
  th, td { padding-right: 14px; } }
@media print { .stepper { display: none; } }
"""

# Shows one sample at a time, at one temperature. Without the script the samples are a list of <details>.
SCRIPT = """
const samples = document.querySelector("#samples");
if (samples) {
  const entries = [...samples.querySelectorAll("details")], stepper = samples.querySelector(".stepper");
  const slider = stepper.querySelector("input"), tabs = [...stepper.querySelectorAll(".tabs button")];
  const show = (index) => {
    slider.value = Math.min(Math.max(index, 0), entries.length - 1);
    entries.forEach((entry, at) => { entry.open = at === Number(slider.value); });
    slider.setAttribute("aria-valuetext", entries[slider.value].querySelector("summary").textContent);
  };
  const choose = (tab) => {
    tabs.forEach((other) => other.setAttribute("aria-pressed", other === tab));
    samples.querySelectorAll(".sample").forEach((sample) => {
      sample.classList.toggle("chosen", sample.dataset.temperature === tab.dataset.temperature);
    });
  };
  tabs.forEach((tab) => tab.addEventListener("click", () => choose(tab)));
  slider.addEventListener("input", () => show(Number(slider.value)));
  stepper.querySelectorAll("[data-by]").forEach((button) => {
    button.addEventListener("click", () => show(Number(slider.value) + Number(button.dataset.by)));
  });
  samples.classList.add("stepped");
  stepper.hidden = false;
  show(entries.length - 1);
  choose(tabs[Math.floor(tabs.length / 2)]);
}
"""


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

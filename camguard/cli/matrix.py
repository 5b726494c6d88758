"""The matrix of principals and actions, as text, as comma-separated values, and as a page to look at.

Rule 1: the page is one file that loads nothing: its policy (CSP) allows the one style and the one script in
        it, by their digests, so that a name in a bundle is shown and never run.
Rule 2: principals whose answers are the same for every action share a column of the page.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from camguard.cli.output import Document, paint
from camguard.grammar import REVISION_DIGITS
from camguard.policy.values import format_moment
from camguard.printable import printable
from camguard.suggest import few

LETTERS = {"allow": "A", "some": "s", "depends": "?", "deny": "."}
_STYLES = {"allow": "good", "some": "doubtful", "depends": "doubtful", "deny": "bad"}
_WORDS = {
    "allow": "allowed from everywhere",
    "some": "allowed from some addresses",
    "depends": "depends on conditions",
    "deny": "denied",
}


def render_matrix(document: Document) -> Iterator[str]:
    """Yield a line for each action, with a letter for each principal."""
    principals, rows = document["principals"], document["rows"]
    yield "A allowed  s from some addresses  ? depends on conditions  . denied"
    width = max(len(row["action"]) for row in rows)
    for at, each in enumerate(principals):
        yield f"{'':<{width}} {'|' * at}+ {each['principal']} ({each['name']})"
    for row in rows:
        letters = "".join(paint(LETTERS[word], _STYLES[word]) for word in row["answers"])
        yield f"{row['action']:<{width}} {letters}"


def render_csv(document: Document) -> Iterator[str]:
    """Yield the matrix as comma-separated values (RFC 4180): a header, then a row for each action."""
    for cells in (
        ["action", *(each["principal"] for each in document["principals"])],
        *([row["action"], *row["answers"]] for row in document["rows"]),
    ):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(cells)
        yield line.getvalue()


# --- the page -----------------------------------------------------------------------------------------------

_STYLE = """ :root { color-scheme: light dark; --line: light-dark(#d5dae1, #3a4250); --dim:
light-dark(#5b6675, #9aa5b4); --page: light-dark(#fff, #14181f); --head: light-dark(#f4f6f9, #1d232d); } body
{ margin: 0; font: 14px/1.4 system-ui, sans-serif; background: var(--page); } header { padding: 12px 16px 8px;
} h1 { font-size: 18px; margin: 0 0 2px; } p { margin: 2px 0; color: var(--dim); } .controls { display: flex;
flex-wrap: wrap; gap: 8px 16px; align-items: center; margin-top: 8px; } input { font: inherit; padding: 3px
6px; } .key span { display: inline-block; width: 18px; text-align: center; margin-right: 4px; border-radius:
3px; } .key { margin-right: 14px; white-space: nowrap; } main { display: flex; height: calc(100vh - 118px); }
.table { overflow: auto; flex: 1; border-top: 1px solid var(--line); } table { border-collapse: separate;
border-spacing: 0; } th { font-weight: normal; text-align: left; background: var(--head); } thead th {
position: sticky; top: 0; z-index: 1; vertical-align: bottom; padding: 6px 2px; max-height: 180px;
border-bottom: 1px solid var(--line); } thead th div { writing-mode: vertical-rl; transform: rotate(180deg);
max-height: 130px; overflow: hidden; white-space: nowrap; } tbody th, thead th:first-child { position: sticky;
left: 0; padding: 1px 12px 1px 16px; white-space: nowrap; border-right: 1px solid var(--line); } thead
th:first-child { z-index: 2; } tbody tr.write th { font-weight: 600; } th small { color: var(--dim);
font-weight: normal; margin-left: 6px; } td { width: 22px; min-width: 22px; height: 20px; text-align: center;
cursor: pointer; font: 12px ui-monospace, monospace; border: 1px solid var(--page); border-radius: 4px; }
.allow { background: light-dark(#1a7f4b, #2a9d61); color: #fff; } .some { background: light-dark(#c4e6b8,
#4d6b2f); } .depends { background: light-dark(#ffd98a, #80601a); } .deny { background: light-dark(#f0f2f5,
#20262f); color: var(--dim); } tr:hover th, td:hover, td:focus { outline: 2px solid light-dark(#2b6cb0,
#7fb2ea); outline-offset: -1px; } aside { width: 340px; overflow: auto; border: solid var(--line);
border-width: 1px 0 0 1px; padding: 12px 16px; } aside h2 { font-size: 15px; margin: 0 0 4px; overflow-wrap:
anywhere; } aside ul { margin: 4px 0 10px; padding-left: 18px; overflow-wrap: anywhere; } [hidden] { display:
none; }
"""

_SCRIPT = """ const data = JSON.parse(document.getElementById("answers").textContent); const side =
document.querySelector("aside"); const element = (tag, text) => Object.assign(document.createElement(tag),
{textContent: text}); const list = texts => { const ul = element("ul", ""); ul.append(...texts.map(each =>
element("li", each))); return ul; }; function tell(cell) { const row = cell.parentNode, answer =
data.answers[cell.dataset.answer], who = data.columns[cell.cellIndex - 1]; side.replaceChildren(element("h2",
row.dataset.action), element("p", data.words[cell.className]), list(who)); if (answer.allow.length)
side.append(element("p", "allowed from"), list(answer.allow)); for (const each of answer.depends)
side.append(element("p", "depends, from"), list(each.ranges), element("p", "on"), list(each.on)); }
document.querySelector("tbody").addEventListener("click", event => { const cell = event.target.closest("td");
if (cell) tell(cell); }); document.querySelector("tbody").addEventListener("focusin", event => { const cell =
event.target.closest("td"); if (cell) tell(cell); }); const holds = (text, wanted) =>
text.toLowerCase().includes(wanted.toLowerCase()); document.getElementById("action").addEventListener("input",
event => { for (const row of document.querySelectorAll("tbody tr")) row.hidden = !holds(row.dataset.action,
event.target.value); }); document.getElementById("who").addEventListener("input", event => {
data.columns.forEach((names, at) => { const hide = !names.some(name => holds(name, event.target.value)); for
(const row of document.querySelectorAll("tr")) row.cells[at + 1].hidden = hide; }); });
"""


def render_page(document: Document) -> Iterator[str]:
    """Yield the lines of the page.

    document: with `answers` in each row as places in `document["details"]`, the different answers, each with
    its word, its addresses, and what it depends on.
    """
    details, rows = document["details"], document["rows"]
    columns = _columns(document)
    policy = f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)}"
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>camguard: who can call what</title><style>{_STYLE}</style></head><body>"
    yield f"<header><h1>Who can call what</h1><p>{_text(_about(document))}</p>"
    yield '<div class="controls"><input id="action" placeholder="actions that contain" aria-label="actions">'
    yield '<input id="who" placeholder="principals that contain" aria-label="principals"><div>'
    for word, letter in LETTERS.items():
        yield f'<span class="key"><span class="{word}">{letter}</span>{_WORDS[word]}</span>'
    yield '</div></div></header><main><div class="table"><table><thead><tr><th>action</th>'
    for places, names in columns.items():
        title = "&#10;".join(map(_text, names))
        more = f" +{len(names) - 1}" if len(names) > 1 else ""
        yield f'<th title="{title}"><div>{_text(document["principals"][places[0]]["name"])}{more}</div></th>'
    yield "</tr></thead><tbody>"
    for row in rows:
        cells = (row["answers"][places[0]] for places in columns)
        action, access = _text(row["action"]), row["access"]
        yield f'<tr class="{access}" data-action="{action}"><th>{action}<small>{access}</small></th>'
        yield "".join(
            f'<td class="{word}" data-answer="{at}" tabindex="-1">{LETTERS[word]}</td>'
            for at, word in ((at, details[at]["word"]) for at in cells)
        )
        yield "</tr>"
    yield "</tbody></table></div><aside><p>Choose a cell to read who may call the action, from where, and"
    yield "under which conditions.</p></aside></main>"
    data = {"answers": details, "columns": list(columns.values()), "words": _WORDS}
    yield f'<script type="application/json" id="answers">{_json(data)}</script>'
    yield f"<script>{_SCRIPT}</script></body></html>"


def _columns(document: Document) -> Mapping[tuple[int, ...], list[str]]:
    """Return the columns: the places of the principals in one of them, and their names (Rule 2)."""
    same: dict[tuple[int, ...], list[int]] = {}
    for at in range(len(document["principals"])):
        same.setdefault(tuple(row["answers"][at] for row in document["rows"]), []).append(at)
    names = [printable(f"{each['name']} ({each['principal']})") for each in document["principals"]]
    return {tuple(places): [names[at] for at in places] for places in same.values()}


def _about(document: Document) -> str:
    parts = [f"at {format_moment(document['time'])}", f"{len(document['principals'])} principals"]
    parts.append(f"{len(document['rows'])} actions")
    parts += [f"from {few(document['ip'])}"] if document["ip"] else []
    parts += [f"on {document['resource']}"] if document["resource"] else []
    return ", ".join([*parts, f"revision {document['revision'][:REVISION_DIGITS]}"])


def _text(text: str) -> str:
    """Return a text that is no markup, in ASCII: the encoding of stdout does not matter."""
    return escape(printable(text)).encode("ascii", "xmlcharrefreplace").decode()


def _json(data: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the element that it stands in."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

"""The facts of a catalog file as pages in the shapes in which people have them.

`python -m tests.catalog_import.shapes` writes the files of `tests/catalog_import/printed`
anew, with w3m, lynx and pandoc of this machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from camguard.catalog import Access, Action, Granularity, IpRestriction, Service, load_catalog
from tests.catalog_import.pages import ENGLISH, LAYOUTS, Cells

HERE: Final = Path(__file__).parent
PRINTED: Final = HERE / "printed"
CATALOG: Final = HERE.parents[1] / "config" / "catalog"

_HEADINGS: Final = {
    Access.WRITE: "Write operations",
    Access.READ: "Read operations",
    Access.LIST: "List Operations",
    Access.OTHER: "Other Operations",
}
_SUMMARIES: Final = {
    IpRestriction.SUPPORTED: "Supported",
    IpRestriction.PARTIAL: "Partially supported",
    IpRestriction.UNSUPPORTED: "not supported",
}


def _toy(
    name: str, description: str, *templates: str, ip: bool = True, access: Access = Access.WRITE
) -> Action:
    level = Granularity.RESOURCE if templates else Granularity.OPERATION
    return Action("toybox", name, access, level, templates or ("*",), ip, description)


_TOY: Final = "qcs::toybox:${region}:uin/${uin}:toy/${toyId}"
_ROWS: Final = (
    _toy(
        "AddToy",
        "Add a toy | with a border, 4-level, Operation level of detail and a long sentence that goes on and "
        "on until it must wrap somewhere",
    ),
    _toy("BendToyWithAVeryLongNameThatNobodyCanBreakAnywhere", "", _TOY, ip=False),
    _toy(
        "CastToy",
        "支持api调用把玩具添加到盒子里然后再拿出来重复这个过程直到结束为止",
        _TOY,
        "qcs::toybox::uin/${uin}:box/*",
    ),
    _toy("agentInfo", "agent's \u201cinfo\u201d & <more>", access=Access.READ),
    _toy("GetToy", "GetToy", "qcs::toybox:$region:$account:toy/$toyId", access=Access.READ),
    _toy("ListToys", "", ip=False, access=Access.LIST),
    _toy(
        "SendToyToSomebodyElse",
        "After issuing toys, it will enter the approval process. At this time, one can cancel the approval.",
        access=Access.OTHER,
    ),
)
TOYS: Final = Service(
    "toybox",
    "Toy Box (Pro)",
    console=True,
    tag_authorization=False,
    granularity=Granularity.RESOURCE,
    ip_restriction=IpRestriction.PARTIAL,
    actions={row.name: row for row in _ROWS},
)


def services() -> dict[str, Service]:
    """Return the services of the two pages that are shipped, and one of everything that is difficult."""
    return {**load_catalog(CATALOG).services, TOYS.name: TOYS}


def _flag(value: bool) -> str:
    return "Supported" if value else "not supported"


def tables(service: Service) -> Iterator[tuple[str, Sequence[Cells]]]:
    """Yield the heading and the rows of each table, the header row first."""
    level = service.granularity.title()
    product = (
        service.title,
        service.name,
        _flag(service.console),
        _flag(service.tag_authorization),
        f"{level} level",
        _SUMMARIES[service.ip_restriction],
    )
    yield "Fundamental information", [ENGLISH[0], product]
    for access, heading in _HEADINGS.items():
        rows = [
            (
                row.name,
                row.description,
                f"{row.granularity.title()} level",
                " ".join(row.resources),
                _flag(row.ip_restriction),
            )
            for row in service.actions.values()
            if row.access is access
        ]
        if rows:
            yield heading, [ENGLISH[1], *rows]


def plain_table(rows: Sequence[Cells]) -> str:
    """Lay a table as most people write one."""
    head, *body = ("".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) for tag, row in _tagged(rows))
    lines = "".join(f"<tr>{row}</tr>\n" for row in body)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{lines}</tbody></table>\n"


def _tagged(rows: Sequence[Cells]) -> Iterator[tuple[str, Cells]]:
    yield "th", rows[0]
    yield from (("td", row) for row in rows[1:])


def wide_table(rows: Sequence[Cells]) -> str:
    """Lay a table as an editor of documents does: widths, spans of one, and blocks inside of cells."""
    return _with_widths(rows, '<div class="p"><span>', "</span></div>")


def width_table(rows: Sequence[Cells]) -> str:
    """Lay a table with widths of columns."""
    return _with_widths(rows, "", "")


def _with_widths(rows: Sequence[Cells], before: str, after: str) -> str:
    columns = f'<col width="{100 // len(rows[0])}%">' * len(rows[0])
    cell = '<td rowspan="1" colspan="1" style="min-width:60px">'
    lines = "".join(
        f"<tr>{''.join(f'{cell}{before}{escape(text)}{after}</td>' for text in row)}</tr>\n" for row in rows
    )
    return f"<table><colgroup>{columns}</colgroup><tbody>\n{lines}</tbody></table>\n"


_NOTE: Final = """<blockquote><p>Note:</p><p>The authorization granularity has three levels: service level,
operation level, and resource level.</p><ul><li>Operation level: some APIs are not supported.</li></ul>
</blockquote>
"""


def html(service: Service, table: Callable[[Sequence[Cells]], str] = plain_table) -> str:
    """Return a page as a browser saves it."""
    body = []
    for number, (heading, rows) in enumerate(tables(service)):
        body.append(f"<h3>{heading}</h3>{table(rows)}{'' if number else _NOTE}")
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(service.title)}</title>'
        '<style>td{color:red}</style><script>var a = "<table><td>x</td></table>";</script></head>\n<body>'
        '<nav><ul><li><a href="/a">CAM Overview</a></li><li><a href="/b">Features</a></li></ul></nav>\n'
        f"<h1>{escape(service.title)}</h1><div>Last updated: 2025-03-26 09:54:46</div>\n{''.join(body)}"
        "<footer><p>Was this page helpful?</p><button>Yes</button><p>+852 800 906 020</p></footer>"
        "</body></html>\n"
    )


def _bordered(page: str) -> str:
    return page.replace("<table>", '<table border="1">')


def _linked(page: str) -> str:
    """Return a page in which the name of every action is a link."""
    return re.sub(r"<tr><td>(\w+)</td>", r'<tr><td><a href="/d/\1">\1</a></td>', page)


_W3M: Final = ("w3m", "-dump", "-T", "text/html", "-I", "UTF-8", "-O", "UTF-8")
_LYNX: Final = ("lynx", "-dump", "-stdin", "-force_html", "-assume_charset=utf-8", "-display_charset=utf-8")
_PANDOC: Final = ("pandoc", "-f", "html", "-t")

# shape -> the page that is given to a program, and the program
PROGRAMS: Final[dict[str, tuple[Callable[[Service], str], tuple[str, ...]]]] = {
    "w3m": (html, _W3M),
    "w3m-wide": (html, (*_W3M, "-cols", "200")),
    "w3m-borders": (lambda service: _bordered(html(service)), _W3M),
    "lynx": (html, _LYNX),
    "lynx-wide": (html, (*_LYNX, "-width=200")),
    "lynx-links": (lambda service: _linked(html(service)), _LYNX),
    "lynx-cells": (lambda service: html(service, wide_table), _LYNX),
    "pandoc-plain": (html, (*_PANDOC, "plain")),
    "pandoc-multiline": (lambda service: html(service, width_table), (*_PANDOC, "plain")),
    "pandoc-gfm": (html, (*_PANDOC, "gfm")),
    "pandoc-gfm-html": (lambda service: html(service, wide_table), (*_PANDOC, "gfm")),
}
# The page of 238 actions is printed by two of them only, because the files are large.
STORED: Final = [
    (name, shape)
    for name in ("aiart", "toybox", "intlpartnersmgt")
    for shape in PROGRAMS
    if name != "intlpartnersmgt" or shape in {"w3m", "lynx"}
]


def installed(shape: str) -> bool:
    return shutil.which(PROGRAMS[shape][1][0]) is not None


def printed(service: Service, shape: str) -> bytes:
    """Return what a program prints of a page."""
    page, command = PROGRAMS[shape]
    return subprocess.run(command, input=page(service).encode(), capture_output=True, check=True).stdout


def copied(service: Service, separator: str) -> str:
    """Return the text of a page as browsers copy it, with a separator between the cells of a row."""
    lines = [f"{service.title}\nLast updated: 2025-03-26 09:54:46\n"]
    for heading, rows in tables(service):
        lines += [f"\n{heading}\n\n", *(f"{separator.join(row)}\n" for row in rows)]
    return "".join(lines)


def laid_out(service: Service, layout: str) -> str:
    """Return a page in one of the layouts in which text of pages was found."""
    return "".join(f"\n{heading}\n\n{LAYOUTS[layout](rows)}" for heading, rows in tables(service))


# shape -> the page, without any program
WRITTEN: Final[dict[str, Callable[[Service], str]]] = {
    "HTML": html,
    "HTML with widths": lambda service: html(service, width_table),
    "HTML of an editor": lambda service: html(service, wide_table),
    "HTML with links": lambda service: _linked(html(service)),
    "HTML without end tags": lambda service: re.sub(r"</(?:td|th|tr|thead|tbody|p|li)>", "", html(service)),
    "copied with tabs": lambda service: copied(service, "\t"),
    "copied with blanks": lambda service: copied(service, " "),
    **{f"text: {layout}": lambda service, layout=layout: laid_out(service, layout) for layout in LAYOUTS},  # type: ignore[misc]
}


def file_of(name: str, shape: str) -> Path:
    return PRINTED / f"{name}.{shape}.txt"


if __name__ == "__main__":
    for name, shape in STORED:
        file_of(name, shape).write_bytes(printed(services()[name], shape))

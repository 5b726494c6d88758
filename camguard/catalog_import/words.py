"""The words that the tables of a page are made of, in every language in which pages were found.

Cells are compared whole. The longest spelling is listed first, because a flat line is read from its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple

from camguard.catalog.model import ANY, Access, Granularity, IpRestriction
from camguard.catalog_import.lines import Line, squeeze

GRANULARITIES: Final[Mapping[str, Granularity]] = {
    **{f"{level.value.title()} {word}": level for level in Granularity for word in ("level", "Level")},
    **{f"{level.value} level": level for level in Granularity},
    "服务级": Granularity.SERVICE,
    "操作级": Granularity.OPERATION,
    "资源级": Granularity.RESOURCE,
}

FLAGS: Final[Mapping[str, bool]] = {
    "not supported": False,
    "Not supported": False,
    "Not Supported": False,
    "Supported": True,
    "supported": True,
    "不支持": False,
    "支持": True,
}

SUMMARIES: Final[Mapping[str, IpRestriction]] = {
    "Partially supported": IpRestriction.PARTIAL,
    "Partially Supported": IpRestriction.PARTIAL,
    "partially supported": IpRestriction.PARTIAL,
    "部分支持": IpRestriction.PARTIAL,
    **{
        word: IpRestriction.SUPPORTED if supported else IpRestriction.UNSUPPORTED
        for word, supported in FLAGS.items()
    },
}

HEADINGS: Final[Mapping[str, Access]] = {
    "writeoperations": Access.WRITE,
    "readoperations": Access.READ,
    "listoperations": Access.LIST,
    "otheroperations": Access.OTHER,
    "写操作": Access.WRITE,
    "读操作": Access.READ,
    "列表操作": Access.LIST,
    "其他操作": Access.OTHER,
}

# What the verb of a name usually means. Used only where the headings of a page are missing, and marked there.
VERBS: Final[Mapping[str, Access]] = {
    "List": Access.LIST,
    **dict.fromkeys(("Describe", "Get", "Query", "Check", "Verify", "Search", "Inquire"), Access.READ),
}
LEAD: Final = "qcs:"  # how a resource template begins


def guess_access(name: str) -> Access:
    """Return the section that a name suggests; a write where it suggests none."""
    return next((access for verb, access in VERBS.items() if name.startswith(verb)), Access.WRITE)


def split_cell(cell: str) -> tuple[str, ...] | None:
    """Return the templates of one resource cell, or None where it does not begin like one.

    Several are joined by a blank, or glued with nothing between: a template begins where `qcs:` does, never
    at a blank, for templates may hold blanks.

    >>> split_cell("qcs::a::uin/${uin}: b/$cqcs::a::uin/${uin}:d/*")
    ('qcs::a::uin/${uin}: b/$c', 'qcs::a::uin/${uin}:d/*')
    """
    if cell == ANY:
        return (ANY,)
    if not cell.startswith(LEAD):
        return None
    return tuple(LEAD + rest.strip() for rest in cell.split(LEAD)[1:])


class Layout(Enum):
    """How a page prints a table."""

    FLAT = "a row is a line, cells joined by a blank"
    ROWS = "a row is a line, cells between borders"
    CELLS = "a cell is a line"


class Header(NamedTuple):
    """A header row. product: whether it opens the table of the product. lines: how many it takes."""

    product: bool
    layout: Layout
    lines: int


_PRODUCT: Final = (
    "Product|Abbreviation in CAM|Console|Authorization by Tag|Authorization Granularity|IP Restriction",
    "CAM中产品名|CAM中简称|控制台访问|按标签授权|授权粒度|IP限制",
)
_ACTIONS: Final = (
    "API|API Description|Authorization Granularity|Six-segment Resource Description|IP Restriction",
    "接口名|接口描述|授权粒度|资源六段式|IP限制",
)
_HEADERS: Final = {
    tuple(map(squeeze, header.split("|"))): header in _PRODUCT for header in _PRODUCT + _ACTIONS
}
_COLUMNS: Final = min(map(len, _HEADERS))
_ON_ONE_LINE: Final = {"".join(cells): product for cells, product in _HEADERS.items()}
_BY_FIRST_CELL: Final = {cells[0]: cells for cells in _HEADERS}


def header_at(lines: Sequence[Line], index: int) -> Header | None:
    """Return the header row that begins at a line, if one does."""
    text = lines[index].text
    label = squeeze(text)
    product = _ON_ONE_LINE.get(label)
    if product is not None:
        return Header(product, Layout.ROWS if "|" in text else Layout.FLAT, 1)
    cells = _BY_FIRST_CELL.get(label)
    if cells is None or "|" not in text:
        return None
    there = lines[index : index + len(cells)]
    if not all("|" in line.text for line in there) or tuple(squeeze(line.text) for line in there) != cells:
        return None
    return Header(_HEADERS[cells], Layout.CELLS, len(cells))


def heading(line: Line) -> Access | None:
    """Return the section that a line opens, if it does."""
    return None if "|" in line.text else HEADINGS.get(squeeze(line.text))


def opens_table(line: Line) -> bool:
    """Whether a line is a heading or a header row, or the beginning of one."""
    label = squeeze(line.text)
    return bool(label) and any(known.startswith(label) for known in (*HEADINGS, *_ON_ONE_LINE))


def is_rule(line: Line) -> bool:
    """Whether a line only draws the line below a header row: `|---|---|---|---|---|`."""
    return line.text.count("|") >= _COLUMNS - 1 and "--" in line.text and set(line.text) <= set("|-: ")


# The page's buttons, in the languages of the site, case folded. They are between its title and its date,
# and right below its last table.
CHROME: Final = frozenset(
    {
        *("was this page helpful?", "feedback", "help and support", "yes", "no"),
        *("도움말 및 지원", "피드백", "フィードバック"),
        *("pdf", "focus mode", "font size"),
        *("聚焦模式", "字号", "我的收藏", "文档反馈"),
        *("포커스 모드", "폰트 크기"),
        *("フォーカスモード", "フォントサイズ"),
        *("modo foco", "tamanho da fonte"),
        *("mode fokus", "ukuran font"),
    }
)

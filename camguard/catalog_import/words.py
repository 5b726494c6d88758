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
    "서비스 수준": Granularity.SERVICE,
    "작업 수준": Granularity.OPERATION,
    "리소스 수준": Granularity.RESOURCE,
    "サービスレベル": Granularity.SERVICE,
    "操作レベル": Granularity.OPERATION,
    "リソースレベル": Granularity.RESOURCE,
}

FLAGS: Final[Mapping[str, bool]] = {
    "not supported": False,
    "Not supported": False,
    "Not Supported": False,
    "Supported": True,
    "supported": True,
    "不支持": False,
    "支持": True,
    "지원하지 않음": False,
    "미지원": False,
    "지원": True,
    "サポートされていません": False,
    "サポートなし": False,
    "非対応": False,
    "サポート": True,
    "対応": True,
}

SUMMARIES: Final[Mapping[str, IpRestriction]] = {
    "Partially supported": IpRestriction.PARTIAL,
    "Partially Supported": IpRestriction.PARTIAL,
    "partially supported": IpRestriction.PARTIAL,
    "部分支持": IpRestriction.PARTIAL,
    "부분 지원": IpRestriction.PARTIAL,
    "一部サポート": IpRestriction.PARTIAL,
    "一部対応": IpRestriction.PARTIAL,
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
    "쓰기작업": Access.WRITE,
    "읽기작업": Access.READ,
    "목록작업": Access.LIST,
    "리스트작업": Access.LIST,
    "기타작업": Access.OTHER,
    "書き込み操作": Access.WRITE,
    "読み取り操作": Access.READ,
    "リスト操作": Access.LIST,
    "一覧操作": Access.LIST,
    "その他の操作": Access.OTHER,
}

_HEADER_ROWS: Final = 4  # of a table, in which its labels stand
LEAD: Final = "qcs:"  # how a resource template begins


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
    WRAPPED = "a row is some lines, cells joined by a blank"
    ROWS = "a row is a line, cells between borders"
    CELLS = "a cell is a line, closed by a border"
    LINES = "a cell is a line"


class Header(NamedTuple):
    """A header row. product: whether it opens the table of the product. lines: how many it takes."""

    product: bool
    layout: Layout
    lines: int


_PRODUCT: Final = (
    "Product|Abbreviation in CAM|Console|Authorization by Tag|Authorization Granularity|IP Restriction",
    "CAM中产品名|CAM中简称|控制台访问|按标签授权|授权粒度|IP限制",
    "产品|CAM中简称|控制台|按标签授权|授权粒度|IP限制",
    "제품|CAM 약칭|콘솔|태그별 권한 부여|권한 부여 수준|IP 제한",
    "製品|CAMでの略称|コンソール|タグによる承認|承認の粒度|IP制限",
)
_ACTIONS: Final = (
    "API|API Description|Authorization Granularity|Six-segment Resource Description|IP Restriction",
    "接口名|接口描述|授权粒度|资源六段式|IP限制",
    "API|API 설명|권한 부여 수준|6단계 리소스 설명|IP 제한",
    "API|APIの説明|承認の粒度|6セグメントのリソース記述|IP制限",
)
_HEADERS: Final = {
    tuple(map(squeeze, header.split("|"))): header in _PRODUCT for header in _PRODUCT + _ACTIONS
}
_COLUMNS: Final = min(map(len, _HEADERS))
_MOST_LINES: Final = 16  # of a header row that is printed on several lines
_ON_ONE_LINE: Final = {"".join(cells): product for cells, product in _HEADERS.items()}
_BEGINNINGS: Final = frozenset(label[:end] for label in _ON_ONE_LINE for end in range(1, len(label) + 1))
# The labels of each column of the product table and of the tables of actions, in every language.
LABELS: Final = tuple(
    tuple(frozenset(column) for column in zip(*(h for h, p in _HEADERS.items() if p is product), strict=True))
    for product in (True, False)
)


def header_at(lines: Sequence[Line], index: int) -> Header | None:
    """Return the header row that begins at a line, if one does."""
    text = lines[index].text
    label = squeeze(text)
    product = _ON_ONE_LINE.get(label)
    if product is not None:
        return Header(product, Layout.ROWS if "|" in text else Layout.FLAT, 1)
    if label not in _BEGINNINGS:
        return None
    return _header_over_lines(lines[index : index + _MOST_LINES], bordered="|" in text)


def _header_over_lines(lines: Sequence[Line], *, bordered: bool) -> Header | None:
    """Return the header row that takes several of some lines, from the first one on."""
    labels: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.text and not bordered:
            continue
        labels.append(squeeze(line.text))
        joined = "".join(labels)
        if bordered is not ("|" in line.text) or joined not in _BEGINNINGS:
            break
        product = _ON_ONE_LINE.get(joined)
        apart = tuple(labels) in _HEADERS
        if product is not None and line.ended and (apart or not bordered):
            layout = Layout.CELLS if bordered else Layout.LINES if apart else Layout.WRAPPED
            return Header(product, layout, number)
    return None


def header_columns(cells: Sequence[str]) -> tuple[int, ...] | None:
    """Return the places of the columns of a known table in a header row, in the usual order, or None.

    Further columns may stand between them.
    """
    labels = [*map(squeeze, cells)]
    for columns in LABELS:
        places = [next((at for at, label in enumerate(labels) if label in known), -1) for known in columns]
        if min(places) >= 0 and len(set(places)) == len(places):
            return tuple(places)
    return None


def arrange(grid: Sequence[Sequence[str]]) -> list[tuple[int, list[str]]] | None:
    """Return the rows of a table with the usual columns in the usual order, or None for another table.

    grid: the texts of the cells. Each row comes with its number in the grid. A row of one text is a heading:
    one that spans the table, or one that stands in a further column. A table without a header row is one
    whose rows contain a granularity.
    """
    places = next((found for row in grid[:_HEADER_ROWS] if (found := header_columns(row))), None)
    if places is None and not any(cell in GRANULARITIES for row in grid for cell in row):
        return None
    arranged: list[tuple[int, list[str]]] = []
    section = ""
    for number, row in enumerate(grid):
        texts = {*row} - {""}
        titles = {squeeze(text): text for text in texts if squeeze(text) in HEADINGS}
        if len(texts) == 1 and titles:
            arranged.append((number, [*texts]))
            continue
        if places is not None and titles and len(titles) == 1 and section not in titles:
            section, title = next(iter(titles.items()))
            arranged.append((number, [title]))
        if places is None:
            arranged.append((number, [*row]))
        else:
            arranged.append((number, [row[at] if at < len(row) else "" for at in places]))
    return arranged


def heading(line: Line) -> Access | None:
    """Return the section that a line opens, if it does."""
    return None if "|" in line.text else HEADINGS.get(squeeze(line.text))


def opens_table(line: Line) -> bool:
    """Whether a line is a heading or a header row, or the beginning of one."""
    label = squeeze(line.text)
    return label in _BEGINNINGS or any(known.startswith(label) for known in HEADINGS if label)


def is_rule(line: Line) -> bool:
    """Whether a line only draws the line below a header row: `|---|---|---|---|---|`, `---- ----`."""
    text = line.text
    if "|" in text:
        return text.count("|") >= _COLUMNS - 1 and "--" in text and set(text) <= set("|-: ")
    return ("--" in text or "==" in text) and set(text) <= set("-= ")


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

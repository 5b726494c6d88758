"""The phrases that several verbs print: addresses, windows of time, rows with a label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from camguard.cli.output import Document, paint
from camguard.ipset import LINE_END, IpSet
from camguard.policy.values import format_moment

# Unlike EVERY_ADDRESS, this is also the sum of 0.0.0.0/0 and ::/0, two blocks.
EVERYWHERE: Final = IpSet.of_ranges([(0, LINE_END - 1)])


def places(cidrs: Sequence[str], listed: Callable[[Sequence[str]], str], brief: float = 0) -> str:
    """Return addresses as text: the blocks themselves, or those outside of them where these are fewer.

    listed: returns a list of blocks as text. brief: so many blocks are always listed themselves.
    """
    outside = (EVERYWHERE - IpSet.of(cidrs)).cidrs()
    if not outside:
        return "everywhere"
    return listed(cidrs) if len(cidrs) <= max(brief, len(outside)) else f"everywhere but {listed(outside)}"


def span(window: Document) -> str:
    """Return the ends of a window of time that it has, each behind a blank: ` from … until …`."""
    begin = "" if window["from"] is None else f" from {format_moment(window['from'])}"
    return begin + ("" if window["until"] is None else f" until {format_moment(window['until'])}")


def rows(cells: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a row for each label whose cell is not empty."""
    yield from (f"  {paint(f'{label:<10}', 'dim')}{cell}" for label, cell in cells if cell)

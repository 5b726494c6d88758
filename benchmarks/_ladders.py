"""The floors of each kind of request by the names that programs and tables use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from _apps import App
from _checked_floors import checking, checking_signed
from _floors import IDENTITY, REFUSAL
from _signed_floors import SIGNED

HEADER, REFUSED, TC3 = "header identity", "refusal", "TC3, 1 KB"
CHECKED = "and checks what each call may fail"
# Kind of request -> what a floor does -> what makes it. Each floor does what those before it do, too.
LADDERS: Mapping[str, Mapping[str, Callable[[App], App]]] = {
    HEADER: {**IDENTITY, CHECKED: checking},
    REFUSED: REFUSAL,
    TC3: {**SIGNED, CHECKED: checking_signed},
}


def floors(kind: str) -> list[str]:
    """Return the names of the floors of one kind of request, the one that does least first."""
    return [f"{kind}: {name}" for name in LADDERS[kind]]


def floor(name: str, app: App) -> App:
    """Return the application behind one floor."""
    kind, _, step = name.partition(": ")
    return LADDERS[kind][step](app)


def last(kind: str) -> str:
    """Return the floor of a kind that does most, of those that check nothing."""
    return next(name for name in reversed(floors(kind)) if not name.endswith(CHECKED))


def checked(kind: str) -> str:
    """Return the floor of a kind that checks."""
    return f"{kind}: {CHECKED}"

"""Tables of so many rows that all rows of a topic are one test: for pytest a test costs more than a row does.

Every row is checked, whatever became of the others, and a failure names each row that does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest
from _pytest.mark.structures import ParameterSet

T = TypeVar("T")
Rows = dict[str, T]


def by_topic(
    rows: Iterable[T], topic: Callable[[T], str], sentence: Callable[[T], str] = str
) -> list[ParameterSet]:
    """Return one parameter for each topic: its rows by their sentences.

    Raises ValueError if two rows have the same sentence.
    """
    topics: dict[str, Rows[T]] = {}
    for row in rows:
        found = topics.setdefault(topic(row), {})
        if found.setdefault(sentence(row), row) is not row:
            raise ValueError(f"two rows of {topic(row)!r} have the name {sentence(row)!r}")
    return [pytest.param(each, id=name) for name, each in topics.items()]


def check_each(rows: Rows[T], check: Callable[[T], object]) -> None:
    """Check every row; fail with the sentences of those that do not hold and with what each raised."""
    failed: dict[str, Exception] = {}
    for sentence, row in rows.items():
        try:
            check(row)
        except Exception as error:  # noqa: BLE001 - whatever a row raises is printed, and the other rows are checked
            failed[sentence] = error
    if failed:
        printed = "".join(f"\n* {sentence}\n{error!r}" for sentence, error in failed.items())
        raise AssertionError(f"{len(failed)} of {len(rows)} rows do not hold:{printed}") from next(
            iter(failed.values())
        )

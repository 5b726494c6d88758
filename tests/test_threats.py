"""Every row of the threat table (T01 to T120) is named by a test, or it is said here why it cannot be.

T121 to T139 are its amendments: a test may name them, and where it does, they are built.

A test names a row in its own name (`test_t26_…`), or in the id of one of its cases (`id="T26 …"`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROWS = [f"T{number:02d}" for number in range(1, 121)]
AMENDMENTS = [f"T{number}" for number in range(121, 140)]
_NAMED = re.compile(r"(?:^|[\s_(,/])[Tt](\d{2,3})(?=$|[\s_),:/])")


def named_in(text: str) -> Iterator[str]:
    """Yield the rows that a name or an id names."""
    yield from (f"T{int(number):02d}" for number in _NAMED.findall(text))


def ids_of(tree: ast.AST) -> Iterator[str]:
    """Yield the names of tests and the ids of their cases."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name
        elif isinstance(node, ast.keyword) and node.arg == "id" and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


def named() -> dict[str, list[str]]:
    """Return which file names each row."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for text in ids_of(ast.parse(path.read_text(encoding="utf-8"))):
            for row in named_in(text):
                found.setdefault(row, []).append(path.relative_to(TESTS).as_posix())
    return found


# Rows whose test was named for what it holds, before the table was.
HELD = {
    "T22": "test_middleware.py::test_t57_an_unknown_scope_is_refused",
    "T68": "gateway/test_client.py::test_a_reply_of_one_gibibyte_passes_in_little_memory",
    "T107": "edge/test_guard.py::test_one_request_is_judged_by_one_bundle",
    "T110": "bundle/test_store.py::test_age_counts_from_the_last_look_that_confirmed",
    "T112": "telemetry/test_log_line.py::test_a_hostile_text_stays_inside_its_field",
    "T114": "telemetry/test_metrics.py::test_a_million_strangers_make_no_series",
    "T115": "gateway/test_admin.py::test_one_scrape_is_rendered_at_a_time",
}

# Rows that do not concern the code as it is, and why.
NOT_OURS = {
    "T21": "an address is an int on one line; nothing of ours has a hash of its own",
}


def exists(test: str) -> bool:
    """Tell whether `file::test` is there, the file below tests/."""
    file, _, name = test.partition("::")
    path = TESTS / file
    return path.is_file() and name in set(ids_of(ast.parse(path.read_text(encoding="utf-8"))))


def test_every_row_is_named_by_a_test_or_said_not_to_concern_us() -> None:
    known = {*named(), *HELD, *NOT_OURS}
    assert [row for row in ROWS if row not in known] == []


def test_what_is_named_are_rows() -> None:
    assert {*named(), *HELD, *NOT_OURS} <= {*ROWS, *AMENDMENTS}


def test_tests_that_hold_a_row_under_another_name_exist() -> None:
    assert [test for test in HELD.values() if not exists(test)] == []


def test_an_exception_is_not_forgotten() -> None:
    """A row that got a test of its own needs no excuse any more."""
    assert set(NOT_OURS) & set(named()) == set()


def test_names_and_ids_are_read() -> None:
    assert list(named_in("test_t46_t50_t70_what_only_a_proxy_may_say")) == ["T46", "T50", "T70"]
    assert list(named_in("T13 long, T100 the catalog")) == ["T13", "T100"]
    assert list(named_in("TC3 and UTF8 and T2024")) == []

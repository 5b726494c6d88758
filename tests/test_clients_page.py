"""CLIENTS.md says of every client what was recorded of it, and names only rules that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.captures.read import answers, captures

PAGE = Path(__file__).resolve().parents[1] / "camguard" / "request" / "CLIENTS.md"
TEXT = PAGE.read_text(encoding="utf-8")
ANSWERS = {client.replace(" SDK", "").rpartition(" ")[0]: each for client, each in answers().items()}
# The first request of these scenes is answered well; the second one is the one that is counted.
SECOND = "reused connection"


def table(title: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table of a section, with its heading row."""
    section = TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    assert rows[0][0] == heading
    return [row for row in rows if not set(row[0]) <= {"-"}]


REFUSALS = table("How a refusal is taken", "Client")[1:]
RECORDED = [row for row in REFUSALS if row[0] in ANSWERS]


@pytest.mark.parametrize(("status", "column"), [("200", 2), ("403", 3)])
@pytest.mark.parametrize("row", RECORDED, ids=lambda row: f"{row[0]} {row[1]}")
def test_a_refusal_is_taken_as_recorded(row: list[str], status: str, column: int) -> None:
    answer = ANSWERS[row[0]][f"refusal {status}, {row[1]}"]
    [outcome] = answer["outcome"]
    cell = row[column]
    assert answer["requests"] == 1
    assert ("nothing raised" in cell) is outcome["ok"]
    if outcome["ok"]:
        return
    raised = re.findall(r"`(\w*(?:Exception|Error))`", cell.partition(":")[0])
    assert raised == re.findall(r"(\w+)(?= > |$)", outcome["exception"])
    whole = outcome.get("code") == "AuthFailure.UnauthorizedOperation" and bool(outcome["request_id"])
    assert whole is bool(re.search(r"code, message, request id|the same", cell))
    if not whole:
        code = outcome.get("code")
        assert f"`{code}`" in cell if code else "no code" in cell
        assert not outcome.get("request_id")


def test_every_way_that_was_recorded_has_a_row() -> None:
    ways = {
        (client, name.partition(", ")[2])
        for client, each in ANSWERS.items()
        for name in each
        if re.fullmatch(r"refusal (200|403), \w+", name)
    }
    assert ways == {(row[0], row[1]) for row in RECORDED}
    assert {row[0] for row in REFUSALS} - set(ANSWERS) == {"Python", "tccli", "Node"}


TYPES = ("refusal 200 charset", "refusal 200 text", "refusal 200 no type", "refusal 200 close")


@pytest.mark.parametrize("client", ANSWERS)
def test_another_type_is_taken_alike_by_all_that_were_recorded(client: str) -> None:
    recorded = ANSWERS[client]
    for way in {row[1] for row in RECORDED if row[0] == client}:
        for name in TYPES:
            assert recorded[f"{name}, {way}"] == recorded[f"refusal 200, {way}"], (name, way)


SENT = table("When a request is sent again", "The server's answer")


def sent(client: str, answer: str) -> int | None:
    """Return how many requests arrived for the call that met this answer, None where it was not tried."""
    found: dict[str, Any] | None = ANSWERS[client].get(answer)
    if found is None:
        return None
    before = int(answer.endswith(SECOND))
    repeats = found["same_bytes"][before:]
    assert all(repeats), "a repeat with other bytes"
    return int(found["requests"]) - before


@pytest.mark.parametrize("row", SENT[1:], ids=lambda row: row[0])
def test_as_many_requests_arrive_as_were_counted(row: list[str]) -> None:
    counted = {client: sent(client, row[0]) for client in SENT[0][1:]}
    shown = {
        client: None if cell == "-" else int(cell) for client, cell in zip(SENT[0][1:], row[1:], strict=True)
    }
    assert counted == shown


def test_the_columns_are_all_the_clients() -> None:
    assert set(SENT[0][1:]) == set(ANSWERS)
    assert len({row[0] for row in SENT[1:]}) == 13


def test_versions_are_those_of_the_captures() -> None:
    section = TEXT.partition("## How")[0]
    versions = {re.search(r"[\d.]{5,}", each.client)[0] for each in captures()}  # type: ignore[index]  # each has one
    assert [version for version in versions if version not in section] == []

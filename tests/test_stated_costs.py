"""The README's section about costs has the figures of benchmarks/RESULTS.md, the missed goals included."""

from __future__ import annotations

import re

import pytest

from tests.readme import README, TEXT

COSTS = TEXT[TEXT.index("\n## What it costs\n") : TEXT.index("\n## What is not there\n")]
RESULTS = (README.parent / "benchmarks/RESULTS.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def result(section: str, label: str, column: int = 0) -> float:
    """Return a number of RESULTS.md. label: how the row begins; column: behind the label, from 0."""
    start = RESULTS.index(f"\n## {section}\n")
    end = RESULTS.find("\n## ", start + 1)
    rows = re.findall(rf"^{re.escape(label)}  +(.*)$", RESULTS[start:end], re.MULTILINE)
    assert rows, (section, label)
    return float(NUMBER.findall(rows[0])[column].replace(",", ""))


def goals() -> list[tuple[str, str, float, str, float]]:
    """Return every goal of RESULTS.md: section, label, figure, `<=` or `>=`, goal."""
    found, section = [], ""
    for line in RESULTS.splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif ratio := re.fullmatch(r"(\S.*?)  +([\d,.]+)  +([<>]=) ([\d,.]+)", line):
            figure, goal = (float(each.replace(",", "")) for each in (ratio[2], ratio[4]))
            found.append((section, ratio[1], figure, ratio[3], goal))
    return found


def missed() -> list[tuple[str, str]]:
    return [
        (section, label)
        for section, label, figure, sign, goal in goals()
        if (figure > goal if sign == "<=" else figure < goal)
    ]


LOOP = "hand-rolled, integers"
IN_PROCESS = "overhead in process, {} / camguard"
Cell = tuple[str, str, int]  # section, label and column of a result


def middleware(*labels: str, column: int = 0) -> list[Cell]:
    return [("middleware", label, column) for label in labels]


def peer(name: str) -> list[Cell]:
    return [("peers", name, 0), ("peers", f"{name} / camguard", 0)]


# How a row of the README begins, and the results that its cells have, in their order.
ROWS: list[tuple[str, list[Cell]]] = [
    ("| camguard |", [("peers", "camguard", 0)]),
    ("| a hand-written loop", peer(LOOP)),
    *((f"| {name}", peer(name)) for name in ("CEL", "cedarpy", "casbin", "regorus")),
    ("| time that the middleware adds", middleware("bare") + middleware("camguard", "cedarpy", column=1)),
    ("| the same for cedarpy", middleware(*map(IN_PROCESS.format, ("cedarpy", "casbin", "CEL")))),
    ("| a refusal, divided", middleware("refusal / unguarded request, in process")),
    ("| request rate under uvicorn", middleware("rate, camguard / bare")),
    ("| the same with a TC3", middleware("rate, camguard TC3 1 KB / bare")),
    (
        "| CPU time that the middleware",
        middleware("bare", column=3)
        + middleware("CPU µs added, camguard", "CPU µs added, camguard TC3 1 KB"),
    ),
    (
        "| CPU time of a relayed call",
        [("relay", "gateway, header identity", 1), ("relay", "CPU, gateway / nginx", 0)],
    ),
    ("| the same, divided by that of the first gateway", [("relay", "CPU, gateway / base", 0)]),
]


def rounds(text: str, value: float) -> bool:
    """Return whether a number is a rounding of a value: to its last digit that is not a zero at its end."""
    digits = text.partition(".")[2]
    unit = 10.0 ** -len(digits) if digits else 10.0 ** (len(text) - len(text.rstrip("0")))
    return abs(float(text) - value) <= unit / 2 * 1.001


@pytest.mark.parametrize(("row", "results"), ROWS, ids=[row.strip("| ") for row, _ in ROWS])
def test_a_row_has_the_figures_of_the_benchmarks(row: str, results: list[Cell]) -> None:
    (line,) = (line for line in COSTS.splitlines() if line.startswith(row))
    stated = NUMBER.findall(re.sub(r"TC3|1 KB|two", "", line))
    values = [result(*each) for each in results]
    assert all(rounds(text, value) for text, value in zip(stated, values, strict=False)), (stated, values)
    assert len(stated) >= len(values)


def test_every_missed_goal_is_said_to_be_missed() -> None:
    there = {each for row, results in ROWS for each in results if "missed" in _line(row)}
    assert [each for each in missed() if each not in {(section, label) for section, label, *_ in there}] == []


def test_the_sentence_about_the_goals_that_are_met_is_true() -> None:
    assert {section for section, _ in missed()} <= {"middleware", "relay"}
    of_both = [each[:2] for each in goals() if each[0] in {"middleware", "relay"}]
    met = [each for each in of_both if each not in missed()]
    assert "meets one of the nine goals" in COSTS
    assert (len(met), len(of_both)) == (1, 9)


def _line(row: str) -> str:
    return next(line for line in COSTS.splitlines() if line.startswith(row))

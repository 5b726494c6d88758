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


REQUESTS = ("middleware", "instructions", "relay", "authorizer", "workers")
LOOP = "hand-rolled, integers"
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
    ("| a refusal, divided", middleware("refusal / unguarded request, in process")),
    ("| the same, CPU time on the wire", middleware("refusal / unguarded request, CPU")),
    ("| the same, instructions", [("instructions", "refusal / alone, camguard", 0)]),
    (
        "| the same, CPU time of the gateway's refusal",
        [("relay", "CPU, refusal of the gateway / bare application", 0)],
    ),
    (
        "| thousands of instructions",
        [
            ("instructions", "thousand instructions added, header identity", 0),
            ("instructions", "thousand instructions added, header identity, IPv6 client", 0),
        ],
    ),
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
    (
        "| CPU time of an authorizer's answer",
        [("authorizer", "CPU, authorizer, header identity, no body / ready answer", 0)],
    ),
    (
        "| rate of two workers",
        [("workers", f"{what}, two workers / one", 0) for what in ("rate", "CPU per request")],
    ),
    (
        "| longest stall in ms",
        [
            ("reload", f"longest stall, ms: {where} edited", 0)
            for where in (
                "middleware, a policy",
                "camguard serve, a policy",
                "camguard serve, principals.json",
            )
        ],
    ),
]


def rounds(text: str, value: float) -> bool:
    """Return whether a number is a rounding of a value: to its last digit that is not a zero at its end."""
    digits = text.partition(".")[2]
    unit = 10.0 ** -len(digits) if digits else 10.0 ** (len(text) - len(text.rstrip("0")))
    return abs(float(text) - value) <= unit / 2 * 1.001


@pytest.mark.parametrize(("row", "results"), ROWS, ids=[row.strip("| ") for row, _ in ROWS])
def test_a_row_has_the_figures_of_the_benchmarks(row: str, results: list[Cell]) -> None:
    (line,) = (line for line in COSTS.splitlines() if line.startswith(row))
    stated = NUMBER.findall(re.sub(r"TC3|1 KB|IPv6|100,000", "", line))
    values = [result(*each) for each in results]
    assert all(rounds(text, value) for text, value in zip(stated, values, strict=False)), (stated, values)
    assert len(stated) >= len(values)


def test_every_missed_goal_is_said_to_be_missed() -> None:
    there = {each for row, results in ROWS for each in results if "missed" in _line(row)}
    assert [each for each in missed() if each not in {(section, label) for section, label, *_ in there}] == []


def test_the_sentence_about_the_goals_that_are_met_is_true() -> None:
    of_requests = [each[:2] for each in goals() if each[0] in REQUESTS]
    met = [each for each in of_requests if each not in missed()]
    assert {section for section, _ in missed()} <= {*REQUESTS, "reload"}
    assert f"meets {len(met)} of the {len(of_requests)} goals that RESULTS.md sets for requests" in COSTS


def _line(row: str) -> str:
    return next(line for line in COSTS.splitlines() if line.startswith(row))

"""The workload that every benchmark of decisions shares: believable policies and calls, drawn from a seed.

A principal has `statements` statements in a fixed rotation of 20 shapes: whole services, verbs, words in the
middle of a name, lists of 1 to 8 exact actions; a fifth denies; a third limits the source address by one or
both of two lists of `ranges` CIDR ranges (one in five IPv6); a tenth has a time window; a twentieth names a
resource that never applies. Calls: zipf 1.1 over principals (1 % strangers), zipf 0.8 over actions, 8 %
actions that the catalog does not know, 60 % of the addresses inside the principal's lists, 27 % IPv6.
"""

from __future__ import annotations

import bisect
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camguard.bundle import Bundle, make_bundle
from camguard.catalog import load_catalog
from camguard.catalog.model import Access, Action, Catalog, Granularity, IpRestriction, Service
from camguard.engine.call import Call
from camguard.ipset import V4_END, format_address, parse_range
from camguard.policy import document

NOW = 1_773_144_000.0
CATALOG = Path(__file__).resolve().parent.parent / "config/catalog"
_VERBS = ("Describe", "Query", "Create", "Delete", "Submit", "Modify", "Get", "Set")
_WORDS = ("Client", "Voucher", "Order", "Job", "Image", "Bill", "Contract")


@dataclass(frozen=True, slots=True)
class Size:
    """How large a workload is. sets: distinct sets of policies, shared by the principals; 0: all differ."""

    principals: int = 1000
    statements: int = 20
    ranges: int = 10
    actions: int = 281
    sets: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """Documents by policy id, principals.json, the catalog, and the ranges of each set's two lists."""

    size: Size
    documents: dict[str, dict[str, Any]]
    principals: dict[str, Any]
    catalog: Catalog
    lists: list[tuple[list[str], list[str]]]

    def bundle(self, **settings: Any) -> Bundle:
        """Return the workload as camguard loads it."""
        document.MAX_CHARACTERS = 1 << 30  # lists of a thousand ranges are larger than the cloud would take
        parse = document.parse_policy
        policies = {name: parse(json.dumps(doc), source=name) for name, doc in self.documents.items()}
        return make_bundle(policies, self.principals, self.catalog, **settings)


def catalog_of(actions: int) -> Catalog:
    """Return the two shipped services, filled up with made-up actions of a third."""
    shipped = load_catalog(CATALOG)
    services = dict(shipped.services)
    more = actions - len(shipped.actions)
    if more > 0:
        names = (f"{_VERBS[i % 8]}{_WORDS[i % 7]}Item{i}" for i in range(more))
        rows = {
            name: Action("bulk", name, Access.READ, Granularity.OPERATION, ("*",), ip_restriction=True)
            for name in names
        }
        services["bulk"] = Service(
            "bulk", "Bulk", console=True, tag_authorization=False, granularity=Granularity.OPERATION,
            ip_restriction=IpRestriction.SUPPORTED, actions=rows,
        )  # fmt: skip
    return Catalog(services)


def _shipped(catalog: Catalog) -> list[str]:
    """Return the actions of the shipped services: what is called and named stays as the catalog grows."""
    return sorted(name for name in catalog.actions if not name.startswith("bulk:"))


def make_workload(size: Size, seed: int = 1) -> Workload:
    """Return a workload of a size; the same one for the same seed."""
    rng = random.Random(seed)  # noqa: S311 - a workload, no secret
    catalog = catalog_of(size.actions)
    names = _shipped(catalog)
    documents, lists, users = {}, [], {}
    for i in range(size.sets or size.principals):
        pair = (_ranges(rng, size.ranges), _ranges(rng, size.ranges))
        statements = [_statement(rng, n, names, pair) for n in range(size.statements)]
        documents[f"set-{i}"] = {"version": "2.0", "statement": statements}
        lists.append(pair)
    for i in range(size.principals):
        users[str(10_000_000 + i)] = {"policies": [f"set-{i % len(lists)}"]}
    principals = {"owner": {"uin": "100000", "app_id": "2"}, "users": users}
    return Workload(size, documents, principals, catalog, lists)


def _ranges(rng: random.Random, count: int) -> list[str]:
    texts = []
    for _ in range(count):
        if rng.random() < 0.2:
            texts.append(f"2001:db8:{rng.getrandbits(16):x}:{rng.getrandbits(16):x}::/64")
        else:
            texts.append(f"{format_address(rng.getrandbits(32))}/{rng.randint(16, 28)}")
    return texts


def _actions(rng: random.Random, n: int, names: Sequence[str]) -> list[str]:
    service = names[rng.randrange(len(names))].partition(":")[0]
    match n % 5:
        case 0:
            return [f"{service}:*"]
        case 1:
            return [f"{service}:{_VERBS[rng.randrange(8)]}*"]
        case 2:
            return [f"{service}:*{_WORDS[rng.randrange(7)]}*"]
        case _:
            return [names[rng.randrange(len(names))] for _ in range(rng.randint(1, 8))]


def _statement(rng: random.Random, n: int, names: Sequence[str], lists: tuple[list[str], list[str]]) -> Any:
    shape = n % 20
    statement: dict[str, Any] = {
        "effect": "deny" if shape % 5 == 4 else "allow",
        "action": _actions(rng, n, names),
        "resource": "*",
    }
    condition: dict[str, Any] = {}
    if shape in (1, 3, 6, 9, 12, 14, 17):
        operator = "ip_not_equal" if shape in (9, 14) else "ip_equal"
        condition[operator] = {"qcs:ip": lists[0] + lists[1] if shape in (6, 14) else lists[shape % 2]}
    if shape in (5, 9):
        condition["date_greater_than"] = {"qcs:current_time": "2026-01-01T00:00:00Z"}
        condition["date_less_than"] = {"qcs:current_time": f"2026-{rng.randint(2, 9):02}-01T00:00:00Z"}
    if shape == 18:
        statement["resource"] = "qcs::cvm:ap-guangzhou::instance/ins-1"
    return statement | ({"condition": condition} if condition else {})


def _zipf(rng: random.Random, count: int, skew: float) -> Iterator[int]:
    weights = list(itertools.accumulate((i + 1) ** -skew for i in range(count)))
    order = list(range(count))
    rng.shuffle(order)
    while True:
        yield order[min(bisect.bisect_left(weights, rng.random() * weights[-1]), count - 1)]


def make_calls(workload: Workload, count: int, seed: int = 2) -> list[Call]:
    """Return `count` calls, the same for the same seed; no two share their texts' objects."""
    rng = random.Random(seed)  # noqa: S311 - a workload, no secret
    names = _shipped(workload.catalog)
    people = _zipf(rng, workload.size.principals, 1.1)
    actions = _zipf(rng, len(names), 0.8)
    calls = []
    for _ in range(count):
        who = next(people)
        stranger = rng.random() < 0.01
        action = names[next(actions)]
        if rng.random() < 0.08:
            action = f"{action}Next{rng.randint(1, 50)}"
        texts = rng.choice(workload.lists[who % len(workload.lists)])
        if texts and rng.random() < 0.6:
            first, last = parse_range(rng.choice(texts))
            place = rng.randint(first, last)
        else:
            place = rng.getrandbits(128) + V4_END if rng.random() < 0.27 else rng.getrandbits(32)
        principal = f"uin/{9 if stranger else 10_000_000 + who}"
        calls.append(Call(principal, action, place, NOW))
    return calls

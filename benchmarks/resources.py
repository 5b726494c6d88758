"""Decisions that wait for the call: on resources, on tags, and on further keys, beside cedarpy and a loop.

One principal has 20 or 200 statements over ten actions that are authorized at resource level; every action
has two fifths of them. Resources: whole ids, `ins-ab*` and `ins-*c` in turn. Tags: one tag of the resource,
or any of its tags. Context: the second factor, or a key of a service. A fifth denies, and a third limits the
source address to ten ranges. Half of the resources are named by a policy, the others occur once. Every
engine answers the same calls in a process of its own; its answers are first compared with those of camguard.
"rule by rule" is camguard's own evaluation without an index, which explanations use.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

from _measure import Facts, Subject, apart, median, ratio
from _report import Report, options, show
from _workload import NOW
from peers import asked, work_of

from camguard.bundle import Bundle, make_bundle
from camguard.catalog.model import Access, Action, Catalog, Granularity, IpRestriction, Service
from camguard.engine.call import Call
from camguard.engine.row import ActionRules
from camguard.ipset import format_address, parse_range
from camguard.policy import document

KINDS = ("resources", "tags", "context")
STATEMENTS = (20, 200)
GOALS = {("resources", 20): 3, ("context", 20): 3, ("tags", 20): 6}  # µs; 12 at 200
OPERATIONS = tuple(
    f"{verb}{noun}"
    for verb in ("Start", "Stop", "Describe", "Modify", "Delete")
    for noun in ("Instances", "Disks")
)
WHERE = "qcs::cvm:ap-guangzhou:uin/100000:instance/"
KEYS = ("env", "team", "tier", "cost")
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
Answer = Callable[[Call], object]


class Statement(NamedTuple):
    """A statement of one of the three kinds, with the parts that other kinds have left empty."""

    deny: bool
    actions: tuple[str, ...]  # names; empty for all
    ranges: tuple[str, ...]
    ids: tuple[str, ...] = ()
    tag: tuple[str, tuple[str, ...]] | None = None
    any_tag: tuple[str, ...] = ()  # `key&value`
    mfa: str = ""
    zones: tuple[str, ...] = ()

    def written(self) -> dict[str, Any]:
        """Return the statement as a policy has it."""
        condition: dict[str, dict[str, Any]] = {}
        if self.ranges:
            condition["ip_equal"] = {"qcs:ip": list(self.ranges)}
        if self.tag:
            condition["string_equal"] = {f"qcs:resource_tag/{self.tag[0]}": list(self.tag[1])}
        if self.any_tag:
            condition["for_any_value:string_equal"] = {"qcs:resource_tag": list(self.any_tag)}
        if self.mfa:
            condition["bool_equal"] = {"qcs:mfa": self.mfa}
        if self.zones:
            condition["string_equal"] = {"cvm:zone": list(self.zones)}
        return {
            "effect": "deny" if self.deny else "allow",
            "action": [f"cvm:{name}" for name in self.actions] or "cvm:*",
            "resource": [f"{WHERE}{each}" for each in self.ids] or "*",
            "condition": condition,
        }


class Workload(NamedTuple):
    """The statements of the principal, and the calls."""

    statements: list[Statement]
    calls: list[Call]

    def bundle(self) -> Bundle:
        """Return the statements as camguard loads them."""
        document.MAX_CHARACTERS = 1 << 30
        written = {"version": "2.0", "statement": [each.written() for each in self.statements]}
        policy = document.parse_policy(json.dumps(written), source="one")
        rows = {
            name: Action(
                "cvm", name, Access.WRITE, Granularity.RESOURCE, (f"{WHERE}${{id}}",), ip_restriction=True
            )
            for name in OPERATIONS
        }
        service = Service(
            "cvm", "CVM", console=True, tag_authorization=True, granularity=Granularity.RESOURCE,
            ip_restriction=IpRestriction.SUPPORTED, actions=rows,
        )  # fmt: skip
        people = {"owner": {"uin": "100000", "app_id": "2"}, "users": {"200000": {"policies": ["one"]}}}
        return make_bundle({"one": policy}, people, Catalog({"cvm": service}))


def _word(dice: random.Random, length: int) -> str:
    return "".join(dice.choices(LETTERS, k=length))


def _statement(dice: random.Random, kind: str, at: int, ids: list[str]) -> Statement:
    actions = () if at % 5 == 0 else tuple(dice.sample(OPERATIONS, 3))
    ranges = tuple(f"{format_address(dice.getrandbits(32))}/{dice.randint(4, 12)}" for _ in range(10))
    parts: dict[str, Any] = {}
    if kind == "resources":
        few = [f"ins-{_word(dice, 8)}" for _ in range(dice.randint(1, 3))]
        ids += few
        shapes = (few, [f"ins-{_word(dice, 2)}*"], [f"ins-*{_word(dice, 1)}"])
        parts["ids"] = tuple(shapes[at % 3])
    elif kind == "tags" and at % 2:
        parts["tag"] = dice.choice(KEYS), tuple({f"v{dice.randrange(20)}" for _ in range(3)})
    elif kind == "tags":
        parts["any_tag"] = tuple({f"{dice.choice(KEYS)}&v{dice.randrange(20)}" for _ in range(3)})
    elif at % 2:
        parts["zones"] = tuple({f"ap-guangzhou-{dice.randrange(40)}" for _ in range(3)})
    else:
        parts["mfa"] = "false" if at % 5 == 4 else "true"
    return Statement(at % 5 == 4, actions, ranges if at % 3 == 1 else (), **parts)


def make_workload(kind: str, statements: int, calls: int, seed: int = 1) -> Workload:
    """Return a workload of a kind; the same one for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - a workload, no secret
    ids: list[str] = []
    made = [_statement(dice, kind, at, ids) for at in range(statements)]
    ranges = [each for statement in made for each in statement.ranges]
    asked_for = [_call(dice, kind, ids, ranges) for _ in range(calls)]
    return Workload(made, asked_for)


def _call(dice: random.Random, kind: str, ids: list[str], ranges: list[str]) -> Call:
    place = dice.randint(*parse_range(dice.choice(ranges))) if dice.random() < 0.5 else dice.getrandbits(32)
    one = dice.choice(ids) if ids and dice.random() < 0.5 else f"ins-{_word(dice, 8)}"
    facts: dict[str, Any] = {}
    if kind == "tags":
        facts["resource_tags"] = {key: f"v{dice.randrange(20)}" for key in KEYS}
    elif kind == "context":
        zone = f"ap-guangzhou-{dice.randrange(40)}"
        facts["context"] = {"qcs:mfa": (dice.choice(("true", "false")),), "cvm:zone": (zone,)}
    return Call("uin/200000", f"cvm:{dice.choice(OPERATIONS)}", place, NOW, (f"{WHERE}{one}",), **facts)


# --- the engines -----------------------------------------------------------------------------------------


def ours(workload: Workload) -> Answer:
    """What a gateway calls."""
    return workload.bundle().decide


def rule_by_rule(workload: Workload) -> Answer:
    """Evaluate every rule of a row that is compiled, as explanations do."""
    evaluator = workload.bundle().evaluator
    table = evaluator.table("uin/200000")

    def ask(call: Call) -> object:
        row, traits = table and table.row(call.action), evaluator.traits(call.action)
        if not isinstance(row, ActionRules) or traits is None:
            return row
        return row.judge(call, traits, evaluator.owner)

    return ask


def _facts(call: Call) -> tuple[str, str, dict[str, str], bool, str]:
    context = call.context or {}
    resource = call.resources[0] or ""
    return (
        call.action.partition(":")[2],
        resource.rpartition("/")[2],
        dict(call.resource_tags or {}),
        context.get("qcs:mfa", ("false",))[0] == "true",
        context.get("cvm:zone", ("",))[0],
    )


def loop(workload: Workload) -> Answer:  # noqa: C901 - one question after the other
    """A loop over parsed statements, addresses as integers: a careful engineer's afternoon."""

    def cut(pattern: str) -> tuple[str, str | None]:
        begin, star, end = pattern.partition("*")
        return begin, end if star else None

    rows = [
        (
            each.deny, frozenset(each.actions), tuple(map(parse_range, each.ranges)),
            tuple(map(cut, each.ids)), each.tag and (each.tag[0], frozenset(each.tag[1])),
            frozenset(each.any_tag), each.mfa, frozenset(each.zones),
        )
        for each in workload.statements
    ]  # fmt: skip

    def ask(call: Call) -> bool:
        allowed = False
        action, one, tags, mfa, zone = _facts(call)
        place = call.source_ip or 0
        pairs = {f"{key}&{value}" for key, value in tags.items()}
        for deny, actions, ranges, ids, tag, any_tag, second, zones in rows:
            if actions and action not in actions:
                continue
            if ranges and not any(first <= place <= last for first, last in ranges):
                continue
            if ids and not any(
                one == begin if end is None else one.startswith(begin) and one.endswith(end)
                for begin, end in ids
            ):
                continue
            if tag and tags.get(tag[0]) not in tag[1]:
                continue
            if any_tag and pairs.isdisjoint(any_tag):
                continue
            if second and (second == "true") is not mfa:
                continue
            if zones and zone not in zones:
                continue
            if deny:
                return False
            allowed = True
        return allowed

    return ask


def cedar(workload: Workload) -> Answer:  # noqa: C901 - one question after the other
    """Cedar through cedarpy: policies parsed once, one resource type, all facts in the context."""
    import cedarpy  # noqa: PLC0415 - optional

    def texts(values: tuple[str, ...]) -> str:
        return f"[{', '.join(json.dumps(each) for each in values)}]"

    def terms(each: Statement) -> Iterator[str]:
        if each.ranges:
            yield f"({' || '.join(f'context.source.isInRange(ip({json.dumps(r)}))' for r in each.ranges)})"
        if each.ids:
            yield f"({' || '.join(f'context.resource like {json.dumps(one)}' for one in each.ids)})"
        if each.tag:
            yield f"{texts(each.tag[1])}.contains(context.tags.{each.tag[0]})"
        if each.any_tag:
            yield f"context.pairs.containsAny({texts(each.any_tag)})"
        if each.mfa:
            yield f"context.mfa == {each.mfa}"
        if each.zones:
            yield f"{texts(each.zones)}.contains(context.zone)"

    def policy(each: Statement) -> str:
        names = ", ".join(f'Action::"{name}"' for name in each.actions)
        action = f"action in [{names}]" if names else "action"
        when = " && ".join(terms(each))
        return f"{'forbid' if each.deny else 'permit'}(principal, {action}, resource) when {{ {when} }};"

    policies = cedarpy.PolicySet.from_str("\n".join(map(policy, workload.statements)))
    entities = cedarpy.Entities.from_json_str("[]")
    kind = "tags" if any(each.tag for each in workload.statements) else ""

    def ask(call: Call) -> bool:
        action, one, tags, mfa, zone = _facts(call)
        context: dict[str, Any] = {
            "source": {"__extn": {"fn": "ip", "arg": format_address(call.source_ip or 0)}},
            "resource": one, "mfa": mfa, "zone": zone,
        }  # fmt: skip
        if kind:
            context |= {"tags": tags, "pairs": [f"{key}&{value}" for key, value in tags.items()]}
        request = {
            "principal": {"type": "User", "id": "200000"},
            "action": {"type": "Action", "id": action},
            "resource": {"type": "Instance", "id": one},
            "context": context,
        }
        return bool(cedarpy.is_authorized(request, policies, entities).allowed)

    return ask


ENGINES = {"camguard": ours, "rule by rule": rule_by_rule, "hand-rolled, integers": loop, "cedarpy": cedar}


def measure(report: Report, kind: str, statements: int, count: int, rounds: int) -> None:
    """Add the rows and ratios of one kind of statements."""
    workload = make_workload(kind, statements, count)
    allowed = [bool(answer) for answer in map(ours(workload), workload.calls)]

    def maker(build: Callable[[Workload], Answer]) -> Callable[[], tuple[Subject | None, Facts]]:
        def make() -> tuple[Subject | None, Facts]:
            answer = build(workload)
            few = asked(answer, workload.calls, count)
            wrong = sum(bool(answer(call)) is not right for call, right in zip(few, allowed, strict=False))
            return None if wrong else work_of(answer, few), (f"{wrong}/{len(few)}",)

        return make

    engines = (
        ENGINES if find_spec("cedarpy") else {name: ENGINES[name] for name in ENGINES if name != "cedarpy"}
    )
    taken, facts = apart({name: maker(build) for name, build in engines.items()}, rounds)
    here = f"{kind}, {statements}"
    for name, told in facts.items():
        report.rows.append((f"{here}: {name}", median(taken[name]) if name in taken else "", *told))
        if name in taken and name != "camguard":
            goal = ">= 20" if name == "cedarpy" else ""
            report.ratios.append((f"{here}: {name} / camguard", ratio(taken, name, "camguard"), goal))
    bound = GOALS[kind, 20] if statements == 20 else 12
    report.ratios.append((f"{here}: µs", median(taken["camguard"]), f"<= {bound}"))
    report.notes.append(f"{here}: {sum(allowed)} of {count} calls are allowed")


def main() -> None:
    """Print microseconds per decision of everyone, and how many times faster camguard is."""
    given = options(__doc__)
    count, rounds = (4_000, 7) if given.quick else (4_000, 25)
    report = Report("resources: decisions that wait for the call", ("", "µs", "differs"))
    for kind in KINDS:
        for statements in STATEMENTS:
            measure(report, kind, statements, count, rounds)
    show(report, as_json=given.json)


if __name__ == "__main__":
    main()

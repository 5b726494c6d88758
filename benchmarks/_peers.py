"""The alternatives to camguard, each asked the same calls in its own words.

Every peer is given what it is best at: policies parsed once, one set per principal, addresses in the form it
compares fastest. A call is answered by `bool`. An action that the catalog lacks is refused before the peer is
asked. What a peer cannot say is left out where it never decides (a resource that never applies) and named in
`gap`. Answers are checked before anything is timed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from _workload import Workload

from camguard.engine.call import Call
from camguard.ipset import format_address, parse_range

Answer = Callable[[Call], object]  # true where the call is allowed
_EPOCHS = {f"2026-{m:02}-01T00:00:00Z": t for m, t in zip(
    range(1, 10),
    (1767225600, 1769904000, 1772323200, 1775001600, 1777593600, 1780272000, 1782864000, 1785542400,
     1788220800),
    strict=True,
)}  # fmt: skip


class Rule(NamedTuple):
    """A statement with nothing of JSON left. window: seconds, later than the first and before the second."""

    deny: bool
    actions: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...] | None
    texts: tuple[str, ...]
    outside: bool
    window: tuple[int, int] | None


def rules_of(document: Mapping[str, Any]) -> Iterator[Rule]:
    """Yield the statements of a document that can apply at all."""
    for statement in document["statement"]:
        if statement["resource"] != "*":
            continue
        condition = statement.get("condition", {})
        keys = condition.get("ip_equal") or condition.get("ip_not_equal")
        texts = tuple(keys["qcs:ip"]) if keys else ()
        window = None
        if "date_less_than" in condition:
            window = (
                _EPOCHS[condition["date_greater_than"]["qcs:current_time"]],
                _EPOCHS[condition["date_less_than"]["qcs:current_time"]],
            )
        yield Rule(
            statement["effect"] == "deny",
            tuple(statement["action"]),
            tuple(map(parse_range, texts)) if keys else None,
            texts,
            "ip_not_equal" in condition,
            window,
        )


def of_principals(workload: Workload) -> dict[str, list[Rule]]:
    """Return the rules of every principal; principals who share a set share the list."""
    sets = {name: list(rules_of(document)) for name, document in workload.documents.items()}
    users = workload.principals["users"]
    return {f"uin/{uin}": sets[user["policies"][0]] for uin, user in users.items()}


def _per_principal(workload: Workload, build: Callable[[list[Rule]], Answer]) -> Answer:
    """Return the answer of whatever was built for the caller's set."""
    built: dict[int, Answer] = {}
    people = of_principals(workload)
    for rules in people.values():
        if id(rules) not in built:
            built[id(rules)] = build(rules)
    ready = {name: built[id(rules)] for name, rules in people.items()}
    known = workload.catalog.actions

    def answer(call: Call) -> bool:
        ask = ready.get(call.principal)
        return ask is not None and call.action in known and ask(call)

    return answer


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], object]:
    if not any("*" in pattern for pattern in patterns):
        return frozenset(patterns).__contains__
    return re.compile("|".join(re.escape(p).replace(r"\*", ".*") for p in patterns)).fullmatch


def handrolled_int(workload: Workload) -> Answer:
    """A loop over parsed statements, addresses as integers: a careful engineer's afternoon."""

    def build(rules: list[Rule]) -> Answer:
        rows = [(r.deny, _matcher(r.actions), r.ranges, r.outside, r.window) for r in rules]

        def ask(call: Call) -> bool:
            allowed = False
            action, place, moment = call.action, call.source_ip, call.time
            for deny, names, ranges, outside, window in rows:
                if not names(action):
                    continue
                if ranges is not None and any(a <= place <= b for a, b in ranges) is outside:
                    continue
                if window is not None and not window[0] < moment < window[1]:
                    continue
                if deny:
                    return False
                allowed = True
            return allowed

        return ask

    return _per_principal(workload, build)


def handrolled(workload: Workload) -> Answer:
    """The same loop with the standard library's address objects: what most people write."""

    def build(rules: list[Rule]) -> Answer:
        rows = [
            (
                r.deny, _matcher(r.actions),
                None if r.ranges is None else [ipaddress.ip_network(t, strict=False) for t in r.texts],
                r.outside, r.window,
            )
            for r in rules
        ]  # fmt: skip

        def ask(call: Call) -> bool:
            allowed = False
            address = ipaddress.ip_address(format_address(call.source_ip or 0))
            for deny, names, networks, outside, window in rows:
                if not names(call.action):
                    continue
                if networks is not None and any(address in network for network in networks) is outside:
                    continue
                if window is not None and not window[0] < call.time < window[1]:
                    continue
                if deny:
                    return False
                allowed = True
            return allowed

        return ask

    return _per_principal(workload, build)


def _tree(terms: list[str]) -> str:
    """Join with `||` as a balanced tree.

    A flat chain of thousands passes an engine's recursion limit, and an erring deny is then passed over.
    """
    if len(terms) <= 1:
        return terms[0] if terms else "false"
    half = len(terms) // 2
    return f"({_tree(terms[:half])} || {_tree(terms[half:])})"


def cedar(workload: Workload) -> Answer:
    """cedarpy, a parsed `PolicySet` per principal."""
    import cedarpy  # noqa: PLC0415 - optional

    def policy(rule: Rule) -> str:
        terms = [_tree([f'context.action like "{name}"' for name in rule.actions])]
        if rule.ranges is not None:
            inside = _tree([f'context.source.isInRange(ip("{text}"))' for text in rule.texts])
            terms.append(f"!({inside})" if rule.outside else inside)
        if rule.window is not None:
            terms.append(f"context.now > {rule.window[0]} && context.now < {rule.window[1]}")
        effect = "forbid" if rule.deny else "permit"
        return f"{effect}(principal, action, resource) when {{ {' && '.join(terms)} }};"

    entities = cedarpy.Entities.from_json_str("[]")

    def build(rules: list[Rule]) -> Answer:
        policies = cedarpy.PolicySet.from_str("\n".join(map(policy, rules)))

        def ask(call: Call) -> bool:
            source = format_address(call.source_ip or 0)
            request = {
                "principal": {"type": "User", "id": call.principal},
                "action": {"type": "Action", "id": "call"},
                "resource": {"type": "Resource", "id": "any"},
                "context": {
                    "action": call.action,
                    "source": {"__extn": {"fn": "ip", "arg": source}},
                    "now": int(call.time or 0),
                },
            }
            return bool(cedarpy.is_authorized(request, policies, entities).allowed)

        return ask

    return _per_principal(workload, build)


def _hex(place: int) -> str:
    return f"{place:033x}"


def cel(workload: Workload) -> Answer:
    """CEL in Rust, one compiled expression per principal, addresses as hex text of one length."""
    import cel as engine  # noqa: PLC0415 - optional

    def term(rule: Rule) -> str:
        terms = [_tree([_named(name) for name in rule.actions])]
        if rule.ranges is not None:
            inside = _tree([f'(ip >= "{_hex(a)}" && ip <= "{_hex(b)}")' for a, b in rule.ranges])
            terms.append(f"!({inside})" if rule.outside else inside)
        if rule.window is not None:
            terms.append(f"(now > {rule.window[0]} && now < {rule.window[1]})")
        return f"({' && '.join(terms)})"

    def _named(pattern: str) -> str:
        head, *middle = pattern.split("*")
        if not middle:
            return f'act == "{pattern}"'
        if len(middle) == 1:
            return f'act.startsWith("{head}")'
        return f'(act.startsWith("{head}") && act.contains("{middle[0]}"))'

    def build(rules: list[Rule]) -> Answer:
        allows = _tree([term(rule) for rule in rules if not rule.deny])
        denies = _tree([term(rule) for rule in rules if rule.deny])
        program = engine.compile(f"{allows} && !{denies}")

        def ask(call: Call) -> bool:
            place = _hex(call.source_ip or 0)
            return bool(program.execute({"act": call.action, "ip": place, "now": int(call.time or 0)}))

        return ask

    return _per_principal(workload, build)


def casbin(workload: Workload) -> Answer:
    """FastEnforcer of casbin, indexed by principal and service, conditions in a custom function."""
    import casbin as engine  # noqa: PLC0415 - optional
    from casbin.model import FastModel  # noqa: PLC0415 - optional

    model = FastModel((0, 1))
    model.load_model_from_text(
        "[request_definition]\nr = sub, svc, act, ip, now\n"
        "[policy_definition]\np = sub, svc, rule, eft\n"
        "[policy_effect]\ne = some(where (p.eft == allow)) && !some(where (p.eft == deny))\n"
        "[matchers]\nm = r.sub == p.sub && r.svc == p.svc && holds(p.rule, r.act, r.ip, r.now)\n"
    )
    people = of_principals(workload)
    tests: dict[str, tuple[Any, ...]] = {}

    class Adapter(engine.persist.Adapter):  # type: ignore[misc]
        """Loads line by line: `add_policy` looks through all rows each time."""

        def load_policy(self, model: Any) -> None:
            for person, rules in people.items():
                for i, rule in enumerate(rules):
                    key = f"{id(rules)}-{i}"
                    tests[key] = (_matcher(rule.actions), rule.ranges, rule.outside, rule.window)
                    effect = "deny" if rule.deny else "allow"
                    for service in sorted({name.partition(":")[0] for name in rule.actions}):
                        engine.persist.load_policy_line(f"p, {person}, {service}, {key}, {effect}", model)

    def holds(rule: str, action: str, place: int, now: float) -> bool:
        names, ranges, outside, window = tests[rule]
        if not names(action):
            return False
        if ranges is not None and any(a <= place <= b for a, b in ranges) is outside:
            return False
        return window is None or window[0] < now < window[1]

    enforcer = engine.FastEnforcer(model, Adapter(), cache_key_order=(0, 1))
    enforcer.add_function("holds", holds)
    known = workload.catalog.actions

    def answer(call: Call) -> bool:
        if call.action not in known:
            return False
        service = call.action.partition(":")[0]
        return bool(enforcer.enforce(call.principal, service, call.action, call.source_ip, call.time))

    return answer


def regorus(workload: Workload) -> Answer:
    """Evaluate Rego with regorus (opa-eval), one module per principal, ranges as hex bounds."""
    import opa_eval  # noqa: PLC0415 - optional

    def body(rule: Rule, i: int) -> list[str]:
        head = "denied" if rule.deny else "permitted"
        names = [" ; ".join(_parts(name)) for name in rule.actions]
        if not any("*" in n for n in rule.actions):
            listed = ", ".join(f'"{n}"' for n in rule.actions)
            names = [f"input.act in {{{listed}}}"]
        extra = [f"input.now > {rule.window[0]}", f"input.now < {rule.window[1]}"] if rule.window else []
        lines = []
        if rule.ranges is not None:
            for a, b in rule.ranges:
                lines.append(f'inside_{i} if {{ input.ip >= "{_hex(a)}"; input.ip <= "{_hex(b)}" }}')
            extra.append(f"not inside_{i}" if rule.outside else f"inside_{i}")
        return lines + [f"{head} if {{ {'; '.join([*extra, name])} }}" for name in names]

    def _parts(pattern: str) -> Iterator[str]:
        head, *middle = pattern.split("*")
        yield f'startswith(input.act, "{head}")' if middle else f'input.act == "{pattern}"'
        yield from (f'contains(input.act, "{piece}")' for piece in middle if piece)

    folder = tempfile.TemporaryDirectory()

    def build(rules: list[Rule]) -> Answer:
        lines = ["package authz", "import rego.v1"]
        lines += [f"default {name} := false" for name in ("allow", "permitted", "denied")]
        for i, rule in enumerate(rules):
            lines += body(rule, i)
        lines += ["allow if { permitted; not denied }"]
        path = Path(folder.name) / f"{id(rules)}.rego"
        path.write_text("\n".join(lines), encoding="utf-8")
        engine = opa_eval.OpaEval(str(path), query="data.authz.allow")

        def ask(call: Call) -> bool:
            asked = {"act": call.action, "ip": _hex(call.source_ip or 0), "now": int(call.time or 0)}
            return engine.evaluate_parsed(json.dumps(asked)) is True

        return ask

    answer = _per_principal(workload, build)
    answer.folder = folder  # type: ignore[attr-defined]  # lives as long as the answer
    return answer


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer by its name, the package it needs, and how it is built."""

    name: str
    package: str
    build: Callable[[Workload], Answer]
    gap: str = ""

    @property
    def installed(self) -> bool:
        """Whether the package is here."""
        with contextlib.suppress(ImportError, ValueError):
            return importlib.util.find_spec(self.package) is not None
        return False


PEERS = (
    Peer("hand-rolled, integers", "json", handrolled_int),
    Peer("hand-rolled, ipaddress", "ipaddress", handrolled),
    Peer("CEL", "cel", cel, "no policies: one expression written by the adapter"),
    Peer("regorus", "opa_eval", regorus, "no CIDR function: bounds as hex text"),
    Peer("cedarpy", "cedarpy", cedar),
    Peer("casbin", "casbin", casbin, "conditions in a function of ours"),
)

"""A second reader of the policy language: slow, and obviously right.

Written from SEMANTICS.md alone; nothing of camguard is imported or was looked at. Plain data goes in:
catalog, policies, principals and call as JSON has them, addresses and dates as text. `decide` answers with
reason and statements, `validate` with codes.

Rule 1: a truth is True, False or None; None is UNKNOWN. It never grants and always blocks.
Rule 2: nothing is prepared: every call walks the documents from their beginning (the reading of one text
        is remembered, because it depends on that text alone).

Where SEMANTICS.md leaves room, the stricter reading was taken:
* An element that is not known is a StatementError on either level; `sid` and `id` are ignored on either.
* An action is any text around one colon without blanks, `?` and `${`, its service without a slash; `name/*`
  is none. A service in capitals loads, grants nothing, and blocks in a deny (DEC-7).
* Segment 6 may not be empty; the other segments of a pattern are not checked for sense, and compared as
  CAM 5.3 says. Letters (DEC-60) and accounts (DEC-59) are as doubtful in a call as in a policy. A star in the
  service of a resource is no wildcard for an allow, and a deny may mean one (DEC-60).
* In CAM 11.3 doubtful letters decide a pattern at once, before any of the three cases.
* An access that was guessed supplies no `qcs:read_only_action` (DEC-56).
* `${` always opens one of the five variables, or the document is refused, also in a condition's keys.
  In a `cos` resource a variable is misplaced, bucket and object path alike (CAM 9).
* A number with variables must be one with a digit for each; it may still be none with their values.
* A tag key behind the slash is not empty. Years run from 0001, seconds to 59.
* `X/*` and a trailing slash (DEC-15) are read with any further stars of the pattern as stars.
* A resource that could not be bound, or names no account, is the owner's own: no other is ever built
  (CAM 10.3).
* A pattern whose variable has no value is UNKNOWN as a whole, also if another segment already differs.
* Where policies are asked for several names, every layer must allow every name for every resource of the
  call, and the statements that decide are those of all names (DEC-68). A CAM name that no catalog lists is a
  name-only entry. A deny by the host label is read as if it named the CAM name, and as this one action.
* The general policies deny unless there is proof of MFA (DEC-42): a value that is absent or strange is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import isfinite
from typing import Any, NamedTuple, TypeAlias

from tests.oracle_documents import (
    TAGS,
    Address,
    Statement,
    address,
    filled,
    inside,
    instant,
    number,
    operator_of,
    read_statement,
    star,
    statements_of,
    validate,
)

__all__ = ["Answer", "decide", "validate"]

Truth: TypeAlias = bool | None
Value: TypeAlias = str | Fraction | Address
Answer: TypeAlias = tuple[str, tuple[str, ...]]

OWN = frozenset({"", "uin/", "*", "uin/*", "uid/", "uid/*"})
READING = ("Describe", "Get", "List", "Query", "Search", "Check", "Inquire", "Count", "Export", "Download")
REGIONS = {
    "gz": "ap-guangzhou",
    "sh": "ap-shanghai",
    "shjr": "ap-shanghai-fsi",
    "bj": "ap-beijing",
    "cd": "ap-chengdu",
    "hk": "ap-hongkong",
    "sg": "ap-singapore",
    "ca": "na-toronto",
    "de": "eu-frankfurt",
}
GENERAL: Mapping[str, Any] = {
    "effect": "deny",
    "action": [
        "account:QueryKeyBySecretId",
        "account:SetSafeAuthFlag",
        "account:BindToken",
        "account:UnbindToken",
        "account:ModifyMail",
        "account:ModifyPhoneNum",
    ],
    "resource": "*",
    "condition": {
        "string_not_equal_if_exist": {"mfa": "1"},
        "bool_equal_if_exist": {"qcs:mfa": "false"},
    },
}


# --- three-valued logic (2) -------------------------------------------------------------------------


def all_of(truths: Iterable[Truth]) -> Truth:
    """AND."""
    found = list(truths)
    return False if False in found else None if None in found else True


def any_of(truths: Iterable[Truth]) -> Truth:
    """OR."""
    found = list(truths)
    return True if True in found else None if None in found else False


def opposite(truth: Truth) -> Truth:
    """NOT."""
    return None if truth is None else not truth


# --- one statement on one call ----------------------------------------------------


class Query(NamedTuple):
    """What a call asks, looked up in catalog and principals."""

    service: str
    name: str
    granularity: str
    match: str
    ip: bool
    tags: bool
    rows: tuple[tuple[str, str], ...]  # name and granularity of each action of the service
    read_only: str | None  # "1", "0", or None where the catalog does not say (DEC-56)
    owner: str
    app_id: str
    variables: Mapping[str, str]
    call: Mapping[str, Any]
    inventory: Mapping[str, Mapping[str, str]] | None
    uses: frozenset[str] = frozenset()  # further services whose resources the service names (DEC-67)
    label: str = ""  # the action by its host label, where policies are asked for other names only (DEC-68)


def statement_truth(statement: Statement, query: Query, resource: str | None) -> Truth:
    """CAM 2."""
    return any_of((written_truth(statement, query, resource), label_truth(statement, query, resource)))


def written_truth(statement: Statement, query: Query, resource: str | None) -> Truth:
    """A statement as it is written."""
    return all_of(
        (
            actions_truth(statement, query),
            resources_truth(statement, query, resource),
            all_of(clause_truth(*clause, query, resource) for clause in statement.condition),
        )
    )


def label_truth(statement: Statement, query: Query, resource: str | None) -> Truth:
    """A deny that names the host label where the CAM name belongs: UNKNOWN where it would apply (DEC-68)."""
    if statement.effect == "allow" or query.label == "":
        return False
    label, _, name = query.label.partition(":")
    cells = [resource.split(":", 5) for resource in statement.resources]
    put = [
        ":".join([*cell[:2], query.service, *cell[3:]])
        if len(cell) > 1 and cell[2].lower() == label
        else cell[0]
        if len(cell) == 1
        else ":".join(cell)
        for cell in cells
    ]
    own = actions_truth(statement, query)
    by_action = any_of(action_truth(action, "deny", label, name) for action in statement.actions)
    instead = own is not True and by_action is not False  # `*` names both
    if not instead and (own is False or put == list(statement.resources)):
        return False
    meant = statement._replace(actions=(f"{query.service}:{query.name}",), resources=tuple(put))
    return None if written_truth(meant, query, resource) is not False else False


def action_truth(pattern: str, effect: str, service: str, name: str) -> Truth:
    """CAM 4."""
    wanted = pattern.removeprefix("name/")
    if wanted in {"*", "*:*"}:
        return True
    of_service, of_name = wanted.split(":")
    if star(of_service, service) and star(of_name, name):
        return None if "*" in of_service else True  # DEC-8
    blocks = star(of_service.lower(), service.lower()) and star(of_name.lower(), name.lower())
    return None if effect == "deny" and blocks else False  # DEC-7


def actions_truth(statement: Statement, query: Query) -> Truth:
    if query.granularity == "service" and statement.effect == "allow":  # DEC-46
        return any(
            action.removeprefix("name/") in {"*", "*:*", f"{query.service}:*"} for action in statement.actions
        )
    return any_of(
        action_truth(pattern, statement.effect, query.service, query.name) for pattern in statement.actions
    )


def resources_truth(statement: Statement, query: Query, resource: str | None) -> Truth:
    one = {"resource": pattern_truth, "unknown": unlisted_truth}.get(query.granularity, unaddressed_truth)
    return any_of(
        True if pattern == "*" else one(pattern, statement, query, resource)
        for pattern in statement.resources
    )


def unaddressed_truth(pattern: str, statement: Statement, query: Query, _: str | None) -> Truth:
    """A six-segment pattern on an action without resources (CAM 11.2, CAM 11.3)."""
    if statement.effect == "allow":
        return False
    of_service = service_truth(pattern.split(":", 5)[2], query.service, None)
    if of_service is not True:
        return of_service
    aimed = any(
        action_truth(action, statement.effect, query.service, name) is True
        for action in statement.actions
        for name, granularity in query.rows
        if granularity == "resource"
    )
    return False if aimed else None


def unlisted_truth(pattern: str, statement: Statement, query: Query, _: str | None) -> Truth:
    """A six-segment pattern on an action of which only the name is known (DEC-67)."""
    if statement.effect == "allow":
        return False
    plain = [action.removeprefix("name/") for action in statement.actions]
    named = any(
        action not in {"*", "*:*"} and action_truth(action, "deny", query.service, query.name) is not False
        for action in plain
    )
    service = pattern.split(":", 5)[2].lower()
    return (
        None
        if named or service == "" or any(star(service, own) for own in (query.service, *query.uses))
        else False
    )


def pattern_truth(pattern: str, statement: Statement, query: Query, resource: str | None) -> Truth:
    """CAM 5.3."""
    unclear = None if statement.effect == "deny" else False
    _, _, service, region, account, wanted = pattern.split(":", 5)
    literal = filled(wanted, query.variables)
    if resource is None or literal is None:
        return None
    parts = resource.split(":", 5)
    if len(parts) != 6 or parts[0] != "qcs":
        return unclear
    return all_of(
        (
            service_truth(service, parts[2], unclear),
            region_truth(region, parts[3], unclear),
            account_truth(account, parts[4], query, unclear),
            segment_truth(literal, parts[5], unclear),
        )
    )


def service_truth(pattern: str, service: str, unclear: Truth) -> Truth:
    if pattern in {"", "*", service}:
        return True
    return unclear if star(pattern.lower(), service.lower()) else False  # DEC-60


def region_truth(pattern: str, region: str, unclear: Truth) -> Truth:
    if pattern in {"", "*"}:
        return True
    if region == "":
        return unclear
    if star(REGIONS.get(pattern, pattern), REGIONS.get(region, region)):
        return True
    low, asked = pattern.lower(), region.lower()
    return unclear if star(REGIONS.get(low, low), REGIONS.get(asked, asked)) else False  # DEC-60


def account_truth(pattern: str, account: str, query: Query, unclear: Truth) -> Truth:
    wanted, found = named_account(pattern, query), named_account(account, query)
    return unclear if None in {wanted, found} else wanted == found


def named_account(account: str, query: Query) -> str | None:
    """The account that a segment names; None: it does not say which (DEC-59)."""
    own = account in OWN or (query.app_id != "" and account == f"uid/{query.app_id}")
    if own or account == f"uin/{query.owner}":
        return f"uin/{query.owner}"
    kind, slash, digits = account.rpartition("/")
    if re.fullmatch("[0-9]+", digits) is None or kind + slash not in {"", "uin/", "uid/"}:
        return None
    if kind:
        return account
    return None if digits == query.app_id else f"uin/{digits}"


def segment_truth(pattern: str, resource: str, unclear: Truth) -> Truth:
    if star(pattern, resource):
        return True
    bare = pattern.endswith("/*") and star(pattern[:-2], resource)
    directory = pattern.endswith("/") and star(f"{pattern}*", resource)
    return unclear if bare or directory else False  # DEC-15


def clause_truth(text: str, key: str, wanted: tuple[str, ...], query: Query, resource: str | None) -> Truth:
    """One key under one operator (CAM 7.4, CAM 7.5, CAM 7.6)."""
    have = supplied(key, query, resource)
    if have is None:
        return None
    told = truth_for(text, key, have, wanted, query)
    if key == "qcs:ip" and not query.ip and told is not truth_for(text, key, [], wanted, query):
        return None  # the world in which the cloud passes the address, and the one in which it does not
    return told


def truth_for(text: str, key: str, have: Sequence[Value], wanted: tuple[str, ...], query: Query) -> Truth:
    """One clause for the values of its key, which is supplied (CAM 7.4, CAM 7.5)."""
    qualifier, operator, if_exist = operator_of(text) or ("", "", False)
    if operator == "null_equal":
        return any((not have) == (word == "true") for word in wanted)
    if not have:
        return if_exist
    values = [filled(value, query.variables) for value in wanted]
    regional = key.partition(":")[2] == "region"
    truth_of = region_value_truth if regional else value_truth
    each = [truth_of(operator, one, values) for one in have]
    if qualifier:
        return any_of(each) if qualifier == "for_any_value" else all_of(each)
    return each[0] if len(set(each)) == 1 else None


def region_value_truth(operator: str, have: Value, wanted: Sequence[str | None]) -> Truth:
    """DEC-64: what holds for another spelling of the region alone counts as a whole text only."""
    names = [code for code, region in REGIONS.items() if region == REGIONS.get(str(have), have)]
    others = {REGIONS.get(str(have), str(have)), *names} - {str(have)}
    positive = operator.replace("_not_", "_")

    def one(value: str | None) -> Truth:
        plain = None if value is None else holds(positive, have, value)
        if plain is not False or value is None:
            return plain
        if not any(holds(positive, other, value) is not False for other in others):
            return False
        return (
            any_of(holds(positive, other, value) for other in others) if positive == "string_equal" else None
        )

    truth = any_of(one(value) for value in wanted)
    return truth if positive == operator else opposite(truth)


def listed_tags(query: Query, resource: str | None) -> Mapping[str, str] | None:
    """The tags that the inventory has for one resource, DEC-66; None where it does not list it."""

    def parts_of(text: str) -> tuple[str | None, ...] | None:
        parts = text.split(":", 5)
        if len(parts) < 6 or parts[0] != "qcs":
            return None
        return parts[2], REGIONS.get(parts[3], parts[3]), named_account(parts[4], query), parts[5]

    wanted = parts_of(resource or "")
    if wanted is None or query.granularity != "resource":  # no other action has resources (CAM 11.2)
        return None
    return next((tags for text, tags in (query.inventory or {}).items() if parts_of(text) == wanted), None)


def supplied(  # noqa: PLR0911 - one key after the other
    key: str, query: Query, resource: str | None
) -> Sequence[Value] | None:
    """The values that a call has for a key; None: it does not supply the key (CAM 8.2, DEC-30)."""
    base, slash, tag = key.partition("/")
    if base in TAGS:
        tags: Mapping[str, str] | None = query.call.get(TAGS[base])
        if tags is None and TAGS[base] == "resource_tags":
            tags = listed_tags(query, resource)
        if tags is None or not query.tags:
            return None
        if slash:
            return [tags[tag]] if tag in tags else []
        return None if "&" in "".join([*tags, *tags.values()]) else [f"{k}&{v}" for k, v in tags.items()]
    if key == "qcs:ip":
        source = query.call.get("source_ip")
        place = address(source) if source is not None else None
        return None if place is None else [place]
    if key == "qcs:read_only_action":
        return None if query.read_only is None else [query.read_only]
    if key == "qcs:current_time":
        time = query.call.get("time")
        moment = instant(time) if isinstance(time, str) else None
        if isinstance(time, int | float) and isfinite(time):
            moment = Fraction(time)
        return None if moment is None else [moment]
    values: Sequence[str] | None = (query.call.get("context") or {}).get(key)
    return values


def value_truth(operator: str, have: Value, wanted: Sequence[str | None]) -> Truth:
    """One value of the call against all of the policy's: OR, or NOR if the operator is negated (DEC-27)."""
    positive = operator.replace("_not_", "_")
    truth = any_of(None if value is None else holds(positive, have, value) for value in wanted)
    return truth if positive == operator else opposite(truth)


def holds(operator: str, have: Value, value: str) -> Truth:
    """One value against one (CAM 7.2); None: the call's cannot be read for this operator (U2)."""
    family, _, relation = operator.partition("_")
    if family == "ip":
        place = address(have) if isinstance(have, str) else have
        return None if place is None or isinstance(place, Fraction) else inside(place, value)
    if family == "date":
        moment = instant(have) if isinstance(have, str) else have
        return ordered(relation, moment, instant(value))
    if family == "numeric":
        return ordered(relation, number(str(have)), number(value))
    if family == "string":
        return text_holds(relation, str(have), value)
    if family == "bool":
        return have == value if have in {"true", "false"} else None
    alike = str(have).lower() == value.lower()
    return True if have == value else None if alike else False  # DEC-20


def text_holds(relation: str, have: str, value: str) -> bool:
    if relation == "like":
        return star(value, have)
    return have.lower() == value.lower() if relation.endswith("ignore_case") else have == value  # DEC-19


def ordered(relation: str, have: Any, value: Any) -> Truth:
    if have is None or value is None:
        return None
    truths: dict[str, bool] = {
        "equal": have == value,
        "less_than": have < value,
        "less_than_equal": have <= value,
        "greater_than": have > value,
        "greater_than_equal": have >= value,
    }
    return truths[relation]


# --- layers and decision (10) ---------------------------------------------------------------------------


class Item(NamedTuple):
    """A statement in its place; None: its policy is attached, but missing (DEC-40)."""

    id: str
    statement: Statement | None

    @property
    def denies(self) -> bool:
        """Whether it can only refuse."""
        return self.statement is None or self.statement.effect == "deny"

    def truth(self, query: Query, resource: str | None) -> Truth:
        """Whether it applies to one resource of a call."""
        return None if self.statement is None else statement_truth(self.statement, query, resource)


class Layers(NamedTuple):
    """identity: None: the owner, who may do all to its own. limits: each must allow. general: only denies."""

    account: tuple[tuple[Item, ...], ...]
    identity: tuple[Item, ...] | None
    limits: tuple[tuple[Item, ...], ...]
    general: tuple[Item, ...]


def as_text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def items(name: str, document: Any) -> list[Item]:
    if document is None:
        return [Item(name, None)]
    return [Item(f"{name}#{index}", found) for index, found in enumerate(statements_of(as_text(document)))]


def layers_of(
    principals: Mapping[str, Any], policies: Mapping[str, Any], call: Mapping[str, Any]
) -> Layers | None:
    """The layers of a principal; None where it is unknown."""

    def gather(names: Iterable[str]) -> tuple[Item, ...]:
        return tuple(item for name in dict.fromkeys(names) for item in items(name, policies.get(name)))

    kind, _, name = call["principal"].partition("/")
    owner = call["principal"] == f"uin/{principals['owner']['uin']}"
    known = principals.get({"uin": "users", "role": "roles"}.get(kind, ""), {})
    if not owner and name not in known:
        return None
    entry = {} if owner else known[name]
    own = list(entry.get("policies") or [])
    for group in entry.get("groups") or []:
        own += principals["groups"][group]["policies"]
    boundary, session = entry.get("boundary"), call.get("session")
    limits = [gather([boundary])] if boundary is not None else []
    if session is not None:
        limits.append(tuple(items("session", session)))
    return Layers(
        account=tuple(gather(level) for level in principals.get("account") or []),
        identity=None if owner else gather(own),
        limits=tuple(limits),
        general=(Item("general#0", read_statement(GENERAL)),),
    )


def variables_of(principals: Mapping[str, Any], principal: str) -> dict[str, str]:
    """The variables that have a value: nothing but digits (DEC-33), `uin` not for roles (DEC-34)."""
    owner = principals["owner"]
    found = {"owner_uin": owner.get("uin"), "app_id": owner.get("app_id")}
    if principal.startswith("uin/"):
        found["uin"] = principal.removeprefix("uin/")
    return {name: value for name, value in found.items() if re.fullmatch("[0-9]+", value or "")}


def granted(layer: Iterable[Item], query: Query, resource: str | None) -> list[str]:
    return [item.id for item in layer if not item.denies and item.truth(query, resource) is True]


def owned(resource: str | None, query: Query) -> bool:
    """Whether a resource is the owner's: unless it names another account (CAM 10.3)."""
    parts = (resource or "").split(":", 5)
    named = len(parts) == 6 and parts[0] == "qcs"
    return not named or named_account(parts[4], query) == f"uin/{query.owner}"


def judge(layers: Layers, queries: Sequence[Query]) -> Answer:
    """CAM 10.2: a certain deny, an uncertain one, no allow of one's own, no allow of a limiting layer.

    queries: the same call for every CAM name that policies are asked for (DEC-68).
    """
    addressed = any(query.granularity == "resource" for query in queries)
    resources = queries[0].call["resources"] if addressed else ["*"]
    everything = [*layers.account, layers.identity or (), *layers.limits, layers.general]
    denies = [item for layer in everything for item in layer if item.denies]
    counted = [
        (item.id, {item.truth(query, resource) for resource in resources})
        for query in queries
        for item in denies
    ]
    for certain, reason in ((True, "explicit_deny"), (None, "undetermined_deny")):
        counting = tuple(dict.fromkeys(name for name, found in counted if certain in found))
        if counting:
            return reason, counting

    def by_own(resource: str | None, query: Query) -> bool:
        if layers.identity is None:
            return not addressed or owned(resource, query)
        return bool(granted(layers.identity, query, resource))

    own = [all(by_own(resource, query) for query in queries) for resource in resources]
    passes = [
        mine
        and all(
            granted(layer, query, resource)
            for query in queries
            for layer in (*layers.account, *layers.limits)
        )
        for mine, resource in zip(own, resources, strict=True)
    ]
    enough = any if all(query.match == "any" for query in queries) else all
    if not enough(own):
        return "no_allow", ()
    if not enough(passes):
        return "layer_limit", ()
    names = [
        item.id
        for query in queries
        for item in layers.identity or ()
        if any(item.id in granted((item,), query, resource) for resource in resources)
    ]
    return "allowed", tuple(dict.fromkeys(names))


def asked_names(known: Mapping[str, Any], label: str, name: str) -> list[str]:
    """The names that policies are asked for one action of a host label (DEC-68)."""
    asks = known.get("asks", {})
    row = asks.get(f"{label}:{name}", asks.get(f"{label}:*"))
    if row is None:
        return [f"{label}:{name}"]
    names = [found.removesuffix("*") + name if found.endswith(":*") else found for found in row["names"]]
    return list(dict.fromkeys(names if row["sure"] else [*names, f"{label}:{name}"]))


def exists(catalog: Mapping[str, Any], known: Mapping[str, Any], label: str, name: str) -> bool:
    """Whether a call of a host label names an action: by the label's own page, or by that of a CAM name."""

    def listed(service: str, action: str) -> bool:
        return any(row["name"] == action for row in catalog.get(service, {"actions": []})["actions"])

    asks = known.get("asks", {})
    if listed(label, name):
        return True
    if f"{label}:{name}" in asks and any(
        listed(*asked.split(":")) for asked in asked_names(known, label, name)
    ):
        return True
    if label in catalog or f"{label}:*" not in asks:
        return False
    wholes = [found.split(":")[0] for found in asks[f"{label}:*"]["names"] if found.endswith(":*")]
    return bool(wholes) and wholes[0] != label and listed(wholes[0], name)


def serves(catalog: Mapping[str, Any], known: Mapping[str, Any], label: str) -> bool:
    """Whether any action of a host label exists."""
    names = {row["name"] for product in catalog.values() for row in product["actions"]}
    names |= {key.split(":")[1] for key in known.get("asks", {})} - {"*"}
    return label in catalog or any(exists(catalog, known, label, name) for name in names)


def queries_of(
    catalog: Mapping[str, Any],
    principals: Mapping[str, Any],
    call: Mapping[str, Any],
    *,
    ip_support: str = "catalog",
    inventory: Mapping[str, Mapping[str, str]] | None = None,
    known: Mapping[str, Any] | None = None,
) -> list[Query]:
    """What a call asks for each name that policies are asked for; the arguments are those of `decide`."""
    known = known or {}
    label, _, name = call["action"].partition(":")
    listed = exists(catalog, known, label, name)
    names = asked_names(known, label, name)
    queries = []
    for asked in names:
        service, _, action = asked.partition(":")
        product = catalog.get(service, {"actions": [], "tag_authorization": False})
        rows = {row["name"]: row for row in product["actions"]}
        level = "unknown"
        if (
            asked == call["action"]
            and not listed
            and catalog.get(label, {}).get("granularity", level) != level
        ):
            level = "operation"
        row = rows.get(action, {"granularity": level, "ip_restriction": False, "access": "other"})
        queries.append(
            Query(
                service=service,
                name=action,
                granularity=row["granularity"],
                match=row.get("match", "all"),
                ip=row["ip_restriction"] or ip_support == "gateway",
                tags=product["tag_authorization"],
                rows=tuple((other["name"], other["granularity"]) for other in rows.values()),
                read_only=read_only(action, row),
                owner=principals["owner"]["uin"],
                app_id=principals["owner"].get("app_id") or "",
                variables=variables_of(principals, call["principal"]),
                call=call,
                inventory=inventory,
                uses=frozenset(known.get("services", {}).get(service, {}).get("uses", ())),
                label="" if call["action"] in names else call["action"],
            )
        )
    return queries


def decide(
    catalog: Mapping[str, Any],
    policies: Mapping[str, Any],
    principals: Mapping[str, Any],
    call: Mapping[str, Any],
    *,
    ip_support: str = "catalog",
    unknown_action: str = "refuse",
    inventory: Mapping[str, Mapping[str, str]] | None = None,
    known: Mapping[str, Any] | None = None,
) -> Answer:
    """Reason and deciding statements of one call.

    catalog: service -> its file's JSON. policies: id -> document, as JSON or text.
    principals: the JSON of principals.json.
    inventory: the JSON of resource_tags.json.
    call: the fields of a call; source_ip and dates in text, time also in seconds; session a document.
    known: the JSON of services.json.
    """
    known = known or {}
    layers = layers_of(principals, policies, call)
    label, _, name = call["action"].partition(":")
    if layers is None:
        return "principal_unknown", ()
    if not re.fullmatch("[a-z0-9]{1,63}:[A-Za-z][A-Za-z0-9]{0,63}", call["action"]):
        return "action_invalid", ()
    if not serves(catalog, known, label):
        return "service_unknown", ()
    listed = exists(catalog, known, label, name)
    if not listed and unknown_action != "judge":
        return "action_unknown", ()
    if not call["resources"]:
        return "no_allow", ()
    asked = queries_of(catalog, principals, call, ip_support=ip_support, inventory=inventory, known=known)
    return judge(layers, asked)


def read_only(name: str, row: Mapping[str, Any]) -> str | None:
    """What the catalog says of an action (DEC-56)."""
    if row.get("access_guessed") or row["access"] == "other":
        return None
    if row["access"] == "write":
        return "0"
    words = any(re.match(f"{word}(?![a-z])", name) for word in READING)
    return "1" if words or row.get("read_only") else None

"""Random catalogs, bundles, documents and calls, all of them plain data, biased to edges.

Every choice is a throw of `Dice`: either seeded, and then fast, or drawn by hypothesis (the strategies at the
end), and then slow, but it shrinks what it finds. Small numbers choose plain things.
"""

from __future__ import annotations

import ipaddress
import json
import random
import re
from collections.abc import Callable, Iterable, Sequence
from math import inf, nan
from typing import Any, NamedTuple, TypeVar

from hypothesis import strategies as st

from tests.oracle import REGIONS as REGION_CODES
from tests.oracle_documents import instant
from tests.vocabulary import (
    ACCOUNTS,
    ADDRESSES,
    APP_ID,
    CONTEXT_KEYS,
    DATES,
    FAULTS,
    KEYS,
    LIKES,
    NAMES,
    NUMBERS,
    OWNER,
    REGION_LIKES,
    REGION_NAMES,
    REGIONS,
    REQUESTED,
    SERVICES,
    STRANGE,
    TAG_SETS,
    TAG_VALUES,
    VARIABLES,
    WANTED,
    WORDS,
)

T = TypeVar("T")
Json = dict[str, Any]


class Dice(NamedTuple):
    """Where choices come from; `number` gives one of low..high."""

    number: Callable[[int, int], int]

    def pick(self, options: Sequence[T]) -> T:
        """One of several."""
        return options[self.number(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        """True in so many of a hundred."""
        return self.number(0, 99) >= 100 - percent

    def several(self, options: Sequence[T], low: int, high: int) -> list[T]:
        """Some of several, perhaps the same twice."""
        return [self.pick(options) for _ in range(self.number(low, high))]


def seeded(seed: int) -> Dice:
    """Dice that fall the same way for the same seed."""
    return Dice(random.Random(seed).randint)  # noqa: S311 - it must repeat itself


LABELS = ("cbs", "order")  # of hosts without a catalog
NOTHING_KNOWN: Json = {"services": {}, "asks": {}}


class World(NamedTuple):
    """A bundle as plain data, and session policies to call it with; documents are text.

    mentioned: condition key, or "resource" -> what the documents say of it, for calls to come close to.
    inventory: what a resource_tags.json says.
    """

    catalog: Json
    known: Json  # as services.json has it
    policies: dict[str, str]
    principals: Json
    settings: Json
    sessions: tuple[str, ...]
    mentioned: dict[str, list[str]]
    inventory: dict[str, dict[str, str]] | None = None


# --- catalogs ----------------------------------------------------------------------------------------


def a_catalog(dice: Dice) -> Json:
    """Two or three services, with rows of every granularity in any product."""
    names = dict.fromkeys([dice.pick(SERVICES), dice.pick(SERVICES), dice.pick(SERVICES)])
    return {name: a_service(dice, name) for name in names}


def a_service(dice: Dice, name: str) -> Json:
    """One service; what the product says of itself has nothing to do with its rows (DEC-44)."""
    return {
        "service": name,
        "title": name,
        "console": True,
        "tag_authorization": dice.chance(60),
        "granularity": dice.pick(("operation", "resource", "service", "unknown")),
        "ip_restriction": dice.pick(("supported", "partial", "unsupported")),
        "actions": [an_action(dice, action) for action in dict.fromkeys(dice.several(NAMES, 2, 5))],
    }


def an_action(dice: Dice, name: str) -> Json:
    """One row."""
    granularity = dice.pick(("operation", "resource", "resource", "operation", "service", "unknown"))
    return {
        "name": name,
        "access": dice.pick(("read", "write", "list", "other")),
        "granularity": granularity,
        "resources": ["qcs::x:${region}:uin/${uin}:instance/${id}" if granularity == "resource" else "*"],
        "ip_restriction": dice.chance(70),
        "match": "any" if dice.chance(25) else "all",
        "read_only": dice.chance(10),
        "access_guessed": dice.chance(10),
    }


def known_services(dice: Dice, catalog: Json) -> Json:
    """Services that use each other, and host labels whose calls are asked for under other names (DEC-68)."""
    services = {
        name: {"title": name, "uses": dice.several((*catalog, "other"), 0, 2)}
        for name in catalog
        if dice.chance(50)
    }
    asks: Json = {}
    for _ in range(dice.number(0, 3)):
        label, _, name = dice.pick(actions_of(catalog)).partition(":")
        label = dice.pick((label, label, *LABELS))
        own, other = dice.pick(actions_of(catalog)), dice.pick(tuple(catalog))
        row = dice.pick(([f"{other}:*"], [own], [f"{other}:*", "finance:trade"], [own, f"{label}:*"]))
        asks[f"{label}:{dice.pick((name, '*'))}"] = {"names": row, "sure": dice.chance(60)}
    return {"services": services, "asks": asks}


def actions_of(catalog: Json) -> list[str]:
    """Every action by its whole name."""
    return [f"{service}:{row['name']}" for service in catalog for row in catalog[service]["actions"]]


def called_names(catalog: Json, known: Json) -> list[str]:
    """Every name that a call may use: of the catalog, and of the host labels that are known."""
    found = actions_of(catalog)
    for key in known["asks"]:
        label, _, name = key.partition(":")
        names = [each.partition(":")[2] for each in actions_of(catalog)] if name == "*" else [name]
        found += [f"{label}:{each}" for each in names]
    return found


# --- documents ---------------------------------------------------------------------------------------


def a_document(dice: Dice, catalog: Json, *, low: int = 1, high: int = 4) -> Json:
    """A document that loads."""
    statements: list[Json] = [a_statement(dice, catalog) for _ in range(dice.number(low, high))]
    statement = statements[0] if len(statements) == 1 and dice.chance(30) else statements
    document = {"version": "2.0", "statement": statement}
    return {key.capitalize(): value for key, value in document.items()} if dice.chance(5) else document


def a_statement(dice: Dice, catalog: Json) -> Json:
    """One statement."""
    deny = dice.chance(40)
    effect = ("deny" if deny else "allow").capitalize() if dice.chance(5) else "deny" if deny else "allow"
    found: Json = {
        "effect": effect,
        "action": bracketed(dice, [an_action_pattern(dice, catalog, deny) for _ in range(dice.number(1, 3))]),
        "resource": "*"
        if dice.chance(45)
        else bracketed(dice, [a_pattern(dice, catalog) for _ in range(dice.number(1, 3))]),
    }
    if dice.chance(60):
        found["condition"] = a_condition(dice) or ([] if dice.chance(30) else {})
    if dice.chance(5):
        found = {key.upper(): value for key, value in found.items()} | {"sid": "x"}
    return found


def bracketed(dice: Dice, values: list[T]) -> list[T] | T:
    """A list, or its only value without brackets."""
    return values[0] if len(values) == 1 and dice.chance(50) else values


def an_action_pattern(dice: Dice, catalog: Json, deny: bool) -> str:
    """A pattern made of an action that exists: in full, with stars, in other capitals, of another service."""
    action = dice.pick(actions_of(catalog))
    service, _, name = action.partition(":")
    cut = dice.number(1, len(name))
    forms = (
        *("*", f"{service}:*", action, action, f"{service}:{name[:cut]}*", f"{service}:*{name[cut:]}", "*:*"),
        *(
            f"{service}:*{name[cut - 1 : cut]}*",
            f"{action}*",
            f"{service[:1]}*:*",
            f"*:{name[:cut]}*",
            f"*:{name}",
        ),
        *(action.swapcase(), action.lower(), f"{service.upper()}:*", f"*{service}:{name}", f"{service}:**"),
        *(f"{dice.pick(LABELS)}:*", f"{dice.pick(LABELS)}:{name[:cut]}*"),
    )
    found = dice.pick(forms if deny else (*forms, "finance:trade", "tke:Create", f"{action}x"))
    return f"name/{found}" if found != "*" and dice.chance(15) else found


def a_pattern(dice: Dice, catalog: Json) -> str:
    """A resource of a policy."""
    if dice.chance(12):
        return "*"
    named = dice.pick(tuple(catalog))
    spelled = (named.upper(), f"{named[:1]}*", f"{named[:1].upper()}*")
    service = dice.pick((named, named, named, "", "*", "other", "CVM", *LABELS, *spelled))
    wanted = dice.pick(WANTED)
    if service == "cos" and "${" in wanted:  # not in the path of an object (9)
        wanted = "*"
    project = dice.pick(("", "", "", "0", "id/0"))
    return f"qcs:{project}:{service}:{dice.pick(REGIONS)}:{dice.pick(ACCOUNTS)}:{wanted}"


def a_condition(dice: Dice) -> Json:
    """Up to three clauses; operators that are thrown twice share their keys."""
    condition: Json = {}
    for _ in range(dice.number(0, 3)):
        key, operators = dice.pick(KEYS[:2] if dice.chance(40) else KEYS)
        operator = dice.pick(operators)
        qualifier = dice.pick(("", "", "", "for_any_value:", "for_all_value:"))
        suffix = "_if_exist" if operator != "null_equal" and dice.chance(25) else ""
        values = [a_value(dice, operator, key) for _ in range(dice.number(1, 3))]
        condition.setdefault(f"{qualifier}{operator}{suffix}", {})[key] = bracketed(dice, values)
    return condition


def a_value(dice: Dice, operator: str, key: str) -> Any:  # noqa: PLR0911 - one family after the other
    """A value that the operator takes."""
    family = operator.partition("_")[0]
    if family == "ip":
        return a_range(dice)
    if family == "date":
        return dice.pick(DATES)
    if family in {"bool", "null"}:
        return dice.pick(("true", "false", True, False))
    if family == "numeric":
        ordinary = (*NUMBERS, 1, 10, 0.1, "1.5e1", *VARIABLES[:3])
        return dice.pick((1, 0, "1") if key == "qcs:read_only_action" and dice.chance(70) else ordinary)
    if key.endswith(":region") and family in {"string", "binary"} and dice.chance(85):
        return dice.pick(REGION_LIKES if operator.endswith("like") else REGION_NAMES)
    if operator.endswith("like") or key in {"qcs:resource_tag", "qcs:request_tag", "qcs:tag"}:
        return dice.pick(LIKES if operator.endswith("like") else TAG_VALUES)
    return (
        dice.pick((*WORDS, *VARIABLES)) if family == "binary" or dice.chance(80) else dice.pick((1, 0, 1.0))
    )


def a_range(dice: Dice) -> str:
    """A CIDR: nested, touching, whole, of one, of either family, mapped, with host bits."""
    base = dice.pick(ADDRESSES)
    if dice.chance(15):
        return base
    version = 6 if ":" in base else 4
    prefixes = {4: (32, 31, 25, 24, 23, 8, 1, 0), 6: (128, 127, 120, 104, 97, 96)}[version]
    wide = (64, 32, 1, 0) if version == 6 and not base.startswith("::ffff:") else ()
    return f"{base}/{dice.pick((*prefixes, *wide))}"


def plain(found: Json) -> Json:
    """An object whose elements are spelt as the reference spells them."""
    names = ("version", "statement", "effect", "action", "resource", "condition", "sid")
    return {key.lower() if key.lower() in names else key: value for key, value in found.items()}


def a_broken_document(dice: Dice, catalog: Json) -> str:
    """The text of a document with one fault, most of the time; some faults are none where they fall."""
    document = json.loads(json.dumps(a_document(dice, catalog)), object_hook=plain)
    if dice.chance(10):
        text = json.dumps(document)
        cut = dice.number(0, len(text))
        return dice.pick(
            (text[:cut], text[:cut] + dice.pick(',}]{":x') + text[cut:], text.replace('"', "'", 1))
        )
    statements = document["statement"]
    statement = statements if isinstance(statements, dict) else dice.pick(statements)
    at = dice.pick(tuple(FAULTS))
    value = dice.pick(FAULTS[at])
    if at in {"version", "statement"}:
        document[at] = value
    elif at == "operator":
        statement["condition"] = {value: {"cos:x": "a"}}
    elif at == "key":
        statement["condition"] = {"string_equal": {value: "a"}}
    elif at == "pair":
        operator, key = value
        statement["condition"] = {operator: {key: a_value(dice, operator, key)}}
    elif "_" in at:
        statement["condition"] = {at: {"cos:x": value}}
    else:
        statement[at] = value
    return json.dumps(document)


def a_misspelling(dice: Dice, texts: Sequence[str]) -> str:
    """One of several texts, or close to it: some characters more, fewer, others, or parts of two."""
    text = dice.pick(texts)
    for _ in range(dice.number(0, 3)):
        at = dice.number(0, len(text))
        other = dice.pick(("", dice.pick(texts), *"0123456789abcdefgTZ:./%-+_ \t\n*é٣"))
        text = text[:at] + (other[at:] if len(other) > 1 else other) + text[at + dice.number(0, 1) :]
    return text


# --- bundles -----------------------------------------------------------------------------------------


def a_world(dice: Dice) -> World:
    """A bundle with every layer; sometimes a policy is attached but missing (DEC-40)."""
    catalog = a_catalog(dice)
    known = known_services(dice, catalog) if dice.chance(50) else NOTHING_KNOWN
    written = {name: a_document(dice, catalog) for name in "abcd"[: dice.number(1, 4)]}
    written["all"] = {"version": "2.0", "statement": {"effect": "allow", "action": "*", "resource": "*"}}
    policies = {name: a_file(dice, document) for name, document in written.items()}
    names = (*policies, "all")

    def carried(low: int) -> list[str]:
        found = dice.several(names, low, 3)
        return [*found, "gone"] if dice.chance(1) else found

    def entry() -> Json:
        found: Json = {"policies": carried(1)}
        return found | {"boundary": dice.pick(names) if dice.chance(40) else None}

    principals: Json = {
        "owner": {"uin": OWNER, "app_id": APP_ID},
        "users": {
            "100101": {**entry(), "groups": dice.several(("g", "h"), 0, 2)},
            "100102": {"policies": ["all"]},
        },
        "groups": {"g": {"policies": carried(0)}, "h": {"policies": carried(0)}},
        "roles": {"bot": entry()},
    }
    if dice.chance(30):
        principals["account"] = [dice.several(names, 1, 2) for _ in range(dice.number(1, 2))]
    limited = a_document(dice, catalog, high=2)
    sessions = (json.dumps(limited), policies["all"])
    world = World(
        catalog=catalog,
        known=known,
        policies=policies,
        principals=principals,
        settings={
            "ip_support": "gateway" if dice.chance(30) else "catalog",
            "unknown_action": "judge" if dice.chance(20) else "refuse",
        },
        sessions=sessions,
        mentioned=mentioned_by((*written.values(), limited)),
    )
    return world._replace(inventory=an_inventory(dice, world)) if dice.chance(50) else world


def an_inventory(dice: Dice, world: World) -> dict[str, dict[str, str]]:
    """The tags of some resources that calls may name, each listed in one spelling only."""
    found: dict[str, dict[str, str]] = {}
    spelled = set()
    for _ in range(dice.number(0, 8)):
        parts = (a_resource(dice, world) or "").split(":", 5)
        if len(parts) < 6 or "*" in ":".join(parts) or parts[0] != "qcs" or not parts[5]:
            continue
        account = "" if parts[4] in {"uin/", f"uid/{APP_ID}", f"uin/{OWNER}"} else parts[4]
        plain = re.fullmatch(r"[a-z0-9]+", parts[2]) and re.fullmatch(r"[a-z0-9-]*", parts[3])
        if not plain or not re.fullmatch(r"((uin|uid)/[0-9]+)?", account):
            continue
        one = (parts[2], REGION_CODES.get(parts[3], parts[3]), account, parts[5])
        if one not in spelled:
            spelled.add(one)
            found[":".join(parts)] = dict(dice.pick(TAG_SETS))
    return found


def a_file(dice: Dice, document: Json) -> str:
    """A document as people bring it: seldom with a byte order mark, or as GetPolicy returns it (CAM 3.5)."""
    text = json.dumps(document)
    answers = (
        f"\ufeff{text}",
        json.dumps({"Response": {"PolicyName": "x", "PolicyDocument": text, "RequestId": "1"}}),
        json.dumps({"PolicyDocument": document}),
    )
    return dice.pick(answers) if dice.chance(6) else text


def written_in(text: str) -> Json:
    """The document in a text that `a_file` returned."""
    found: Json = json.loads(text.removeprefix("\ufeff"))
    inside = found.get("Response", found).get("PolicyDocument", found)
    document: Json = json.loads(inside) if isinstance(inside, str) else inside
    return document


def mentioned_by(documents: Iterable[Json]) -> dict[str, list[str]]:
    """The values of each condition key, and the resources, of some documents."""
    mentioned: dict[str, list[str]] = {}

    def listed(found: Any) -> list[str]:
        return [str(one) for one in (found if isinstance(found, list) else [found])]

    for document in documents:
        statements = plain(document)["statement"]
        for statement in map(plain, statements if isinstance(statements, list) else [statements]):
            mentioned.setdefault("resource", []).extend(listed(statement["resource"]))
            for keys in (statement.get("condition") or {}).values():
                for key, values in keys.items():
                    mentioned.setdefault(key, []).extend(listed(values))
    return mentioned


# --- calls -------------------------------------------------------------------------------------------


def edges(cidr: str) -> list[str]:
    """The first and last address of a range, and those before and behind it."""
    network = ipaddress.ip_network(cidr, strict=False)
    first, last = int(network[0]), int(network[-1])
    kind = type(network[0])
    places = (first, last, first - 1, last + 1)
    return [str(kind(place)) for place in places if 0 <= place < 2**network.max_prefixlen]


def a_call(dice: Dice, world: World) -> Json:
    """A call of an action that exists, mostly; addresses and times lie on the edges of what policies say."""
    callers = (
        "uin/100101",
        "uin/100101",
        "uin/100101",
        "uin/100101",
        "role/bot",
        "role/bot",
        "uin/100102",
        "uin/100100",
    )
    strangers = ("uin/999", "role/101", "uin/bot", "")
    return {
        "principal": dice.pick(strangers if dice.chance(1) else callers),
        "action": a_called_action(dice, world),
        "source_ip": an_address(dice, world),
        "time": a_time(dice, world),
        "resources": some_resources(dice, world),
        "resource_tags": dice.pick((*TAG_SETS, None)),
        "request_tags": dice.pick((*TAG_SETS, None)),
        "context": None if dice.chance(20) else a_context(dice, world),
        "session": dice.pick(world.sessions) if dice.chance(15) else None,
    }


def a_called_action(dice: Dice, world: World) -> str:
    """The name of an action, seldom one that does not exist."""
    action = dice.pick(called_names(world.catalog, world.known))
    strange = (f"{action}s", action.lower(), "tke:Create", "nonsense", f"name/{action}", f"{action}\n", "")
    return dice.pick(strange) if dice.chance(6) else action


def an_address(dice: Dice, world: World) -> str | None:
    """The edge of a range, most often of one that the policies name."""
    if dice.chance(5):
        return None
    mentioned = world.mentioned.get("qcs:ip")
    return dice.pick(edges(dice.pick(mentioned) if mentioned and dice.chance(80) else a_range(dice)))


def a_time(dice: Dice, world: World) -> float | None:
    """Seconds at, just before or just after an instant, most often one that the policies name."""
    if dice.chance(5):
        return dice.pick((None, nan, inf, -inf))
    mentioned = world.mentioned.get("qcs:current_time")
    moment = instant(dice.pick(mentioned if mentioned and dice.chance(80) else DATES))
    return float(moment or 0) + dice.pick((0.0, 0.5, -0.5, 1.0, -1.0, 0.1, 1e-6, -1e-6))


def some_resources(dice: Dice, world: World) -> list[str | None]:
    """One resource, or more of them, or none; seldom what is no resource, or could not be bound."""
    number = dice.pick((2, 2, 3, 1, 0)) if dice.chance(40) else 1
    return [a_resource(dice, world) for _ in range(number)]


def a_resource(dice: Dice, world: World) -> str | None:
    """What a call is about, half of the time made from what a policy says."""
    if dice.chance(8):
        return dice.pick(("*", None, "qcs::cvm:gz:instance/1", "nonsense", "acs::cvm:::x"))
    if world.inventory and dice.chance(40):
        return dice.pick(tuple(world.inventory))
    mentioned = [one for one in world.mentioned["resource"] if one != "*"]
    if mentioned and dice.chance(60):
        _, _, service, region, account, wanted = dice.pick(mentioned).split(":", 5)
        for name, value in (("${uin}", "100101"), ("${owner_uin}", OWNER), ("${app_id}", APP_ID)):
            wanted = wanted.replace(name, value)
        wanted = wanted.replace("*", dice.pick(("", "x", "*", "a/b")))
        wanted = wanted.removesuffix("/") if dice.chance(20) else wanted
        region = dice.pick(("ap-guangzhou", "", region)) if "*" in region or dice.chance(30) else region
        account = (
            dice.pick(("uin/100100", "uin/100200", "")) if "*" in account or dice.chance(20) else account
        )
        service = dice.pick(tuple(world.catalog)) if "*" in service or not service else service
        service = service.swapcase() if dice.chance(10) else service
        region = region.swapcase() if dice.chance(10) else region
    else:
        service = dice.pick((*world.catalog, *world.catalog, "other", ""))
        region, account, wanted = dice.pick(REGIONS), dice.pick(ACCOUNTS), dice.pick(REQUESTED)
    return f"qcs:{dice.pick(('', 'id/0', '7'))}:{service}:{region}:{account}:{wanted}"


def a_context(dice: Dice, world: World) -> dict[str, list[str]]:
    """Some keys, mostly those of the policies, with values close to theirs, of the wrong kind, or none."""
    known = tuple(key for key in world.mentioned if key in CONTEXT_KEYS)
    keys = dice.several(known, 0, 4) if known and dice.chance(75) else dice.several(CONTEXT_KEYS, 0, 4)
    return {
        key: [a_context_value(dice, key, world.mentioned.get(key)) for _ in range(dice.number(0, 2))]
        for key in keys
    }


def a_context_value(dice: Dice, key: str, mentioned: list[str] | None) -> str:
    """A value of a key."""
    liked = {
        "cvm:region": REGION_NAMES,
        "mfa": ("0", "1"),
        "qcs:mfa": ("true", "false"),
        "qcs:BindToken": ("true", "false"),
    }
    if dice.chance(50):
        return dice.pick(
            liked.get(key, (*WORDS, *NUMBERS, *DATES, "true", "false", "10.0.0.0", "::1", *STRANGE))
        )
    value = dice.pick(mentioned or WORDS).replace("${uin}", "100101").replace("*", "x")
    value = value.lower() if value in {"True", "False"} else value
    return dice.pick((value, value, value, value.swapcase(), f"{value}0", value.partition("/")[0]))


# --- hypothesis --------------------------------------------------------------------------------------


@st.composite
def documents(draw: st.DrawFn) -> str:
    """The text of a document, good or broken."""
    dice = Dice(lambda low, high: draw(st.integers(low, high)))
    catalog = a_catalog(dice)
    return a_broken_document(dice, catalog) if dice.chance(60) else json.dumps(a_document(dice, catalog))


@st.composite
def worlds_and_calls(draw: st.DrawFn, calls: int = 6) -> tuple[World, list[Json]]:
    """A bundle and calls of it."""
    dice = Dice(lambda low, high: draw(st.integers(low, high)))
    world = a_world(dice)
    return world, [a_call(dice, world) for _ in range(calls)]


def stream(seed: int, calls: int) -> Iterable[tuple[World, list[Json]]]:
    """Bundles without end, each with so many calls; the same for the same seed."""
    while True:
        dice = seeded(seed)
        world = a_world(dice)
        yield world, [a_call(dice, world) for _ in range(calls)]
        seed += 1

"""How the oracle reads policy documents and the texts in them.

Part of `tests/oracle.py`, whose docstring lists the readings that were chosen.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

STRINGS = ("equal", "not_equal", "equal_ignore_case", "not_equal_ignore_case", "like", "not_like")
ORDERS = ("equal", "not_equal", "less_than", "less_than_equal", "greater_than", "greater_than_equal")
STRING = frozenset(f"string_{name}" for name in STRINGS)
NUMERIC = frozenset(f"numeric_{name}" for name in ORDERS)
DATE = frozenset(f"date_{name}" for name in ORDERS)
IP = frozenset({"ip_equal", "ip_not_equal"})
OPERATORS = STRING | NUMERIC | DATE | IP | {"bool_equal", "binary_equal", "null_equal"}
KEYS = {  # CAM 8.1: which operators a key takes
    "qcs:ip": IP,
    "qcs:current_time": DATE,
    "qcs:resource_tag": STRING | {"null_equal", "binary_equal"},  # DEC-57
    "qcs:request_tag": STRING | {"null_equal", "binary_equal"},
    "qcs:tag": STRING | {"null_equal", "binary_equal"},
    "qcs:read_only_action": NUMERIC,  # DEC-56
    "qcs:BindToken": frozenset({"bool_equal"}),
    "qcs:mfa": frozenset({"bool_equal"}),
    "mfa": NUMERIC | {"string_equal", "string_not_equal"},
    "qcs:uin": STRING,
    "qcs:owner_uin": STRING,
    "qcs:create_uin": frozenset({"string_equal"}),
    "qcs:vpc": STRING | {"null_equal"},
    "vpc:requester_vpc": STRING | {"null_equal"},
    "cvm_system_disk_size": OPERATORS,
    "product": OPERATORS,
}
TAGS = {"qcs:resource_tag": "resource_tags", "qcs:tag": "resource_tags", "qcs:request_tag": "request_tags"}
QUALIFIERS = frozenset({"", "for_any_value:", "for_all_value:"})
VARIABLE = re.compile(r"\$\{([^}]*)\}")
VARIABLES = frozenset({"uin", "owner_uin", "app_id", "qcs:principal_tag_key", "qcs:principal_tag_value"})
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


# --- text: stars, addresses, dates, numbers, variables ------------------------------------------------


def star(pattern: str, text: str) -> bool:
    """Whether `*` as any run of characters makes `pattern` equal `text`; all else is literal (DEC-6)."""
    ends = {0}  # where in the text what was read of the pattern can end
    for char in pattern:
        if char == "*":
            ends = set(range(min(ends, default=len(text) + 1), len(text) + 1))
        else:
            ends = {end + 1 for end in ends if text[end : end + 1] == char}
    return len(text) in ends


def address(text: str) -> Address | None:
    """One address without port, zone or prefix; a mapped one is IPv4 (DEC-24). None: it is none."""
    if not text.isascii() or "%" in text or len(text) > 45:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def inside(found: Address, cidr: str) -> bool | None:
    """Whether an address is in `addr[/prefix]`, host bits masked. None: that is no CIDR."""
    text, slash, length = cidr.partition("/")
    base = address(text)
    if base is None or (slash and re.fullmatch("0|[1-9][0-9]{0,2}", length) is None):
        return None
    bits = 128 if ":" in text else 32
    prefix = int(length) if slash else bits
    spare = bits - base.max_prefixlen  # 96 for a mapped base
    if not spare <= prefix <= bits:
        return None
    hidden = bits - prefix
    return found.version == base.version and int(found) >> hidden == int(base) >> hidden


def instant(text: str) -> Fraction | None:
    """Seconds since the epoch of the two documented forms, UTC (DEC-26). None: it is neither."""
    found = re.fullmatch(
        r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
        r"(?:T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]{1,9})?Z| ([0-9]{2}):([0-9]{2}):([0-9]{2}))",
        text,
    )
    if found is None:
        return None
    year, month, day, *clock = (part for part in found.groups() if part is not None)
    hour, minute, second = clock[:3]
    try:
        when = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None
    past = when - datetime(1970, 1, 1, tzinfo=UTC)
    return past.days * 86400 + past.seconds + Fraction(f"0{found.group(7) or ''}")


def number(text: str) -> Decimal | None:
    """A decimal number, exact. None: it is none."""
    return Decimal(text) if NUMBER.fullmatch(text) else None


def filled(text: str, variables: Mapping[str, str]) -> str | None:
    """`text` with its variables' values; None: one of them has no value (DEC-34)."""
    names = VARIABLE.findall(text)
    if any(name not in variables for name in names):
        return None
    return VARIABLE.sub(lambda found: variables[found.group(1)], text)


def well_placed(text: str) -> bool:
    """Whether every `${` in a text opens a variable that exists (DEC-33)."""
    names = VARIABLE.findall(text)
    return text.count("${") == len(names) and VARIABLES.issuperset(names)


# --- documents: reading and checking (3, 4, 5, 7, 8, 17) ----------------------------------------------


class Number(NamedTuple):
    """A JSON number, as it is spelt."""

    text: str


class Statement(NamedTuple):
    """One statement, brackets put back; condition: operator text, key, values as text."""

    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: tuple[tuple[str, str, tuple[str, ...]], ...]


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError
    return dict(pairs)


def no_constant(text: str) -> Any:
    raise ValueError(text)


def read_json(text: str) -> Any:
    """JSON with numbers as spelt; ValueError for duplicate keys, NaN, infinity, half a surrogate pair too."""
    found = json.loads(
        text,
        object_pairs_hook=without_duplicates,
        parse_int=Number,
        parse_float=Number,
        parse_constant=no_constant,
    )
    json.dumps(found, ensure_ascii=False).encode()
    return found


def elements(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The elements of an object by their lower-case names; None: two of them fold to one (DEC-4)."""
    folded = {(key.lower() if key.isascii() else key): value for key, value in found.items()}
    return folded if len(folded) == len(found) else None


def as_list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


def inner(found: Any) -> Any:
    """The document inside of an answer of the API, text or object; None: it is no such answer (CAM 3.5)."""
    if not isinstance(found, dict) or {"version", "statement"} & {key.lower() for key in found}:
        return None
    answer = found["Response"] if isinstance(found.get("Response"), dict) else found
    version, role = answer.get("PolicyVersion"), answer.get("RoleInfo")
    places = (
        answer.get("PolicyDocument"),
        version.get("Document") if isinstance(version, dict) else None,
        role.get("PolicyDocument") if isinstance(role, dict) else None,
    )
    return next((place for place in places if isinstance(place, str | dict)), None)


def document_of(text: str) -> Any:
    """The tree of a document, wherever it stands. Raises as `read_json`."""
    found = read_json(text.removeprefix("\ufeff"))
    inside = inner(found)
    if isinstance(inside, str):
        return read_json(inside)
    return found if inside is None else inside


def another_kind(document: Mapping[str, Any]) -> list[str]:
    """The code of a document that is no identity policy at all (CAM 3.5)."""
    version = document.get("version")
    if isinstance(version, str) and version in {"2012-10-17", "2008-10-17", "1"}:
        return ["VersionError"]
    if "response" in document and not document.keys() & {"version", "statement"}:
        return ["PolicyDocumentError"]
    statements = as_list(document.get("statement"))
    if not statements or not all(isinstance(one, dict) for one in statements):
        return []
    having = ["principal" in {key.lower() for key in one} for one in statements]
    return ["PrincipalError"] if "principal" in document or all(having) else []


def validate(text: str) -> list[str]:
    """The codes of 17 for what is wrong with a document, none if it loads."""
    if len(re.sub(r"\s", "", text.removeprefix("\ufeff"))) > 6144:
        return ["PolicyDocumentLengthOverLimit"]
    try:
        found = document_of(text)
    except (ValueError, RecursionError):
        return ["PolicyDocumentError"]
    document = elements(found) if isinstance(found, dict) else None
    if document is None:
        return ["PolicyDocumentError"]
    if other := another_kind(document):
        return other
    codes = [] if document.get("version") == "2.0" else ["VersionError"]
    if "principal" in document:
        codes.append("PrincipalError")
    if document.keys() - {"version", "statement", "principal", "sid", "id"}:
        codes.append("StatementError")
    statements = document.get("statement")
    if not isinstance(statements, list | dict) or statements == []:
        return [*codes, "StatementError"]
    return codes + [code for statement in as_list(statements) for code in wrong_statement(statement)]


def wrong_statement(found: Any) -> list[str]:
    if not isinstance(found, dict):
        return ["StatementError"]
    statement = elements(found)
    if statement is None:
        return ["PolicyDocumentError"]
    codes = []
    if "principal" in statement:
        codes.append("PrincipalError")
    if statement.keys() - {"effect", "action", "resource", "condition", "principal", "sid", "id"}:
        codes.append("StatementError")
    effect = statement.get("effect")
    if not isinstance(effect, str) or effect not in {"allow", "deny", "Allow", "Deny"}:
        codes.append("EffectError")
    actions = as_list(statement.get("action"))
    codes += [code for action in actions for code in wrong_action(action)] if actions else ["ActionError"]
    resources = as_list(statement.get("resource"))
    codes += [code for one in resources for code in wrong_resource(one)] if resources else ["ResourceError"]
    return codes + (wrong_condition(statement["condition"]) if "condition" in statement else [])


def wrong_action(action: Any) -> list[str]:
    """CAM 4.2, CAM 4.5 and CAM 4.6."""
    shape = r"\*|(name/)?(?!actionName)[^\s:/?]+:[^\s:?]+"
    good = isinstance(action, str) and re.fullmatch(shape, action) and "${" not in action
    return [] if good else ["ActionError"]


def wrong_resource(resource: Any) -> list[str]:
    """CAM 5.2 and CAM 9."""
    if not isinstance(resource, str):
        return ["ResourceError"]
    if resource == "*":
        return []
    parts = resource.split(":", 5)
    if len(parts) != 6 or parts[0] != "qcs" or not parts[5]:
        return ["ResourceQcsError"]
    if parts[1] not in {"", "0", "id/0"}:
        return ["ResourceProjectError"]
    misplaced = any("${" in part for part in parts[:5]) or (parts[2] == "cos" and "${" in parts[5])
    return ["ResourceContentError"] if misplaced or not well_placed(parts[5]) else []


def operator_of(text: str) -> tuple[str, str, bool] | None:
    """Qualifier, operator and whether `_if_exist` follows; None: there is no such operator (CAM 7.1)."""
    qualifier, colon, rest = text.rpartition(":")
    name = rest.removesuffix("_if_exist")
    if_exist = name != rest
    known = name in OPERATORS and not (name == "null_equal" and if_exist)
    return (qualifier, name, if_exist) if known and qualifier + colon in QUALIFIERS else None


def operators_for(key: str) -> frozenset[str]:
    """The operators that a key takes, none if there is no such key (CAM 8.1, DEC-32)."""
    base, _, tag = key.partition("/")
    if "${" in key:
        return frozenset()
    if base in TAGS and tag:
        return KEYS[base]
    if key in KEYS:
        return KEYS[key]
    known = re.fullmatch(r"(?!qcs:)[a-z0-9]+:[A-Za-z0-9_.-]+(/.+)?", key, re.DOTALL)
    return OPERATORS if known else frozenset()


def wrong_condition(condition: Any) -> list[str]:
    if condition == []:  # DEC-58
        return []
    if not isinstance(condition, dict):
        return ["ConditionError"]
    codes = []
    for text, keys in condition.items():
        operator = operator_of(text)
        if operator is None:
            codes.append("ConditionTypeError")
        if not isinstance(keys, dict) or not keys:
            codes.append("ConditionError")
            continue
        for key, wanted in keys.items():
            takes = operators_for(key)
            if not takes:
                codes.append("ConditionError")
            elif operator and operator[1] not in takes:
                codes.append("ConditionTypeError")
            codes += wrong_values(operator[1] if operator else None, wanted)
    return codes


def wrong_values(operator: str | None, wanted: Any) -> list[str]:
    values = as_list(wanted)
    if not values or any(not isinstance(value, str | bool | Number) for value in values):
        return ["ConditionError"]
    good = all(operator is None or fits(operator, value) for value in values)
    return [] if good else ["ConditionContentError"]


def fits(operator: str, value: str | bool | Number) -> bool:
    """Whether an operator can take a policy's value (CAM 7.2, CAM 7.3)."""
    text = value_text(value)
    family = operator.partition("_")[0]
    if isinstance(value, bool):
        return family in {"bool", "null"}
    if isinstance(value, Number) and family not in {"string", "numeric"}:
        return False
    if "${" in text and (family not in {"string", "numeric", "binary"} or not well_placed(text)):
        return False
    return {
        "string": not operator.endswith("_like") or "*" not in text[1:-1],
        "numeric": number(VARIABLE.sub("0", text)) is not None,
        "date": instant(text) is not None,
        "ip": inside(ipaddress.IPv4Address(0), text) is not None,
        "bool": text in {"true", "false"},
        "null": text in {"true", "false"},
        "binary": True,
    }[family]


def value_text(value: str | bool | Number) -> str:
    return json.dumps(value) if isinstance(value, bool) else getattr(value, "text", str(value))


@lru_cache(maxsize=4096)
def statements_of(text: str) -> tuple[Statement, ...]:
    """The statements of a document that loads."""
    document = elements(document_of(text)) or {}
    return tuple(map(read_statement, as_list(document["statement"])))


def read_statement(found: Mapping[str, Any]) -> Statement:
    statement = elements(found) or {}
    condition = (
        (operator, key, tuple(value_text(value) for value in as_list(wanted)))
        for operator, keys in (statement.get("condition") or {}).items()
        for key, wanted in keys.items()
    )
    actions, resources = as_list(statement["action"]), as_list(statement["resource"])
    return Statement(statement["effect"].lower(), tuple(actions), tuple(resources), tuple(condition))

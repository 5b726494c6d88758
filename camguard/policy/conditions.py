"""The condition element: read when a policy is loaded, evaluated per call (CAM 7).

Rule 1: a clause on a key that is not supplied is unknown, also with `_if_exist`. A clause on a key that is
        supplied and absent is False, or True with `_if_exist` (CAM 7.5, DEC-30).
Rule 2: a comparison with a value that is not of the operator's type is unknown (U2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from camguard.errors import Problem
from camguard.ipset import IpSet
from camguard.policy.keys import REGION, known_keys, operators_of
from camguard.policy.model import Clause, Qualifier
from camguard.policy.operators import OPERATORS, Kind, Operator
from camguard.policy.patterns import Bindings, fill, read_template
from camguard.policy.resources import REGION_ALIASES
from camguard.policy.values import Truth, all_of, any_of, negate
from camguard.strict_json import Number, child
from camguard.suggest import nearest

_IF_EXIST = "_if_exist"
_BOOLEANS = (Kind.BOOL, Kind.NULL)  # operators that take a JSON boolean (DEC-23)
_NUMBERS = (Kind.NUMERIC, Kind.STRING)  # operators that take a JSON number, as its text
_WHOLE_TEXTS = ("string_equal", "string_not_equal")
_VARIABLES = (Kind.STRING, Kind.BINARY, Kind.NUMERIC)  # operators that take a variable (DEC-33)


def read_condition(raw: Any, at: str) -> Iterator[Clause | Problem]:
    """Yield each clause of a condition, or a problem in its place. at: the place of the condition."""
    if raw == []:
        return  # an empty list is no condition, as an empty object is (DEC-58)
    if not isinstance(raw, dict):
        yield Problem(at, "ConditionError", "condition is not an object")
        return
    for text, keys in raw.items():
        here = child(at, text)
        found = _read_operator(text)
        if isinstance(found, str):
            yield Problem(here, "ConditionTypeError", found)
        elif not isinstance(keys, dict) or not keys:
            yield Problem(here, "ConditionError", f"{text!r} is not an object of condition keys")
        else:
            for key, values in keys.items():
                yield from _read_clause(text, found, key, values, child(here, key))


def _read_operator(text: str) -> tuple[Operator, Qualifier, bool] | str:
    qualifier, colon, name = text.rpartition(":")
    if colon and qualifier not in (Qualifier.ANY, Qualifier.ALL):
        return f"unknown qualifier {qualifier!r}; use for_any_value: or for_all_value:"
    bare = name.removesuffix(_IF_EXIST)
    found = OPERATORS.get(bare)
    if found is None:
        return f"unknown operator {name!r}{nearest(bare, OPERATORS)}"
    if found.kind is Kind.NULL and bare != name:
        return "null_equal cannot be combined with _if_exist"
    return found, Qualifier(qualifier), bare != name


def _read_clause(
    text: str, found: tuple[Operator, Qualifier, bool], key: str, raw: Any, at: str
) -> Iterator[Clause | Problem]:
    operator, qualifier, if_exist = found
    allowed = operators_of(key)
    if allowed is None:
        yield Problem(at, "ConditionError", f"unknown condition key {key!r}{nearest(key, known_keys())}")
        return
    if operator.name not in allowed:
        yield Problem(at, "ConditionTypeError", f"{operator.name} does not apply to {key}")
        return
    listed = isinstance(raw, list)
    items = raw if listed else [raw]
    if not items:
        yield Problem(at, "ConditionError", f"{key} has an empty list of values")
    values: list[str] = []
    wanted: list[Any] = []
    for i, item in enumerate(items):
        here = child(at, i) if listed else at
        read = _read_value(operator, item, here)
        if isinstance(read, Problem):
            yield read
        else:
            values.append(read[0])
            wanted.append(read[1])
    if len(wanted) == len(items) and items:
        addresses = IpSet.of_ranges(wanted) if operator.kind is Kind.IP else None
        given = tuple(values), tuple(wanted)
        yield Clause(text, operator, qualifier, if_exist, key, *given, addresses, at, listed)


def _read_value(operator: Operator, item: Any, at: str) -> tuple[str, Any] | Problem:
    """Return a value as text and as the operator reads it, or the problem with it."""
    if isinstance(item, bool) and operator.kind in _BOOLEANS:
        text = "true" if item else "false"
    elif isinstance(item, Number) and operator.kind not in _NUMBERS:
        message = f"{operator.name} does not take a JSON number such as {item}"
        return Problem(at, "ConditionContentError", message)
    elif isinstance(item, str):
        text = str(item)
    elif isinstance(item, (list, dict)) or item is None:
        return Problem(
            at,
            "ConditionError",
            "a value must not be null, a list or an object",
        )
    else:
        return Problem(at, "ConditionContentError", f"{operator.name} does not take a JSON boolean")
    template = read_template(text)
    if template is None or (isinstance(template, tuple) and operator.kind not in _VARIABLES):
        message = f"{text!r} contains a variable that does not exist or is not allowed here"
        return Problem(at, "ConditionContentError", message)
    if isinstance(template, tuple):
        # The text around a variable must suit the operator for every value of it; digits are tried.
        fitting = operator.want("0".join(template[::2])) is not None
        want: Any = template
    else:
        want = operator.want(text)
        fitting = want is not None
    if not fitting:
        return Problem(at, "ConditionContentError", f"{text!r} is not a value for {operator.name}")
    return text, want


def clause_truth(clause: Clause, have: Sequence[Any] | None, bindings: Bindings) -> Truth:
    """Return whether one clause holds for the values of its key (CAM 7.6).

    have: the key's values: text, an `int` place for qcs:ip, a `float` of seconds since the epoch for
        qcs:current_time. Empty: the key is supplied and absent. None: the key is not supplied (U1).
    """
    if have is None:
        return None
    if clause.operator.kind is Kind.NULL:
        return any_of(clause.operator.holds(not have, wanted) for wanted in clause.wanted)
    if not have:
        return clause.if_exist  # for_all_value of no value is False, not vacuously True (DEC-29, DEC-63)
    each = [_value_truth(clause, value, bindings) for value in have]
    if clause.qualifier is Qualifier.ANY:
        return any_of(each)
    if clause.qualifier is Qualifier.ALL:
        return all_of(each)
    found = set(each)
    return found.pop() if len(found) == 1 else None  # DEC-28


def _value_truth(clause: Clause, value: Any, bindings: Bindings) -> Truth:
    operator = clause.operator
    if isinstance(value, str):
        value = operator.read(value)
    if value is None:
        return None
    # The union of all address ranges, so that one bisection is enough for any number of them.
    each = clause.wanted if clause.addresses is None else (clause.addresses,)
    if clause.key.endswith(REGION) and value in _OTHER_SPELLINGS:
        truth = any_of(_holds_in_region(operator, value, wanted, bindings) for wanted in each)
    else:
        truth = any_of(_holds(operator, value, wanted, bindings) for wanted in each)
    return negate(truth) if operator.negated else truth  # NOR: DEC-27


def _holds(operator: Operator, value: Any, wanted: Any, bindings: Bindings) -> Truth:
    if isinstance(wanted, tuple):
        text = fill(wanted, bindings)
        wanted = None if text is None else operator.want(text)
        if wanted is None:
            return None  # DEC-34
    return operator.holds(value, wanted)


# A region by each of its spellings -> the others: `ap-guangzhou` -> `gz`, and the reverse (DEC-16).
_LONG_NAMES = dict(REGION_ALIASES) | {region: region for region in REGION_ALIASES.values()}
_OTHER_SPELLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        one: tuple(other for other, long in _LONG_NAMES.items() if long == region and other != one)
        for one, region in _LONG_NAMES.items()
    }
)


def _holds_in_region(operator: Operator, region: str, wanted: Any, bindings: Bindings) -> Truth:
    """Compare a region with one wanted value, which may be an old code or match one (DEC-64).

    An old code stands for its region as a whole value of `string_equal` and `string_not_equal`. In another
    operator it is not known whether it does.
    """
    truth = _holds(operator, region, wanted, bindings)
    if truth is not False:
        return truth
    found = any_of(_holds(operator, other, wanted, bindings) for other in _OTHER_SPELLINGS[region])
    return found if found is False or operator.name in _WHOLE_TEXTS else None

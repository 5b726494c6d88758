"""Finds one call for an answer that depends on conditions: a call that passes, or one that is refused.

Theory of operation. An answer names all conditions that it depends on. For each thing that they ask about
(the resource, one tag, one further key), a few values make each condition true and false: the values in the
policies, values beside them, "absent" and "not supplied". The values are combined, first those that meet the
conditions of one alternative of each need, and each combination is decided as a call.

Rule 1: a call that is returned was decided by the evaluator, so it is never a wrong example.
Rule 2: the number of combinations is bounded. None means that no call was found; one may exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import chain, combinations, islice, product
from typing import Any, Final, NamedTuple, TypeAlias

from camguard.analysis.answers import Answer, Condition
from camguard.catalog.model import SEGMENTS, segments
from camguard.engine.attributes import ActionTraits, bindings_of
from camguard.engine.call import Call
from camguard.engine.evaluator import Evaluator
from camguard.grammar import placeholders
from camguard.ipset import EVERY_ADDRESS, format_address
from camguard.policy.conditions import clause_truth
from camguard.policy.keys import REQUEST_TAG, RESOURCE_TAG, RESOURCE_TAGS, TAGS
from camguard.policy.model import Clause, Effect, Qualifier, ResourcePattern
from camguard.policy.operators import Kind
from camguard.policy.patterns import STAR, Bindings, fill
from camguard.policy.resources import Owner, match_resources
from camguard.policy.values import Truth, read_number

Values: TypeAlias = tuple[str, ...] | None  # of one key; empty: absent, None: not supplied

MOST_GOALS: Final = 64  # sets of conditions that are aimed at
MOST_CALLS: Final = 512  # that are decided for one goal
_SOMETHING: Final = "x"  # stands for any text
_SOME_REGION: Final = "ap-guangzhou"
_RESOURCE: Final = "resource"  # the key of conditions on the resource and its account


class _Unknown(NamedTuple):
    """One thing that the conditions ask about, and the values that are tried, the simplest first.

    name: `resource`, a tag as `qcs:resource_tag/env`, or a further condition key.
    """

    name: str
    values: tuple[Any, ...]


def find_call(
    evaluator: Evaluator,
    call: Call,
    answers: Iterable[tuple[Answer, str]],
    wanted: Callable[[Call], bool],
) -> Call | None:
    """Return a call that is wanted, in the place and at the time of another call.

    call: with principal, action, address and time; its resources are those of the question, or empty where
    the question leaves them open. answers: what access sets say of this place and time, each with the
    principal whose variables it has. wanted: decides whether a call is looked for; it is given calls that
    differ in what the answers depend on.
    """
    owner = evaluator.owner
    fixed = call.resources
    usual = (fixed and fixed[0]) or some_resource(evaluator.traits(call.action), owner)
    plain = call._replace(resources=(usual,))
    if wanted(plain):
        return plain
    answers = tuple(answers)
    conditions = tuple(dict.fromkeys(each for answer, _ in answers for each in answer.conditions()))
    bindings = [bindings_of(principal, owner) for principal in dict.fromkeys(who for _, who in answers)]
    values_of: dict[str, dict[Any, None]] = {}
    for unknown in chain.from_iterable(
        _unknowns(conditions, usual, each, owner, fixed=bool(fixed)) for each in bindings
    ):
        values_of.setdefault(unknown.name, {}).update(dict.fromkeys(unknown.values))
    goals = ((goal, principal) for answer, principal in answers for goal in _goals(answer))
    for goal, principal in islice(goals, MOST_GOALS):
        variables = bindings_of(principal, owner)
        fitting = [
            [value for value in values if _meets(goal, name, value, variables, owner)]
            for name, values in values_of.items()
        ]
        for values in islice(product(*fitting), MOST_CALLS):
            tried = _with(plain, dict(zip(values_of, values, strict=True)))
            if wanted(tried):
                return tried
    return None


def some_resource(traits: ActionTraits | None, owner: Owner) -> str:
    """Return a resource that a call of an action may have: `*` where the action is not resource level."""
    template = traits.resource_template if traits else None
    parts = segments(template) if template is not None else None
    if parts is None:
        return STAR
    path = parts[5]
    for found in reversed(list(placeholders(path))):
        path = path[: found.start] + _SOMETHING + path[found.end :]
    return f"qcs::{parts[2]}:{_SOME_REGION}:uin/{owner.uin}:{path.replace(STAR, _SOMETHING)}"


def _goals(answer: Answer) -> Iterator[frozenset[Condition]]:
    """Yield sets of conditions to make true: those that meet all needs, none, and those of each deny."""
    for chosen in product(*(need.alternatives for need in answer.needs)):
        yield frozenset(condition for each in chosen for condition in each.conditions)
    yield frozenset()
    yield from (frozenset(each.conditions) for each in answer.unless)


def _meets(goal: Iterable[Condition], name: str, value: Any, bindings: Bindings, owner: Owner) -> bool:
    """Return whether a value makes those conditions of a goal true that are about it alone."""
    about = (condition for condition in goal if _current(condition.key) == name)
    return all(truth_of(condition, value, bindings, owner) is True for condition in about)


def _current(key: str) -> str:
    """Return a key by the present name of the tags of resources."""
    base, slash, name = key.partition("/")
    return f"{RESOURCE_TAG}{slash}{name}" if base in RESOURCE_TAGS else key


def truth_of(condition: Condition, value: Any, bindings: Bindings, owner: Owner) -> Truth:
    """Return whether a condition holds for a value: the text of a resource, or the `Values` of its key."""
    if condition.kind == "owner":
        return owner.owns(value)
    if condition.clause is not None:
        return clause_truth(condition.clause, value, bindings)
    _, (found,) = match_resources((value,), [(condition.patterns, Effect.ALLOW)], owner, bindings)
    return bool(found.true)


def _with(call: Call, values: Mapping[str, Any]) -> Call:
    """Return a call with values: the resource, tags by `qcs:resource_tag/NAME`, further keys."""
    tags: dict[str, dict[str, str]] = {}
    context: dict[str, tuple[str, ...]] = {}
    for name, value in values.items():
        base, _, tag = name.partition("/")
        if name == _RESOURCE:
            call = call._replace(resources=(value,))
        elif value is not None and base in TAGS:
            tags.setdefault(base, {}).update((tag, text) for text in value)
        elif value is not None:
            context[name] = value
    return call._replace(
        resource_tags=tags.get(RESOURCE_TAG), request_tags=tags.get(REQUEST_TAG), context=context or None
    )


# --- the values that are tried --------------------------------------------------------------------------


def _unknowns(
    conditions: Sequence[Condition], usual: str, bindings: Bindings, owner: Owner, *, fixed: bool
) -> Iterator[_Unknown]:
    patterns = [pattern for each in conditions for pattern in each.patterns]
    if not fixed and any(each.key == _RESOURCE for each in conditions):
        yield _Unknown(_RESOURCE, tuple(dict.fromkeys(_resources(patterns, usual, bindings, owner))))
    clauses: dict[str, list[Clause]] = {}
    for clause in (each.clause for each in conditions if each.clause is not None):
        for name in _names(clause, bindings):
            clauses.setdefault(name, []).append(clause)
    for name, about in clauses.items():
        yield _Unknown(name, tuple(dict.fromkeys(_values(name, about, bindings))))


def _resources(
    patterns: Iterable[ResourcePattern], usual: str, bindings: Bindings, owner: Owner
) -> Iterator[str]:
    yield usual
    named = usual if usual != STAR else f"qcs::{_SOMETHING}:{_SOME_REGION}:uin/{owner.uin}:{_SOMETHING}"
    _, _, own_service, own_region, own_account, own_path = named.split(":", SEGMENTS - 1)
    for pattern in patterns:
        path = fill(pattern.path, bindings)
        if path is None:
            continue
        service = pattern.service.replace(STAR, "") or own_service
        region = pattern.region.replace(STAR, "") or _SOME_REGION
        account = owner.account(pattern.account) or pattern.account
        for star in (_SOMETHING, ""):
            yield f"qcs::{service}:{region}:{account}:{path.replace(STAR, star)}"
    yield f"qcs::{own_service}:{own_region}:{own_account}:other/{_SOMETHING}"
    yield f"qcs::{own_service}:{own_region}:uin/1:{own_path}"  # of another account


def _names(clause: Clause, bindings: Bindings) -> Iterator[str]:
    """Yield what a clause is about: its key, or each tag that the values of a tag key without a name name."""
    if clause.key not in TAGS:
        yield _current(clause.key)
        return
    named = dict.fromkeys(_parted(text)[0] for text in _filled(clause, bindings) if "&" in text)
    yield from (f"{_current(clause.key)}/{name}" for name in named or (_SOMETHING,))


def _parted(text: str) -> tuple[str, str]:
    """Return the name of a tag and its value, of a value of a tag key without a name."""
    name, _, value = text.partition("&")
    return name.replace(STAR, _SOMETHING), value


def _values(name: str, clauses: Iterable[Clause], bindings: Bindings) -> Iterator[Values]:
    clauses = tuple(clauses)
    yield None
    texts = tuple(dict.fromkeys(chain.from_iterable(_texts(name, clause, bindings) for clause in clauses)))
    kinds = {clause.operator.kind for clause in clauses}
    others = ("true", "false") if kinds == {Kind.BOOL} else ("0",) if Kind.NUMERIC in kinds else (_SOMETHING,)
    texts = tuple(dict.fromkeys((*texts, *others)))
    yield from ((text,) for text in texts)
    yield ()
    several = any(clause.qualifier is not Qualifier.NONE for clause in clauses)
    if several and name.partition("/")[0] not in TAGS:
        yield from combinations(texts[:8], 2)


def _texts(name: str, clause: Clause, bindings: Bindings) -> Iterator[str]:
    """Yield texts on both sides of each value of a clause."""
    kind = clause.operator.kind
    if clause.addresses is not None:
        yield from map(format_address, clause.addresses.starts)
        yield from map(format_address, (EVERY_ADDRESS - clause.addresses).starts[:1])
    elif kind is Kind.DATE:
        yield from chain.from_iterable(map(_instants, clause.values, clause.wanted))
    elif kind is Kind.NUMERIC:
        yield from chain.from_iterable(map(_numbers, _filled(clause, bindings)))
    elif clause.key in TAGS:
        pairs = map(_parted, _filled(clause, bindings))
        about = (value for tag, value in pairs if f"{_current(clause.key)}/{tag}" == name)
        yield from chain.from_iterable(map(_plain, about))
    elif kind is not Kind.NULL:
        yield from chain.from_iterable(map(_plain, _filled(clause, bindings)))


def _filled(clause: Clause, bindings: Bindings) -> Iterator[str]:
    """Yield the values of a clause with those of their variables; none where a variable has no value."""
    for written, wanted in zip(clause.values, clause.wanted, strict=True):
        text = fill(wanted, bindings) if isinstance(wanted, tuple) else written
        if text is not None:
            yield text


def _numbers(text: str) -> Iterator[str]:
    number = read_number(text)
    if number is not None:
        yield from (text, str(number + 1), str(number - 1))


def _instants(text: str, instant: int | Fraction) -> Iterator[str]:
    yield text
    for step in (1, -1):
        with suppress(OverflowError):  # there is no second before the first one, and none behind the last one
            moment = datetime.fromtimestamp(int(instant), UTC) + timedelta(seconds=step)
            yield f"{moment.replace(tzinfo=None).isoformat()}Z"


def _plain(text: str) -> Iterator[str]:
    yield text.replace(STAR, "") or _SOMETHING
    yield text.replace(STAR, _SOMETHING)

"""What another entry of a list, or another statement, already covers (CG210, CG308, CG309, CG501 to CG503).

Rule 1: something is called covered only where the texts prove it, whatever the catalog will contain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from camguard.lint.codes import Finding, found
from camguard.lint.statement_view import StatementView
from camguard.policy.model import ActionPattern, Clause, Effect, ResourcePattern, Statement
from camguard.policy.patterns import STAR, star_match

_VERBS = {Effect.ALLOW: "allows", Effect.DENY: "denies"}


def actions(view: StatementView) -> Iterator[Finding]:
    """Find actions that another entry of the same list covers."""
    patterns = view.statement.actions
    if len(patterns) == 1:
        return
    first: dict[tuple[str, str], int] = {}
    for i, pattern in enumerate(patterns):
        first.setdefault((pattern.service, pattern.name), i)
    broad = [(i, pattern) for i, pattern in enumerate(patterns) if STAR in pattern.name]
    for i, pattern in enumerate(patterns):
        where = pattern.where
        if first[pattern.service, pattern.name] != i:
            yield found("CG210", where, f"{pattern.text!r} is already listed")
            continue
        for j, wide in broad:
            covered = names_all(wide, pattern) and (j < i or not names_all(pattern, wide))
            if i != j and covered and not _names_the_service(view, pattern):
                yield found("CG210", where, f"{wide.text!r} already covers {pattern.text!r}")
                break


def _names_the_service(view: StatementView, pattern: ActionPattern) -> bool:
    """Tell whether an entry of a deny on resources names a service of which only names are known (DEC-67).

    Such an entry blocks where `*` beside it would not.
    """
    deny_on_resources = not view.allows and bool(view.statement.patterns)
    return deny_on_resources and bool(view.names(pattern).either & view.catalog.names_only)


def resources(view: StatementView) -> Iterator[Finding]:
    """Find resources that another entry of the list covers, and those that end with a slash."""
    patterns = view.statement.patterns
    listed: set[str] = set()
    for pattern in patterns:
        text, where = pattern.text, pattern.where
        if text in listed:
            yield found("CG308", where, f"{text!r} is already listed")
            continue
        listed.add(text)
        wide = next((p for p in patterns if p.text != text and reaches_all(p, pattern)), None)
        if wide:
            yield found("CG308", where, f"{wide.text!r} already covers {text!r}")
        if text.endswith("/"):
            reach = "only exactly this resource is allowed" if view.allows else "everything below is denied"
            yield found("CG309", where, f"{text!r} ends with a slash, so {reach}", f"{text}*")


def everything(view: StatementView) -> Iterator[Finding]:
    """Find `*` on `*` without a condition."""
    statement = view.statement
    star = any((p.service, p.name) == (STAR, STAR) for p in statement.actions)
    if view.allows and star and statement.any_resource and not statement.condition:
        message = "every action is allowed on every resource, without a condition"
        yield found("CG501", view.statement.where, message)


def statements(views: Sequence[StatementView]) -> Iterator[Finding]:
    """Find statements that another statement of the same document covers or cancels."""
    for i, view in enumerate(views):
        narrow = view.statement
        for j, other in enumerate(views):
            wide = other.statement
            cancels = wide.effect is not narrow.effect
            # Most pairs end at the first two tests, which are quick.
            if (
                i == j
                or not _could_cover(other, view)
                or (cancels and narrow.effect is Effect.DENY)
                or not covers(wide, narrow)
                or (not cancels and i < j and covers(narrow, wide))
            ):
                continue
            does, same = _VERBS[wide.effect], _VERBS[narrow.effect]
            message = f"{wide.id} already {does} everything that this statement {same}"
            yield found("CG503" if cancels else "CG502", view.statement.where, message)
            break


def _could_cover(wide: StatementView, narrow: StatementView) -> bool:
    return not narrow.named.either & ~wide.named.either and not (
        wide.statement.condition and not narrow.statement.condition
    )


def covers(wide: Statement, narrow: Statement) -> bool:
    """Tell whether one statement applies wherever another one does."""
    return (
        all(any(_covers_action(p, action, wide.effect) for p in wide.actions) for action in narrow.actions)
        and _covers_resources(wide, narrow)
        and all(any(_implies(own, clause) for own in narrow.condition) for clause in wide.condition)
    )


def _covers_action(wide: ActionPattern, narrow: ActionPattern, effect: Effect) -> bool:
    if (wide.service, wide.name) == (narrow.service, narrow.name):
        return effect is Effect.DENY or STAR not in wide.service or wide.service == wide.name == STAR
    return names_all(wide, narrow)


def names_all(wide: ActionPattern, narrow: ActionPattern) -> bool:
    """Tell whether one pattern certainly names whatever another one names, judged by their texts.

    A wildcard of the narrow pattern is literal text to the wide one, so only a wildcard can match it.
    """
    if wide.name == STAR and wide.service in (STAR, narrow.service):
        return True
    if STAR in wide.service or narrow.name == STAR:  # only `*` itself grants a service as a whole (DEC-46)
        return False
    return wide.service == narrow.service and star_match(wide.name, narrow.name)


def _covers_resources(wide: Statement, narrow: Statement) -> bool:
    if wide.any_resource:
        return True
    if narrow.any_resource:
        return False
    if Effect.DENY in (wide.effect, narrow.effect):
        # For actions without resources, what a deny reaches depends on all of its actions (CAM 11.3).
        same = {(p.service, p.name) for p in wide.actions} == {(p.service, p.name) for p in narrow.actions}
        return same and {p.text for p in narrow.patterns} <= {p.text for p in wide.patterns}
    return all_reached(wide.patterns, narrow.patterns)


def all_reached(wide: Sequence[ResourcePattern], narrow: Iterable[ResourcePattern]) -> bool:
    """Tell whether each pattern of one list stands in another one, or is reached by a pattern of it."""
    texts = {pattern.text for pattern in wide}
    return all(each.text in texts or any(reaches_all(by, each) for by in wide) for each in narrow)


def reaches_all(wide: ResourcePattern, narrow: ResourcePattern) -> bool:
    """Tell whether one pattern certainly matches whatever another one matches, judged by their texts."""
    if not isinstance(wide.path, str) or not isinstance(narrow.path, str):
        return False
    return (
        wide.service in ("", STAR, narrow.service)
        and wide.region in ("", STAR, narrow.region)
        and wide.account == narrow.account
        and STAR in wide.path
        and star_match(wide.path, narrow.path)
        and (wide.path != narrow.path or (wide.service, wide.region) != (narrow.service, narrow.region))
        and not (narrow.service in ("", STAR) and wide.service not in ("", STAR))
    )


def _implies(narrow: Clause, wide: Clause) -> bool:
    """Tell whether one clause is true only where another one is."""
    if (narrow.text, narrow.key) != (wide.text, wide.key):
        return False
    if frozenset(narrow.values) == frozenset(wide.values):
        return True
    if narrow.addresses is None or wide.addresses is None:
        return False
    if narrow.operator.negated:
        return wide.addresses <= narrow.addresses
    return narrow.addresses <= wide.addresses

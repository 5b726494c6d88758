"""Patterns that name exactly some actions, so that a person need not read hundreds of names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from camguard.suggest import verb_of

_LEAST = 3  # actions for which a pattern is shorter than their names


def patterns_of(actions: Iterable[str], every: Collection[str]) -> Iterator[str]:
    """Yield patterns and names that together name some actions and no other one of `every`.

    A whole service is `service:*`; all actions of a service that have one verb are `service:Verb*`.

    >>> read = ["a:GetX", "a:GetY", "a:GetZ"]
    >>> list(patterns_of([*read, "a:SetX"], [*read, "a:SetX", "a:SetY"]))
    ['a:Get*', 'a:SetX']
    """
    wanted = sorted(actions)
    left = set(wanted)
    for action in wanted:
        if action not in left:
            continue
        service, _, name = action.partition(":")
        for pattern in (f"{service}:", f"{service}:{name[: len(verb_of(name))]}"):
            named = {each for each in every if each.startswith(pattern)}
            if len(named) >= _LEAST and named <= left:
                left -= named
                yield f"{pattern}*"
                break
        else:
            left.discard(action)
            yield action

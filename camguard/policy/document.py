"""From the text of a policy to a `Policy`, whole or not at all (cam-semantics 3, 17).

Rule 1: nothing is skipped. An unknown element, key, operator or value rejects the document, because what
        is skipped could have been the part that denies (threats T85).
Rule 2: every problem is listed, each with its JSON Pointer and the cloud's own code for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import PurePath
from typing import Any

from camguard.errors import PolicyError, Problem
from camguard.policy.actions import read_action
from camguard.policy.conditions import read_condition
from camguard.policy.model import ActionPattern, Clause, Effect, Policy, ResourcePattern, Statement
from camguard.policy.resources import read_resource
from camguard.policy.star import STAR
from camguard.strict_json import Number, child, is_text, read_json
from camguard.suggest import nearest

MAX_CHARACTERS = 6144  # white space not counted (3.4, DEC-5)
_EFFECTS = {"allow": Effect.ALLOW, "Allow": Effect.ALLOW, "deny": Effect.DENY, "Deny": Effect.DENY}
_POLICY_ELEMENTS = ("version", "statement", "principal", "id", "sid")
_STATEMENT_ELEMENTS = ("effect", "action", "resource", "condition", "principal", "id", "sid")
_FORBIDDEN_PRINCIPAL = "principal may not stand in a policy of users, groups or roles"


def parse_policy(text: str | bytes, source: str = "policy") -> Policy:
    """Return one CAM document, parsed.

    source: a file name; its stem is the policy's id.
    Raises PolicyError that lists every problem, placed as `source#/statement/0/action/1`.
    Source: cam-semantics 3 and 17.
    """
    identity = PurePath(source).stem
    raw = read_json(text, source, PolicyError, "PolicyDocumentError")
    found = list(_read_document(raw, identity, source))
    problems = [item for item in found if isinstance(item, Problem)]
    plain = text.decode() if isinstance(text, bytes) else text
    size = len("".join(plain.split()))
    if size > MAX_CHARACTERS:
        message = f"has {size} characters besides white space; {MAX_CHARACTERS} are allowed"
        problems.insert(0, Problem(source, "PolicyDocumentLengthOverLimit", message))
    if problems:
        raise PolicyError(*problems)
    return Policy(identity, source, tuple(item for item in found if isinstance(item, Statement)), plain)


def _fold(raw: dict[str, Any], at: str, known: tuple[str, ...]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the elements under their lower-case names, and what is unknown or stands twice (DEC-4)."""
    elements: dict[str, Any] = {}
    problems = []
    for written, value in raw.items():
        name = written.lower()
        if name not in known:
            problems.append(
                Problem(
                    child(at, written), "StatementError", f"unknown element {written!r}{nearest(name, known)}"
                )
            )
        elif name in elements:
            problems.append(
                Problem(child(at, written), "PolicyDocumentError", f"element {name!r} stands twice")
            )
        elements[name] = value
    return elements, problems


def _read_document(raw: Any, identity: str, source: str) -> Iterator[Statement | Problem]:
    top = f"{source}#"
    if not isinstance(raw, dict):
        yield Problem(source, "PolicyDocumentError", "the document is not an object")
        return
    elements, problems = _fold(raw, top, _POLICY_ELEMENTS)
    yield from problems
    version = elements.get("version")
    if version != "2.0" or isinstance(version, Number):
        yield Problem(f"{top}/version", "VersionError", 'version is not "2.0"')
    if "principal" in elements:
        yield Problem(f"{top}/principal", "PrincipalError", _FORBIDDEN_PRINCIPAL)  # DEC-17
    statements = elements.get("statement")
    if isinstance(statements, dict):
        statements = [statements]  # DEC-3
        places = [f"{top}/statement"]
    elif isinstance(statements, list) and statements:
        places = [f"{top}/statement/{i}" for i in range(len(statements))]
    else:
        yield Problem(f"{top}/statement", "StatementError", "statement is missing, empty or no list")
        return
    for i, (statement, at) in enumerate(zip(statements, places, strict=True)):
        yield from _read_statement(statement, f"{identity}#{i}", at)


def _read_statement(raw: Any, identity: str, at: str) -> Iterator[Statement | Problem]:
    if not isinstance(raw, dict):
        yield Problem(at, "StatementError", "the statement is not an object")
        return
    elements, problems = _fold(raw, at, _STATEMENT_ELEMENTS)
    effect = _EFFECTS.get(str(elements.get("effect")))
    if effect is None:
        written = elements.get("effect")
        problems.append(
            Problem(f"{at}/effect", "EffectError", f"effect is {written!r}, not 'allow' or 'deny'")
        )
    if "principal" in elements:
        problems.append(Problem(f"{at}/principal", "PrincipalError", _FORBIDDEN_PRINCIPAL))
    actions = _read_actions(elements, at, problems)
    any_resource, patterns = _read_resources(elements, at, problems)
    clauses = _read_clauses(elements, at, problems)
    if effect is None or problems:
        yield from problems
    else:
        yield Statement(identity, effect, actions, any_resource, patterns, clauses, at)


def _read_actions(elements: dict[str, Any], at: str, problems: list[Problem]) -> tuple[ActionPattern, ...]:
    actions = []
    for text, where in _strings(elements, "action", at, problems):
        action = read_action(text)
        if isinstance(action, str):
            problems.append(Problem(where, "ActionError", f"{text!r} {action}"))
        else:
            actions.append(action)
    return tuple(actions)


def _read_resources(
    elements: dict[str, Any], at: str, problems: list[Problem]
) -> tuple[bool, tuple[ResourcePattern, ...]]:
    any_resource = False
    patterns = []
    for text, where in _strings(elements, "resource", at, problems):
        resource = None if text == STAR else read_resource(text)
        if resource is None:
            any_resource = True
        elif isinstance(resource, tuple):
            problems.append(Problem(where, resource[0], f"{text!r} {resource[1]}"))
        else:
            patterns.append(resource)
    return any_resource, tuple(patterns)


def _read_clauses(elements: dict[str, Any], at: str, problems: list[Problem]) -> tuple[Clause, ...]:
    clauses = []
    for item in read_condition(elements.get("condition", {}), f"{at}/condition"):  # {} is none (DEC-54)
        if isinstance(item, Clause):
            clauses.append(item)
        else:
            problems.append(item)
    return tuple(clauses)


def _strings(
    elements: dict[str, Any], name: str, at: str, problems: list[Problem]
) -> Iterator[tuple[str, str]]:
    """Yield each text of a one-or-many element with its place (3.1: brackets may be dropped)."""
    wrong = partial(Problem, code=f"{name.capitalize()}Error")
    raw = elements.get(name)
    if is_text(raw):
        yield raw, f"{at}/{name}"
    elif isinstance(raw, list) and raw:
        for i, item in enumerate(raw):
            where = f"{at}/{name}/{i}"
            if is_text(item):
                yield item, where
            else:
                problems.append(wrong(where, message="is not a string"))
    else:
        problems.append(wrong(f"{at}/{name}", message=f"{name} is missing, empty or no string"))

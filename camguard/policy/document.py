"""Reads a policy document into a `Policy`, as a whole or not at all (CAM 3 and 17).

Rule 1: nothing is skipped. An unknown element, key, operator or value rejects the document, because the
        skipped part could be the one that denies (T85).
Rule 2: every problem is listed, each with its JSON Pointer and with the code that the cloud uses for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

from camguard.errors import PolicyError, Problem
from camguard.policy.actions import read_action
from camguard.policy.conditions import read_condition
from camguard.policy.model import ActionPattern, Clause, Effect, Policy, ResourcePattern, Statement
from camguard.policy.patterns import STAR
from camguard.policy.resources import read_resource
from camguard.strict_json import Number, child, is_text, read_json
from camguard.suggest import nearest

MAX_CHARACTERS = 6144  # white space not counted (CAM 3.4, DEC-5)
_EFFECTS = {"allow": Effect.ALLOW, "Allow": Effect.ALLOW, "deny": Effect.DENY, "Deny": Effect.DENY}
_POLICY_ELEMENTS = ("version", "statement", "principal", "id", "sid")
_STATEMENT_ELEMENTS = ("effect", "action", "resource", "condition", "principal", "id", "sid")
_FORBIDDEN_PRINCIPAL = "principal is not allowed in a policy that is attached to users, groups or roles"


class Document(NamedTuple):
    """A policy, and the JSON tree that it was read from.

    tree: for lint, which reports capital letters and single values. No decision needs it, so the policy does
        not keep it.
    """

    policy: Policy
    tree: dict[str, Any]


def parse_policy(text: str | bytes, source: str = "policy") -> Policy:
    """Return the policy that one CAM document describes.

    source: a file name; its stem becomes the policy's id.
    Raises PolicyError that lists every problem, each placed as `source#/statement/0/action/1`.
    Source: CAM 3 and 17.
    """
    return parse_document(text, source).policy


def parse_document(text: str | bytes, source: str = "policy") -> Document:
    """Return the policy that one CAM document describes, and its tree. Otherwise as `parse_policy`."""
    tree = read_json(text, source, PolicyError, "PolicyDocumentError")
    plain = text.decode() if isinstance(text, bytes) else text
    return Document(_policy(tree, source, len("".join(plain.split()))), tree)


def policy_from_tree(tree: Any, source: str = "policy") -> Policy:
    """Return the policy in a part of a document that `read_json` has read, e.g. a session policy.

    Arguments, errors and bounds are those of `parse_policy`.
    """
    return _policy(tree, source, _characters(tree))


def _policy(tree: Any, source: str, size: int) -> Policy:
    identity = PurePath(source).stem
    found = list(_read_document(tree, identity, source))
    problems = [item for item in found if isinstance(item, Problem)]
    if size > MAX_CHARACTERS:
        message = f"has {size} characters besides white space; {MAX_CHARACTERS} are allowed"
        problems.insert(0, Problem(source, "PolicyDocumentLengthOverLimit", message))
    if problems:
        raise PolicyError(*problems)
    return Policy(identity, source, tuple(item for item in found if isinstance(item, Statement)))


def _characters(tree: Any) -> int:
    """Return how many characters a tree has as JSON, white space not counted."""
    if isinstance(tree, dict):
        members = sum(_characters(name) + 1 + _characters(value) for name, value in tree.items())
        return members + max(len(tree) - 1, 0) + len("{}")
    if isinstance(tree, list):
        return sum(map(_characters, tree)) + max(len(tree) - 1, 0) + len("[]")
    text = tree if isinstance(tree, Number) else json.dumps(tree, ensure_ascii=False)
    return len("".join(text.split()))


class _Element(NamedTuple):
    """A member of a document or of a statement. at: its place, spelled as in the document."""

    at: str
    value: Any


def _elements(
    raw: dict[str, Any], at: str, known: tuple[str, ...]
) -> tuple[dict[str, _Element], list[Problem]]:
    """Return the members by their lower-case names, and a problem for each that is unknown or repeated."""
    elements: dict[str, _Element] = {}  # DEC-4
    problems = []
    for written, value in raw.items():
        name, here = written.lower(), child(at, written)
        if name not in known:
            message = f"unknown element {written!r}{nearest(name, known)}"
            problems.append(Problem(here, "StatementError", message))
        elif name in elements:
            problems.append(Problem(here, "PolicyDocumentError", f"element {name!r} appears twice"))
        elements[name] = _Element(here, value)
    return elements, problems


def _member(elements: dict[str, _Element], name: str, at: str, default: Any = None) -> _Element:
    """Return one member, or the place where it is missing."""
    return elements.get(name) or _Element(f"{at}/{name}", default)


def _read_document(raw: Any, identity: str, source: str) -> Iterator[Statement | Problem]:
    top = f"{source}#"
    if not isinstance(raw, dict):
        yield Problem(source, "PolicyDocumentError", "the document is not an object")
        return
    elements, problems = _elements(raw, top, _POLICY_ELEMENTS)
    yield from problems
    at, version = _member(elements, "version", top)
    if version != "2.0" or isinstance(version, Number):
        yield Problem(at, "VersionError", 'version is not "2.0"')
    if "principal" in elements:
        yield Problem(elements["principal"].at, "PrincipalError", _FORBIDDEN_PRINCIPAL)  # DEC-17
    at, statements = _member(elements, "statement", top)
    if isinstance(statements, dict):
        statements, places = [statements], [at]  # DEC-3
    elif isinstance(statements, list) and statements:
        places = [f"{at}/{i}" for i in range(len(statements))]
    else:
        yield Problem(at, "StatementError", "statement is missing, empty or not a list")
        return
    for i, (statement, place) in enumerate(zip(statements, places, strict=True)):
        yield from _read_statement(statement, f"{identity}#{i}", place)


def _read_statement(raw: Any, identity: str, at: str) -> Iterator[Statement | Problem]:
    if not isinstance(raw, dict):
        yield Problem(at, "StatementError", "the statement is not an object")
        return
    elements, problems = _elements(raw, at, _STATEMENT_ELEMENTS)
    place, written = _member(elements, "effect", at)
    effect = _EFFECTS.get(str(written))
    if effect is None:
        problems.append(Problem(place, "EffectError", f"effect is {written!r}, not 'allow' or 'deny'"))
    if "principal" in elements:
        problems.append(Problem(elements["principal"].at, "PrincipalError", _FORBIDDEN_PRINCIPAL))
    actions = _read_actions(elements, at, problems)
    any_resource, patterns = _read_resources(elements, at, problems)
    clauses = _read_clauses(elements, at, problems)
    if effect is None or problems:
        yield from problems
    else:
        yield Statement(identity, effect, actions, any_resource, patterns, clauses, at)


def _read_actions(
    elements: dict[str, _Element], at: str, problems: list[Problem]
) -> tuple[ActionPattern, ...]:
    actions = []
    for text, where in _strings(elements, "action", at, problems):
        action = read_action(text, where)
        if isinstance(action, str):
            problems.append(Problem(where, "ActionError", f"{text!r} {action}"))
        else:
            actions.append(action)
    return tuple(actions)


def _read_resources(
    elements: dict[str, _Element], at: str, problems: list[Problem]
) -> tuple[bool, tuple[ResourcePattern, ...]]:
    any_resource = False
    patterns = []
    for text, where in _strings(elements, "resource", at, problems):
        resource = None if text == STAR else read_resource(text, where)
        if resource is None:
            any_resource = True
        elif isinstance(resource, tuple):
            problems.append(Problem(where, resource[0], f"{text!r} {resource[1]}"))
        else:
            patterns.append(resource)
    return any_resource, tuple(patterns)


def _read_clauses(elements: dict[str, _Element], at: str, problems: list[Problem]) -> tuple[Clause, ...]:
    place, raw = _member(elements, "condition", at, {})  # {} is no condition (DEC-54)
    clauses = []
    for item in read_condition(raw, place):
        if isinstance(item, Clause):
            clauses.append(item)
        else:
            problems.append(item)
    return tuple(clauses)


def _strings(
    elements: dict[str, _Element], name: str, at: str, problems: list[Problem]
) -> Iterator[tuple[str, str]]:
    """Yield each text of an element with its place. One text needs no list around it (CAM 3.1)."""
    code = f"{name.capitalize()}Error"
    place, raw = _member(elements, name, at)
    if is_text(raw):
        yield raw, place
    elif isinstance(raw, list) and raw:
        for i, item in enumerate(raw):
            where = f"{place}/{i}"
            if is_text(item):
                yield item, where
            else:
                problems.append(Problem(where, code, "is not a string"))
    else:
        problems.append(Problem(place, code, f"{name} is missing, empty or not a string"))

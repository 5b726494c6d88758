"""Reads a policy document into a `Policy`, as a whole or not at all (CAM 3 and 17).

Rule 1: nothing is skipped. An unknown element, key, operator or value rejects the document, because the
        skipped part could be the one that denies (T85).
Rule 2: every problem is listed, each with its JSON Pointer and with the code that the cloud uses for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import PurePath
from typing import Any, NamedTuple

from camguard.errors import PolicyError, Problem
from camguard.policy.actions import read_action
from camguard.policy.conditions import read_condition
from camguard.policy.mistaken import mistaken, policy_inside
from camguard.policy.model import ActionPattern, Clause, Effect, Policy, ResourcePattern, Statement
from camguard.policy.patterns import STAR
from camguard.policy.resources import read_resource
from camguard.strict_json import Number, child, is_text, read_json
from camguard.suggest import nearest

MAX_CHARACTERS = 6144  # white space not counted (CAM 3.4, DEC-5)
_CODE = "PolicyDocumentError"
_MARK = "\ufeff"
_EFFECTS = {"allow": Effect.ALLOW, "Allow": Effect.ALLOW, "deny": Effect.DENY, "Deny": Effect.DENY}
_POLICY_ELEMENTS = ("version", "statement", "principal", "id", "sid")
_STATEMENT_ELEMENTS = ("effect", "action", "resource", "condition", "principal", "id", "sid")
_FORBIDDEN_PRINCIPAL = "principal is not allowed in a policy that is attached to users, groups or roles"


class Document(NamedTuple):
    """A policy, and the JSON tree that it was read from.

    tree: for lint, which reports capital letters and single values. No decision needs it, so the policy does
        not keep it.
    at: the place of the tree: `source#`, and behind it the pointer into the answer of GetPolicy that the
        policy was found in.
    """

    policy: Policy
    tree: dict[str, Any]
    at: str

    @property
    def in_answer(self) -> bool:
        """Whether the policy was found in an answer of the API, and not as a document of its own."""
        return not self.at.endswith("#")


def parse_policy(text: str | bytes, source: str = "policy") -> Policy:
    """Return the policy that one CAM document describes.

    source: a file name; its stem becomes the policy's id.
    Raises PolicyError that lists every problem, each placed as `source#/statement/0/action/1`.
    Source: CAM 3 and 17.
    """
    return parse_document(text, source).policy


def parse_document(text: str | bytes, source: str = "policy") -> Document:
    """Return the policy that one CAM document describes, and its tree. Otherwise as `parse_policy`.

    A byte order mark before the document is passed over, and the answer of GetPolicy is read as the document
    that it holds (CAM 3.5).
    """
    plain = text.removeprefix(_MARK) if isinstance(text, str) else text.removeprefix(_MARK.encode())
    tree = read_json(plain, source, PolicyError, _CODE)
    inside = policy_inside(tree)
    if inside is None:
        shown = plain if isinstance(plain, str) else plain.decode()
        return Document(_policy(tree, source, f"{source}#", _size(shown)), tree, f"{source}#")
    at, tree = f"{source}#{inside.pointer}", inside.document
    size = _characters(tree)
    if isinstance(tree, str):
        size, tree = _size(tree), read_json(tree, at, _placed(at), _CODE)
    return Document(_policy(tree, source, at, size), tree, at)


def _size(text: str) -> int:
    return len("".join(text.split()))


def _placed(at: str) -> Callable[[Problem], PolicyError]:
    """Return the error of a text inside of a document. at: the place of the text, with its `#`."""
    return lambda problem: PolicyError(problem._replace(where=problem.where.replace(f"{at}#", at)))


def policy_from_tree(tree: Any, source: str = "policy") -> Policy:
    """Return the policy in a part of a document that `read_json` has read, e.g. a session policy.

    Arguments, errors and bounds are those of `parse_policy`.
    """
    return _policy(tree, source, f"{source}#", _characters(tree))


def _policy(tree: Any, source: str, at: str, size: int) -> Policy:
    identity = PurePath(source).stem
    found = list(_read_document(tree, identity, at))
    problems = [item for item in found if isinstance(item, Problem)]
    if size > MAX_CHARACTERS:
        message = f"has {size} characters besides white space; {MAX_CHARACTERS} are allowed"
        problems.insert(0, Problem(at.removesuffix("#"), "PolicyDocumentLengthOverLimit", message))
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


class _Members:
    """The members of a document or of a statement by their lower-case names, and all problems with them."""

    def __init__(self, raw: dict[str, Any], at: str, known: tuple[str, ...]) -> None:
        self.at = at
        self.problems: list[Problem] = []
        self._elements: dict[str, _Element] = {}  # DEC-4
        for written, value in raw.items():
            name, here = written.lower(), child(at, written)
            if name not in known:
                self.wrong(here, "StatementError", f"unknown element {written!r}{nearest(name, known)}")
            elif name in self._elements:
                self.wrong(here, "PolicyDocumentError", f"element {name!r} appears twice")
            self._elements[name] = _Element(here, value)

    def wrong(self, at: str, code: str, message: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(at, code, message))

    def refuse_principal(self) -> None:
        """Add a problem if there is a principal, which only a policy of a resource may have (DEC-17)."""
        if "principal" in self._elements:
            self.wrong(self._elements["principal"].at, "PrincipalError", _FORBIDDEN_PRINCIPAL)

    def element(self, name: str, default: Any = None) -> _Element:
        """Return one member, or the place where it is missing."""
        return self._elements.get(name) or _Element(f"{self.at}/{name}", default)

    def texts(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield each text of an element with its place. One text needs no list around it (CAM 3.1)."""
        code = f"{name.capitalize()}Error"
        place, raw = self.element(name)
        if is_text(raw):
            yield raw, place
        elif isinstance(raw, list) and raw:
            for i, item in enumerate(raw):
                if is_text(item):
                    yield item, f"{place}/{i}"
                else:
                    self.wrong(f"{place}/{i}", code, "is not a string")
        else:
            self.wrong(place, code, f"{name} is missing, empty or not a string")


def _read_document(raw: Any, identity: str, document: str) -> Iterator[Statement | Problem]:
    if not isinstance(raw, dict):
        yield Problem(document.removesuffix("#"), _CODE, "the document is not an object")
        return
    other = mistaken(raw)
    if other is not None:
        yield Problem(reduce(child, other.at, document).removesuffix("#"), other.code, other.message)
        return
    members = _Members(raw, document, _POLICY_ELEMENTS)
    at, version = members.element("version")
    if version != "2.0" or isinstance(version, Number):
        members.wrong(at, "VersionError", 'version is not "2.0"')
    members.refuse_principal()
    yield from members.problems
    at, statements = members.element("statement")
    if isinstance(statements, dict):
        yield from _read_statement(statements, f"{identity}#0", at)  # DEC-3
    elif isinstance(statements, list) and statements:
        for i, statement in enumerate(statements):
            yield from _read_statement(statement, f"{identity}#{i}", f"{at}/{i}")
    else:
        yield Problem(at, "StatementError", "statement is missing, empty or not a list")


def _read_statement(raw: Any, identity: str, at: str) -> Iterator[Statement | Problem]:
    if not isinstance(raw, dict):
        yield Problem(at, "StatementError", "the statement is not an object")
        return
    members = _Members(raw, at, _STATEMENT_ELEMENTS)
    place, written = members.element("effect")
    effect = _EFFECTS.get(str(written))
    if effect is None:
        members.wrong(place, "EffectError", f"effect is {written!r}, not 'allow' or 'deny'")
    members.refuse_principal()
    actions = tuple(_read_actions(members))
    resources = tuple(_read_resources(members))
    clauses = tuple(_read_clauses(members))
    if effect is None or members.problems:
        yield from members.problems
    else:
        patterns = tuple(pattern for pattern in resources if pattern is not None)
        yield Statement(identity, effect, actions, None in resources, patterns, clauses, at)


def _read_actions(members: _Members) -> Iterator[ActionPattern]:
    for text, where in members.texts("action"):
        action = read_action(text, where)
        if isinstance(action, str):
            members.wrong(where, "ActionError", f"{text!r} {action}")
        else:
            yield action


def _read_resources(members: _Members) -> Iterator[ResourcePattern | None]:
    """Yield each pattern, and None for `*`."""
    for text, where in members.texts("resource"):
        resource = None if text == STAR else read_resource(text, where)
        if isinstance(resource, tuple):
            code, problem = resource
            members.wrong(where, code, f"{text!r} {problem}")
        else:
            yield resource


def _read_clauses(members: _Members) -> Iterator[Clause]:
    place, raw = members.element("condition", {})  # {} is no condition (DEC-54)
    for item in read_condition(raw, place):
        if isinstance(item, Clause):
            yield item
        else:
            members.problems.append(item)

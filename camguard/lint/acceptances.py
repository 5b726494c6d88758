"""Reads lint.toml: the findings of a bundle that its owner accepts, with reasons and expiries (DEC-55).

Rule 1: the file is read strictly and as a whole. If one entry cannot be read, no finding is accepted, and
        every problem of the file is a finding itself (CG701).
Rule 2: an acceptance names one code at one place: a statement of a policy, a policy outside of its
        statements, or a place in principals.json. It never covers a later finding elsewhere.
Rule 3: an acceptance that has expired (CG702), or that accepts nothing (CG703), is a finding. Findings about
        acceptances cannot be accepted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, datetime
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from camguard.lint.codes import CODES, Finding, Severity, found
from camguard.lint.statement_view import statement_element
from camguard.policy.document import Document
from camguard.strict_json import Fault, ObjectReader, child, is_text, must
from camguard.strict_toml import NotTomlError, read_toml
from camguard.suggest import nearest

_FILE: Final = "lint.toml"
_OF_ACCEPTANCES: Final = "CG7"


class Acceptance(NamedTuple):
    """One entry of lint.toml. where: its place in the file. expires: the last day on which it holds.

    policy, statement: the id of the policy, and the number of the statement from 0 or its `sid`; no statement
    means the policy outside of its statements. principals: instead of both, a pointer in principals.json.
    """

    where: str
    code: str
    policy: str | None
    statement: int | str | None
    principals: str | None
    reason: str
    expires: date


class Accepted(NamedTuple):
    """A finding with the acceptance that covers it."""

    finding: Finding
    acceptance: Acceptance


class Findings(NamedTuple):
    """The findings of a bundle. open: those that count. accepted: those that lint.toml accepts."""

    open: tuple[Finding, ...] = ()
    accepted: tuple[Accepted, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings of severity error that count."""
        return tuple(finding for finding in self.open if finding.severity is Severity.ERROR)

    def counts(self) -> dict[str, int]:
        """Return how many findings of each severity count, and how many are accepted."""
        counts = Counter(finding.severity for finding in self.open)
        return {**{str(each): counts[each] for each in Severity}, "accepted": len(self.accepted)}

    def new_errors(self, before: Findings | None) -> tuple[Finding, ...]:
        """Return the errors that the findings of the bundle before this one do not have.

        A statement that only moved within its document brings nothing: file, code and message are compared.
        """
        old = Counter(map(_identity, before.errors if before else ()))
        new: list[Finding] = []
        for finding in self.errors:
            key = _identity(finding)
            if old[key]:
                old[key] -= 1
            else:
                new.append(finding)
        return tuple(new)


def _identity(finding: Finding) -> tuple[str, str, str]:
    return finding.where.partition("#")[0], finding.code, finding.message


def read_acceptances(raw: bytes, place: str = _FILE) -> tuple[tuple[Acceptance, ...], tuple[Finding, ...]]:
    """Return the acceptances in the bytes of a lint.toml, and a finding for each problem (Rule 1).

    place: the name of the file in findings.
    """
    try:
        tree = read_toml(raw)
    except NotTomlError as error:
        message = f"no finding is accepted, because the file {error}"
        return (), (found("CG701", error.place(place), message),)
    reader = ObjectReader(place, "CG701", noun="a table")
    listed = reader.members(tree, "", optional={"accept": _TABLES}).get("accept", ())
    entries = [_entry(reader, entry, f"/accept/{i}") for i, entry in enumerate(listed)]
    problems = tuple(found("CG701", each.where, each.message) for each in reader.problems)
    return tuple(entry for entry in entries if entry is not None and not problems), problems


def _entry(reader: ObjectReader, raw: Any, at: str) -> Acceptance | None:
    members = reader.members(raw, at, required=_REQUIRED, optional=_OPTIONAL)
    policy, principals = members.get("policy"), members.get("principals")
    if isinstance(raw, dict):
        if ("policy" in raw) == ("principals" in raw):
            reader.wrong(at, "must have either 'policy' or 'principals'")
        elif "statement" in raw and "policy" not in raw:
            reader.wrong(f"{at}/statement", "belongs to 'policy', which is missing")
    if reader.problems:
        return None
    reason, expires = members["reason"], members["expires"]
    where = f"{reader.source}#{at}"
    return Acceptance(where, members["code"], policy, members.get("statement"), principals, reason, expires)


def _code(value: Any) -> Iterator[Fault]:
    if not is_text(value):
        yield (), "must be a string"
    elif value not in CODES:
        yield (), f"there is no lint code {value!r}{nearest(value, CODES)}"
    elif value.startswith(_OF_ACCEPTANCES):
        yield (), f"{value} is about {_FILE} itself and cannot be accepted"


def _is_day(value: Any) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime)


def _is_statement(value: Any) -> bool:
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return number or (isinstance(value, str) and bool(value))


_TABLES = must(lambda value: isinstance(value, list), "a list of tables: [[accept]]")
_SOME_TEXT = must(lambda value: is_text(value) and value.strip(), "a string that is not empty")
_REQUIRED = {
    "code": _code,
    "reason": _SOME_TEXT,
    "expires": must(_is_day, "a date without quotes, such as 2027-06-30"),
}
_OPTIONAL = {
    "policy": _SOME_TEXT,
    "statement": must(_is_statement, "the number of a statement, counted from 0, or its sid"),
    "principals": must(
        lambda value: is_text(value) and value.startswith("/"),
        'a pointer in principals.json, such as "/users/100000000105"',
    ),
}


class _Place(NamedTuple):
    """What an acceptance must name to cover a finding. statements: number and sid of the statement."""

    policy: str | None
    statements: frozenset[int | str]
    principals: str | None


def accept(  # noqa: PLR0913 - the findings, what accepts them, and the names of places
    findings: Iterable[Finding],
    acceptances: Iterable[Acceptance],
    documents: Mapping[str, Document],
    today: date,
    *,
    principals: str = "principals.json",
    unread: Collection[str | None] = (),
) -> Findings:
    """Return the findings, those apart that an acceptance covers, and the findings about the acceptances.

    documents: by the id of the policy. today: in UTC. principals: the name of principals.json in findings.
    unread: ids of policies that do not load, and None if principals.json does not: what an acceptance covers
    there cannot be told.
    """
    current = [each for each in acceptances if today <= each.expires]
    by_code: dict[str, list[Acceptance]] = {}
    for each in current:
        by_code.setdefault(each.code, []).append(each)
    used: set[str] = set()
    still_open: list[Finding] = []
    accepted: list[Accepted] = []
    for finding in findings:
        candidates = by_code.get(finding.code, ())
        place = _place(finding, documents, principals) if candidates else None
        covering = [each for each in candidates if place is not None and _covers(each, place)]
        used.update(each.where for each in covering)
        if covering:
            accepted.append(Accepted(finding, covering[0]))
        else:
            still_open.append(finding)
    judged = [each for each in acceptances if each.policy not in unread]
    still_open += _about(judged, used, documents, today)
    return Findings(tuple(still_open), tuple(accepted))


def _about(
    acceptances: Iterable[Acceptance], used: set[str], documents: Mapping[str, Document], today: date
) -> Iterator[Finding]:
    for each in acceptances:
        if today > each.expires:
            message = f"the acceptance of {each.code} ended with {each.expires}, so the finding counts again"
            yield found("CG702", child(each.where, "expires"), message)
        elif each.where not in used:
            message = f"no finding {each.code} is there, so this acceptance accepts nothing"
            if each.policy is not None and each.policy not in documents:
                message = f"there is no policy {each.policy!r}{nearest(each.policy, documents)}"
                message += ", so this acceptance accepts nothing"
            yield found("CG703", each.where, message)


def _covers(acceptance: Acceptance, place: _Place) -> bool:
    if acceptance.policy != place.policy or acceptance.principals != place.principals:
        return False
    if acceptance.statement is None:
        return not place.statements
    return acceptance.statement in place.statements


def _place(finding: Finding, documents: Mapping[str, Document], principals: str) -> _Place | None:
    """Return the place of a finding; None if it is in no policy that was read, nor in principals.json."""
    file, _, pointer = finding.where.partition("#")
    if file == principals:
        return _Place(None, frozenset(), pointer)
    policy = PurePath(file).stem
    if policy not in documents or documents[policy].policy.source != file:
        return None
    where, written = statement_element(documents[policy])
    inside = f"{finding.where}/".startswith(f"{where}/")
    number = finding.where.removeprefix(where).partition("/")[2].partition("/")[0]
    if not inside or (isinstance(written, list) and not number):
        return _Place(policy, frozenset(), None)
    statement = written[int(number)] if isinstance(written, list) else written
    sid = next((value for name, value in statement.items() if name.lower() == "sid"), None)
    at = int(number) if isinstance(written, list) else 0
    return _Place(policy, frozenset((at, sid) if is_text(sid) else (at,)), None)

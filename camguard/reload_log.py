"""The log of what is loaded anew: what an activation changes, what fails and recovers, what needs a restart.

Rule 1: one event per line. Problems and findings are events of their own, each with its place.
Rule 2: what stays as it is is logged once: the same problems, and the same edit of the settings file.
Rule 3: no event holds a secret, and a secret id is shortened (T113).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from heapq import nsmallest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from camguard.authn.key_store import KeysPoll, KeyStore
from camguard.bundle.load import Content
from camguard.bundle.model import Bundle
from camguard.bundle.store import ReloadOutcome
from camguard.errors import Problem, SettingsError
from camguard.files import SETTINGS_BYTES, read_file
from camguard.grammar import REVISION_DIGITS
from camguard.printable import without_credentials
from camguard.settings import Settings
from camguard.settings.load import parse_settings
from camguard.settings.source import SettingsSource
from camguard.settings.values import is_url
from camguard.suggest import AND_MORE, few
from camguard.telemetry.process_log import Event

if TYPE_CHECKING:
    from camguard.bundle.remote import SourceFacts

NAMED = 50  # problems or findings that one reload logs by name
LISTED = 10  # names in one fact
LINES_OF_IDLE = 3  # policies that can grant nothing, with a line each; more have a line for each reason
LISTS_ALL = "`camguard lint` lists all of them"
# Findings about which an operator is warned by name when a bundle is activated: calls are refused because of
# them, or a name stands for two principals.
NAMED_WARNINGS = frozenset(("CG602", "CG608"))

_LOGGER = logging.getLogger(__name__)


def listed(names: Iterable[str]) -> list[str]:
    """Return the first names in order, and how many more there are.

    `sorted` would block all other threads while it sorts 100,000 names.
    """
    every = list(names)
    more = len(every) - LISTED
    return [*nsmallest(LISTED, every), *([AND_MORE.format(more)] if more > 0 else ())]


def changes(kind: str, before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, list[str]]:
    """Return the names that were added, removed and changed, as facts of an event.

    The names are compared one after the other, and not as sets: an operation on two sets of 100,000 names
    blocks all other threads for tens of milliseconds, and calls wait.

    >>> changes("policies", {"a": 1, "b": 1}, {"b": 2, "c": 1})
    {'policies_added': ['c'], 'policies_removed': ['a'], 'policies_changed': ['b']}
    """
    found = {
        "added": [name for name in after if name not in before],
        "removed": [name for name in before if name not in after],
        "changed": [name for name, each in after.items() if name in before and before[name] != each],
    }
    return {f"{kind}_{change}": listed(names) for change, names in found.items()}


class _Loaded(NamedTuple):
    """What is compared between two activations.

    policies: the digest of the file of each. principals: the policies of all layers of each.
    """

    policies: Mapping[str, bytes]
    principals: Mapping[str, object]
    actions: Mapping[str, object]


class ReloadLog:
    """Logs each reload of a bundle: an observer of its store, to which `built` shows what is activated.

    name: `bundle`, or `candidate`. place: its folder or URL.
    """

    def __init__(self, name: str, place: str) -> None:
        self._name = name
        self._place = {"url" if is_url(place) else "folder": without_credentials(place)}
        self._warnings: tuple[Problem, ...] = ()
        self._source: SourceFacts | None = None
        self._problems: tuple[Problem, ...] = ()
        self._loaded: _Loaded | None = None
        self._next: _Loaded | None = None
        self._idle: tuple[object, ...] = ()

    def built(self, content: Content, bundle: Bundle) -> None:
        """Note what was built. The store activates it at once."""
        digests = {
            policy.id: sha256(content.files[policy.source]).digest() for policy in bundle.policies.values()
        }
        layers = bundle.people.layers  # principals with the same policies share one object
        attached = {each: (each.account, each.identity, each.boundary) for each in {*layers.values()}}
        principals = {name: attached[each] for name, each in layers.items()}
        self._next = _Loaded(digests, principals, bundle.catalog.actions)

    def __call__(self, outcome: ReloadOutcome) -> None:
        """Log one reload."""
        if outcome.problems:
            if outcome.problems != self._problems:
                self._failed(outcome)
        elif outcome.result == "success":
            self._activated(outcome)
        elif self._problems:
            self._log(
                logging.INFO, "is good again and unchanged", revision=outcome.revision[:REVISION_DIGITS]
            )
        self._problems = outcome.problems
        if outcome.warnings != self._warnings:
            log_problems(self._name, outcome.warnings, logging.WARNING)
            self._warnings = outcome.warnings
        if outcome.source is not None:
            self._log_source(outcome.source)

    def _log_source(self, now: SourceFacts) -> None:
        """Log what has changed in what the URL says."""
        before, self._source = self._source, now
        facts = {"serial": now.serial, "offered_serial": now.offered_serial}
        if now.pinned != (before is not None and before.pinned):
            text = "is pinned by an operator" if now.pinned else "is not pinned any more"
            self._log(logging.WARNING, text, **facts)
        if now.from_disk and not (before is not None and before.from_disk):
            self._log(logging.WARNING, "was read from policy.last_good, and no source confirms it", **facts)
        if now.differs != (before is not None and before.differs):
            text = "differs from what the source offers" if now.differs else "is what the source offers again"
            self._log(logging.WARNING if now.differs else logging.INFO, text, **facts)

    def _log(self, level: int, text: str, **facts: object) -> None:
        _LOGGER.log(level, Event(f"{self._name} {text}", **self._place, **facts))

    def _failed(self, outcome: ReloadOutcome) -> None:
        stays = f"revision {outcome.revision[:REVISION_DIGITS]} stays in force"
        effect = stays if outcome.revision else "nothing is allowed"
        self._log(logging.ERROR, f"cannot be loaded; {effect}", problems=len(outcome.problems))
        log_problems(self._name, outcome.problems)

    def _activated(self, outcome: ReloadOutcome) -> None:
        before, after = self._loaded, self._next
        self._loaded, self._next = after, None
        facts: dict[str, Any] = {"revision": outcome.revision[:REVISION_DIGITS]}
        bundle = outcome.bundle
        if bundle is not None and bundle.findings is not None:
            facts |= {f"findings_{name}": count for name, count in bundle.findings.counts().items()}
        if before is None or after is None:
            if bundle is not None:
                facts |= {"policies": len(bundle.policies), "statements": bundle.statement_count}
                facts |= {"principals": len(bundle.people.layers), "actions": len(bundle.catalog.actions)}
        else:
            facts |= _differences(before, after)
        recovered = " after a failure" if self._problems else ""
        self._log(logging.INFO, f"is in force{recovered}", **facts)
        self._log_findings(outcome)
        self._log_idle(bundle)

    def _log_idle(self, bundle: Bundle | None) -> None:
        """Log the policies that can grant nothing here, each with the reasons, once."""
        idle = bundle.granting_nothing if bundle else ()
        new = [row for row in idle if row not in self._idle]
        self._idle = idle
        if len(new) <= LINES_OF_IDLE:
            for row in new:
                why = [f"{reason}: {few(of)}" for reason, of in zip(row.why, row.of, strict=True)]
                self._log(logging.WARNING, "has a policy that can grant nothing", policy=row.policy, why=why)
            return
        by_reason: dict[str, list[str]] = {}
        for row in new:
            for reason in row.why:
                by_reason.setdefault(reason, []).append(row.policy)
        for reason, policies in by_reason.items():
            facts = {"why": reason, "count": len(policies), "policies": listed(policies)}
            self._log(logging.WARNING, "has policies that can grant nothing", **facts, advice=LISTS_ALL)

    def _log_findings(self, outcome: ReloadOutcome) -> None:
        """Log the errors that this activation brought (DEC-55), and what is to be repaired in any case."""
        open_findings = outcome.bundle.findings.open if outcome.bundle and outcome.bundle.findings else ()
        warned = [each for each in open_findings if each.code in NAMED_WARNINGS]
        log_problems(
            f"{self._name}: finding",
            [Problem(each.where, each.code, each.advice) for each in (*outcome.new_errors, *warned)],
            logging.WARNING,
            LISTS_ALL,
        )


def _differences(before: _Loaded, after: _Loaded) -> dict[str, list[str]]:
    return {
        **changes("policies", before.policies, after.policies),
        **changes("principals", before.principals, after.principals),
        **changes("actions", before.actions, after.actions),
    }


def log_problems(
    name: str, problems: Sequence[Problem], level: int = logging.ERROR, advice: str | None = None
) -> None:
    """Log problems, one event each, up to a bound.

    name: what has them. advice: where the others are found.
    """
    for where, code, message in problems[:NAMED]:
        _LOGGER.log(level, Event(f"{name}: {message}", where=where, code=code))
    if len(problems) > NAMED:
        _LOGGER.log(level, Event(f"{name}: {AND_MORE.format(len(problems) - NAMED)}", advice=advice))


class KeysLog:
    """Logs what polls of the keys file change, and which keys belong to nobody.

    file: its path, as events name it.
    """

    def __init__(self, keys: KeyStore, file: Path) -> None:
        self._store = keys
        self._file = str(file)
        self._ring = keys.keys
        self._failing = False
        self._orphans: tuple[Problem, ...] = ()
        self._compared: tuple[object, str] = (None, "")  # key ring and revision

    def polled(self, outcome: KeysPoll) -> None:
        """Log one poll of the keys file."""
        before, after = self._ring, self._store.keys
        self._ring = after
        facts: dict[str, Any] = {}
        if before is not after:
            found = after.changes_since(before)._asdict()
            facts = {f"keys_{change}": listed(labels) for change, labels in found.items()}
        if outcome.result == "failure":
            effect = "the last good keys stay in use"
            if outcome.dropped:
                effect = f"{outcome.dropped} keys that the file does not hold any more are revoked"
            _LOGGER.error(Event(f"keys cannot be loaded; {effect}, none is added", file=self._file, **facts))
            log_problems("keys", outcome.problems)
            self._failing = True
        elif outcome.result == "success":
            recovered = " after a failure" if self._failing else ""
            _LOGGER.info(Event(f"keys are in use{recovered}", file=self._file, total=len(after), **facts))
            self._failing = False

    def __call__(self, outcome: ReloadOutcome) -> None:
        """Warn of keys whose principal the active bundle does not have: an observer of the store."""
        compared = self._store.keys, outcome.revision
        if outcome.bundle is None or compared == self._compared:
            return
        self._compared = compared
        orphans = tuple(orphaned(self._store, self._file, outcome.bundle))
        if orphans != self._orphans:
            log_problems("keys", orphans, logging.WARNING)
        self._orphans = orphans


def orphaned(keys: KeyStore, file: str, bundle: Bundle) -> Iterable[Problem]:
    """Yield a problem for each access key in use whose principal the bundle does not have."""
    for label, principal in keys.keys.owners():
        if principal not in bundle.people.layers:
            message = f"the key {label} belongs to {principal}, which principals.json does not have, so"
            yield Problem(
                f"{file}#/{label}/principal", "KeysError", f"{message} every call that it signs is refused"
            )


class SettingsWatch:
    """Notices that the settings file was edited: an observer of the store, because polls are its clock.

    Every setting is read at the start, so an edit takes effect at a restart. It is said once for each edit.
    """

    def __init__(self, source: SettingsSource, settings: Settings) -> None:
        self._source = source
        self._settings = settings
        self._content: bytes | None = source.text

    def __call__(self, _: ReloadOutcome) -> None:
        """Read the settings file, and log what an edit of it means."""
        try:
            content: bytes | None = read_file(self._source.file, SETTINGS_BYTES)
        except OSError:
            content = None
        if content == self._content:
            return
        self._content = content
        file = str(self._source.file)
        if content is None:
            _LOGGER.warning(Event("the settings file cannot be read; a restart would fail", file=file))
        elif content == self._source.text:
            _LOGGER.info(Event("the settings file is again as it was at the start", file=file))
        else:
            self._edited(self._source._replace(text=content))

    def _edited(self, source: SettingsSource) -> None:
        file = str(source.file)
        try:
            edited = parse_settings(source).effective()
        except SettingsError as error:
            _LOGGER.error(Event("the settings file was edited and is wrong; a restart would fail", file=file))  # noqa: TRY400 - the problems follow, each with its place
            log_problems("settings", error.problems)
            return
        running = self._settings.effective()
        sections = edited.keys() | running.keys()
        keys = {
            f"{section}.{key}"
            for section in sections
            for key in edited.get(section, {}).keys() | running.get(section, {}).keys()
            if edited.get(section, {}).get(key) != running.get(section, {}).get(key)
        }
        if keys:
            text = "settings were edited; the edit takes effect when camguard is restarted"
            _LOGGER.warning(Event(text, file=file, settings=listed(keys)))
        else:
            _LOGGER.info(Event("the settings file was edited; no setting has another value", file=file))


def log_watched(settings: Settings, *, keys: KeyStore | None, source: SettingsSource | None) -> None:
    """Log which files are read again and again, and how often."""
    candidate = settings.enforcement.candidate
    event = Event(
        "these files are watched for changes",
        bundle=without_credentials(settings.policy.source),
        candidate=None if candidate is None else without_credentials(candidate),
        catalog=str(settings.catalog.path),
        keys=None if keys is None else str(settings.identity.keys_file),
        settings=None if source is None else str(source.file),
        poll_seconds=settings.policy.poll_seconds,
    )
    _LOGGER.info(event)

"""What the deciding headers of a request mean together: from where, who, what.

Rule 1: callers say the same few things again and again. All of it is settled once for each combination under
        one bundle; a request then finds it in one look-up.
Rule 2: nothing of a decision is kept here. What policies, clock and signatures say is asked anew each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from camguard.authn.authenticator import Identity
from camguard.bounded_cache import BoundedCache
from camguard.enforcement.service_index import Directory, Named
from camguard.engine.decision import Decision
from camguard.request.client_address import Origin, Said
from camguard.request.rejection import refused
from camguard.telemetry.record import Facts

WHOLE: Final = ("*",)
_LONGEST: Final = 1536
_ENTRIES: Final = 16_384  # some 10 MiB when full, and 2 ms to forget
_PIECE: Final = 40  # bytes that a text takes besides its own: a line may hold next to nothing
_NOBODY: Final = ("", "", None)
_ACTION_UNKNOWN: Final = refused("action_unknown")
_VERSION_UNKNOWN: Final = refused("version_unknown")

# Method and the socket's address as text, then what `Shape.deciding` takes: bytes, None where absent.
Deciding: TypeAlias = tuple[Any, ...]


class Unsigned(Protocol):
    """Finds out who calls where nothing is signed: `camguard.authn.authenticator.Identify`."""

    def unsigned(self, identity: bytes | None, peer_trusted: bool, /) -> Identity | Decision:  # noqa: FBT001
        """Return the caller where nothing is signed, or the refusal."""


@dataclass(frozen=True, slots=True)
class Told:
    """A call of which the head tells everything: no signature, no resources, nothing in query or form.

    refusal: why it is none; else asked: principal, action and place, the beginning of a `Call`.
    """

    refusal: Decision | None
    asked: tuple[str, str, int | None]
    facts: Facts


@dataclass(frozen=True, slots=True)
class Meaning:
    """What deciding headers come to. told: None where the head alone cannot tell."""

    origin: Origin
    named: Named | Decision
    told: Told | None


class Meanings:
    """What requests say under one bundle. known: by what they say.

    judge_unknown: whether policies judge actions that the catalog lacks.
    """

    def __init__(
        self,
        directory: Directory,
        origins: Mapping[Said, Origin],
        who: Unsigned,
        *,
        judge_unknown: bool,
    ) -> None:
        self.directory = directory
        self._origins = origins
        self._who = who
        self._judge_unknown = judge_unknown
        self.known: BoundedCache[Deciding, Meaning] = BoundedCache(
            self.mean,
            entries=_ENTRIES,
            longest=_LONGEST,
            size=lambda said: sum(len(each or "") + _PIECE for each in said),
        )

    def mean(self, said: Deciding) -> Meaning:
        """Return what deciding headers come to."""
        method, peer, host, content_type, action, version, region, identity, *forwarded = said
        origin = self._origins[peer, tuple(forwarded)]
        named = self.directory.named[method, host, content_type, action, version, region]
        if origin.refusal is not None or isinstance(named, Decision):
            return Meaning(origin, named, None)
        return Meaning(origin, named, self._told(origin, named, identity))

    def action(self, named: Named) -> str | Decision:
        """Return the action that policies are asked about, or why none is."""
        entry = named.entry
        if entry is not None:
            fits = entry.version is None or entry.version == (named.version or entry.version)
            return entry.id if fits else _VERSION_UNKNOWN
        return f"{named.service}:{named.action}" if self._judge_unknown else _ACTION_UNKNOWN

    def _told(self, origin: Origin, named: Named, identity: bytes | None) -> Told | None:
        if named.templates is not None or (named.content is not None and named.content.kind == "form"):
            return None
        caller = self._who.unsigned(identity, origin.trusted)
        if isinstance(caller, Decision):
            return Told(caller, _NOBODY, _facts(named, origin, None, ()))
        action = self.action(named)
        if isinstance(action, Decision):
            return Told(action, _NOBODY, _facts(named, origin, caller.principal, ()))
        asked = caller.principal, action, origin.place
        return Told(None, asked, _facts(named, origin, caller.principal, WHOLE))


def _facts(named: Named, origin: Origin, principal: str | None, resources: tuple[str, ...]) -> Facts:
    return Facts(
        named.entry, principal, None, named.service, named.action, resources, origin.place, origin.peer,
        origin.method, None,
    )  # fmt: skip

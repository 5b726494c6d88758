"""What the guard is given: where it finds the bundle in force, and who identifies callers."""

from __future__ import annotations

from typing import Protocol

from camguard.authn.authenticator import Claim, Identity
from camguard.bundle.model import Bundle
from camguard.enforcement.target import Unsigned
from camguard.engine.decision import Decision
from camguard.request.head import Head
from camguard.request.params import Params


class Policies(Protocol):
    """Where the bundle in force is found: `camguard.bundle.Store`."""

    @property
    def bundle(self) -> Bundle | None:
        """The bundle, None while none was loaded."""

    @property
    def stale(self) -> bool:
        """Whether the bundle was not confirmed for too long."""


class Who(Unsigned, Protocol):
    """Finds out who calls: `camguard.authn.authenticator.Identify`."""

    def __call__(  # noqa: PLR0913, PLR0917 - as Identify
        self,
        head: Head,
        service: str,
        body: bytes | None,
        params: Params,
        peer_trusted: bool,  # noqa: FBT001 - as Identify
        now: float,
        claim: Claim,
        /,
    ) -> Identity | Decision:
        """Return the caller, or the refusal."""

    def claimed_by(  # noqa: PLR0913, PLR0917 - as Identify
        self,
        head: Head,
        service: str,
        params: Params,
        peer_trusted: bool,  # noqa: FBT001 - as Identify
        form: bool,  # noqa: FBT001 - as Identify
        now: float,
        /,
    ) -> Claim | Decision:
        """Return what the head tells of the caller, or the refusal for which no body is needed."""

    def needs_body(self, head: Head) -> bool:
        """Tell whether the caller cannot be told without the body."""

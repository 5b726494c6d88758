"""The early decision: what the head of a request alone decides.

Where nothing is signed and the action is judged as a whole, that is the decision of the policies. Elsewhere
it is a rejection for which no body is needed, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from camguard.authn.authenticator import Claim
from camguard.authn.credentials import Caller
from camguard.bundle.model import Bundle
from camguard.enforcement.lane import LaneFactory, Met, Resolved, resolve_under
from camguard.enforcement.late import WHOLE, new_call
from camguard.enforcement.outcome import (
    UNAVAILABLE,
    Authentication,
    Judgement,
    Policies,
    new_judgement,
    rejected,
)
from camguard.enforcement.target import NO_TARGET, Targets
from camguard.request.body import TOO_LARGE
from camguard.request.client_address import AddressRules
from camguard.request.head import (
    NO_CORRELATION,
    READY_IDS,
    HeadRules,
    RequestHead,
    correlation_of,
    new_head,
    new_request_id,
    read_head,
)
from camguard.request.params import Params
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import Settings

_OVERLOADED: Final = rejection("overloaded")
BODY_ON_GET: Final = rejection("body_on_get")


def head_of(met: Met) -> RequestHead:
    """Return the head of a request that was recognised, as `read_head` does."""
    known, _, lines, (_, *signing, trace, named), layout, method, declared = met
    request_id = READY_IDS.pop() if READY_IDS else new_request_id()
    called = NO_CORRELATION if layout.correlating is None else correlation_of(trace, named)
    fixed = (request_id, method, b"", tuple(lines), known.ended, layout, declared)
    return new_head(fixed + known.naming + (*signing, called))


class EarlyJudge:
    """Judges the heads of requests. lane: as for the guard. compares: as for `resolve_under`.

    resolved: what was resolved under the bundle of the last request, None before the first one.
    """

    def __init__(
        self,
        settings: Settings,
        policies: Policies,
        authentication: Authentication,
        lane: LaneFactory,
        *,
        compares: bool,
    ) -> None:
        self._settings, self._limits = settings, settings.limits
        self._policies, self._authentication = policies, authentication
        self._head_rules = HeadRules(settings)
        self._addresses = AddressRules(settings.client_ip).known
        self._lane, self._compares = lane, compares
        self.resolved: Resolved | None = None

    head_of = staticmethod(head_of)

    def judge(  # noqa: C901, PLR0911, PLR0912, PLR0913, PLR0917 - one check after the other
        self,
        scope: Mapping[str, Any],
        head: RequestHead | None,
        met: Met | None,
        bundle: Bundle | None,
        now: float,
        moment: float,
        in_flight: int,
    ) -> Judgement:
        """Decide what the head alone can decide; the decision is None where the body is needed for it.

        head: the frozen head of a request that is judged again, else None. met: what the lane recognised, or
        None. now: seconds since the epoch. moment: monotonic time in seconds. in_flight: requests that are
        served now, with this one.
        """
        if bundle is None or moment > self._policies.fresh_until:
            return rejected(head, NO_TARGET, UNAVAILABLE)
        if in_flight > self._limits.concurrency:
            return rejected(head, NO_TARGET, _OVERLOADED)
        resolved = self.under(bundle)
        known = None if met is None else met[0]
        if head is None:
            frozen = read_head(scope, self._head_rules) if met is None else head_of(met)
            if isinstance(frozen, Rejection):
                return rejected(None, NO_TARGET, frozen)
            head = frozen
        target = known.target if known is not None else resolved.targets.known[head.target_key]
        if target.rejection is not None and not (head.query and target.source_ip is not None):
            return rejected(head, target, target.rejection)
        params: Params = ()
        if head.query:
            found = resolved.targets.with_query(head, self._limits.params)
            if isinstance(found, Rejection):
                return rejected(head, target, found)
            params, target = found
            if target.rejection is not None:
                return rejected(head, target, target.rejection)
        if (head.declared or 0) > target.body_limit:
            return rejected(head, target, BODY_ON_GET if target.body is None else TOO_LARGE)
        if target.body is None and head.layout.chunked:
            return rejected(head, target, BODY_ON_GET)
        if known is not None and known.kept is not None and met is not None and met[1] is None:
            known = None  # what is kept of the decision does not hold now, so that it is noted again
        start = target.start
        if start is None or head.layout.signed or head.query:
            if head.layout.signed or head.query or target.caller is None or target.shared:
                service, trusted, form = target.host_service, target.peer_trusted, target.caller is None
                claim: Claim | Rejection
                claim = self._authentication.claim(head, service, params, trusted, form, now)
            else:
                claim = target.caller
            if isinstance(claim, Rejection):
                return rejected(head, target, claim)
            return new_judgement((head, target, params, claim, None, None, None, False, known, None))
        caller = target.caller if isinstance(target.caller, Caller) else None
        if isinstance(start, Rejection):
            return new_judgement((head, target, (), None, caller, None, start, True, known, None))
        call = new_call((*start, now, WHOLE, None, None, target.context, None))
        return new_judgement((head, target, (), None, caller, call, bundle.decide(call), True, known, None))

    def under(self, bundle: Bundle) -> Resolved:
        """Return what was resolved under a bundle; it is kept as long as the bundle is in force."""
        resolved = self.resolved
        if resolved is None or resolved.token is not bundle.token:
            parts = self._settings, self._addresses, self._authentication, self._head_rules
            resolved = self.resolved = resolve_under(bundle, *parts, self._lane, compares=self._compares)
        return resolved

    def targets(self, bundle: Bundle) -> Targets:
        """Return the targets under a bundle."""
        return self.under(bundle).targets

"""The late decision: of requests whose call is known only with their body.

A form may name the action and carry the signature, a signature covers the body, JSON and multipart name
resources. The order is fixed (T38): form, caller, policies, content, resources. The policies decide
before the body is read further, except for an action whose resources the body names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from camguard.authn.authenticator import Caller
from camguard.bundle.model import Bundle
from camguard.enforcement.outcome import Authentication, Judgement, new_judgement, rejected
from camguard.enforcement.resource_binding import bind_resources
from camguard.enforcement.target import Target, Targets, agreed_action
from camguard.engine.call import Call
from camguard.engine.decision import Decision
from camguard.fast_tuple import constructor_of
from camguard.request.body import HeldBody
from camguard.request.body_formats import read_body
from camguard.request.params import ParameterSources, Params, beside, nested_parameters, parse_params
from camguard.request.rejection import Rejection, rejection
from camguard.settings.model import LimitsSettings

_ACTION_MISSING: Final = rejection("action_missing")
_BODY_MALFORMED: Final = rejection("body_malformed")
WHOLE: Final = ("*",)

new_call = constructor_of(Call)


class LateJudge:
    """Judges requests with their bodies. passes: tells whether a request goes on with a decision."""

    __slots__ = ("_authentication", "_limits", "_passes")

    def __init__(
        self,
        limits: LimitsSettings,
        authentication: Authentication,
        passes: Callable[[Decision | Rejection], bool],
    ) -> None:
        self._limits = limits
        self._authentication = authentication
        self._passes = passes

    def judge(  # noqa: C901 - one order (T38); the values of one request
        self,
        judged: Judgement,
        body: HeldBody | None,
        bundle: Bundle | None,
        targets: Callable[[Bundle], Targets],
        now: float,
    ) -> Judgement:
        """Decide with the body: form, caller, policies, content, resources, in this order (T38).

        The policies decide before the body is read further, except for an action whose resources it names.
        """
        head, target, params, query = judged.head, judged.target, judged.params, judged.params
        assert head is not None  # noqa: S101 - for mypy: without a head the decision was a rejection
        assert bundle is not None  # noqa: S101 - for mypy: without a bundle, too
        data = None if body is None else body.data
        if target.body is not None and target.body.kind == "form" and data is not None:
            form = parse_params(data, self._limits.params, _BODY_MALFORMED)
            carried = None if target.action is None else target.action.encode()
            action = form if isinstance(form, Rejection) else agreed_action(carried, form)
            if action is None or isinstance(action, Rejection):
                return rejected(head, target, _ACTION_MISSING if action is None else action)
            params = form  # type: ignore[assignment]  # a rejection of it was returned as that of the action
            target = targets(bundle).with_parameters(head, params + query, action)
            if target.rejection is not None:
                return rejected(head, target, target.rejection)
        caller: Caller | Rejection
        if isinstance(judged.claim, Caller):  # nothing is signed
            caller = judged.claim
        else:
            caller = self._authentication.caller(
                head, target.service or "", data, params, target.peer_trusted, now, judged.claim
            )
        if isinstance(caller, Rejection):
            return rejected(head, target, caller)
        decision: Decision | Rejection | None = None
        call = None
        if isinstance(target.action_id, Rejection):
            decision = target.action_id
        else:
            call = new_call(
                (
                    caller.principal,
                    target.action_id,
                    target.source_ip,
                    now,
                    WHOLE,
                    None,
                    None,
                    None,
                    caller.session,
                )
            )
            if target.resources is None:
                decision = bundle.decide(call)
        if decision is None or self._passes(decision):
            content = self.content(target, body, params, query)
            if isinstance(content, Rejection):
                decision, call = content, None
            elif decision is None and target.resources is not None and call is not None:
                call = call._replace(resources=bind_resources(target.resources, content, target.region))
                decision = bundle.decide(call)
        return new_judgement((head, target, params, None, caller, call, decision, False))

    def content(
        self, target: Target, body: HeldBody | None, params: Params, beside_form: Params = ()
    ) -> ParameterSources | Rejection | None:
        """Return the parameters that name resources, None if they were not read, or a rejection.

        params: of the form where the body is one, else of the query. beside_form: of the query.
        """
        form, templates = target.body, target.resources
        names = None if templates is None else templates.lookalikes
        if form is None or form.kind == "form":
            if templates is None:
                return None
            found = nested_parameters(params, names)
            return beside(nested_parameters(beside_form, names), found) if beside_form else found
        if body is None or (body.plain and not target.reads_plain):
            return None
        depth, limit = self._limits.json_depth, self._limits.params
        found = read_body(form, body.data, target.action or "", names, depth=depth, limit=limit)
        if templates is None or not params or found is None:
            return found
        return beside(nested_parameters(params, names), found)

"""The late decision: of requests whose call is known only with their body.

A form may name the action and carry the signature, a signature covers the body, JSON and multipart name
resources. The order is fixed (T38): form, caller, policies, content, resources. The policies decide
before the body is read further, except for an action whose resources the body names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from camguard.authn.credentials import Caller
from camguard.bundle.model import Bundle
from camguard.enforcement.outcome import Authentication, Judgement, kept_of, new_judgement, rejected
from camguard.enforcement.request_tags import plainly_numbered, read_request_tags
from camguard.enforcement.resource_binding import ResourceTemplates, bind_resources
from camguard.enforcement.target import Target, Targets, agreed_action
from camguard.engine.call import Call
from camguard.engine.decision import Decision
from camguard.engine.settled import settled
from camguard.fast_tuple import constructor_of
from camguard.request.body import NOT_SHOWN, HeldBody, is_plain
from camguard.request.body_formats import read_body
from camguard.request.head import RequestHead
from camguard.request.params import (
    NOTHING_ALIKE,
    Lookalikes,
    ParameterSources,
    Params,
    beside,
    nested_parameters,
    parse_params,
)
from camguard.request.rejection import BODY_NOT_SHOWN, Rejection, rejection
from camguard.settings.model import Settings

_ACTION_MISSING: Final = rejection("action_missing")
_BODY_MALFORMED: Final = rejection("body_malformed")
_SERVICE_UNKNOWN: Final = rejection("service_unknown")
WHOLE: Final = ("*",)
UNBOUND: Final = (None,)

new_call = constructor_of(Call)


class LateJudge:
    """Judges requests with their bodies.

    passes: tells whether a request goes on with a decision. for_proxy: whether proxies ask about requests
    that they forward themselves: an empty body then counts as one only where a signature proves it (T141). A
    request over a shared host may name each service, or only those that have an upstream of their own
    (`hosts.shared_by`, T123).
    """

    __slots__ = ("_authentication", "_for_proxy", "_limits", "_passes", "_reachable")

    def __init__(
        self,
        settings: Settings,
        authentication: Authentication,
        passes: Callable[[Decision | Rejection, Target], bool],
        *,
        for_proxy: bool = False,
    ) -> None:
        self._for_proxy = for_proxy
        self._limits = settings.limits
        self._authentication = authentication
        self._passes = passes
        by_header = settings.hosts.shared_by == "header"
        self._reachable = None if by_header else frozenset(settings.upstream) - {"default"}

    def judge(  # noqa: C901, PLR0911, PLR0912, PLR0915 - one order (T38); the values of one request
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
        hidden = self._for_proxy and self._is_hidden(head, target, body)
        if hidden:
            data = None
            hides = self._hides_caller(head, target)
            if hides is not None:
                return rejected(head, target, hides)
        elif target.body is not None and target.body.kind == "form" and data is not None:
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
                head, target.host_service, data, params, target.peer_trusted, now, judged.claim
            )
        if isinstance(caller, Rejection):
            return rejected(head, target, caller)
        if target.shared:
            target = self._of_signed_service(head, target, params + query, caller, targets(bundle))
            if target.rejection is not None:
                return rejected(head, target, target.rejection)
        decision: Decision | Rejection | None = None
        call, tags = None, False
        kept = None
        if judged.known is not None and judged.known.signed:
            kept = kept_of(judged.known.signed.get(id(caller)), bundle, now)
        if kept is not None:
            decision = kept.decision
        elif isinstance(target.action_id, Rejection):
            decision = target.action_id
        else:
            call = new_call(
                (
                    caller.principal,
                    target.action_id,
                    target.judged_ip,
                    now,
                    WHOLE,
                    None,
                    None,
                    # A session policy may ask for keys that no policy of the bundle asks for.
                    target.context if caller.session is None else target.attributes,
                    caller.session,
                )
            )
            tags = target.reads_tags or (caller.session is not None and bool(target.tag_paths))
            if target.resources is None and not tags:
                decision = bundle.decide(call)
            elif hidden:
                decision = _without_body(target, call, bundle, tags=tags)
                if isinstance(decision, Rejection):
                    return rejected(head, target, decision)
        if decision is None or self._passes(decision, target):
            content = self.content(target, body, params, query, tags=tags)
            if isinstance(content, Rejection):
                decision, call, kept = content, None, None
            elif decision is None and call is not None:
                if tags:
                    call = call._replace(request_tags=request_tags(target, content, params + query))
                if target.resources is not None:
                    call = call._replace(resources=bind_resources(target.resources, content, target.region))
                decision = bundle.decide(call)
        return new_judgement((head, target, params, None, caller, call, decision, False, judged.known, kept))

    def _is_hidden(self, head: RequestHead, target: Target, body: HeldBody | None) -> bool:
        """Tell whether a request may have a body that the proxy in front does not show (T141).

        Where a proxy shows bodies, an empty one is what a signature proves to be empty, or not shown.
        """
        if body is None or target.body is None:
            return False
        return body is NOT_SHOWN or (not body.data and not self._authentication.needs_body(head))

    def _hides_caller(self, head: RequestHead, target: Target) -> Rejection | None:
        """Return why a body that is not shown hides the action or the caller, None where it does not (T141).

        A form may carry a signature, even where the head names the action.
        """
        form = target.body is not None and target.body.kind == "form"
        if form and target.action is None:
            return BODY_NOT_SHOWN["action"]
        return BODY_NOT_SHOWN["signature"] if form or self._authentication.needs_body(head) else None

    def _of_signed_service(
        self, head: RequestHead, target: Target, params: Params, caller: Caller, targets: Targets
    ) -> Target:
        """Return the target of a request over a shared host: its verified signature names the service (T123).

        params: of query and form together.
        """
        service = self._authentication.signed_service(head) if caller.signature == "valid" else None
        if service is None or (self._reachable is not None and service not in self._reachable):
            return replace(target, rejection=_SERVICE_UNKNOWN)
        action = None if target.action is None else target.action.encode()
        return targets.with_parameters(head, params, action, service)

    def content(
        self,
        target: Target,
        body: HeldBody | None,
        params: Params,
        beside_form: Params = (),
        *,
        tags: bool = False,
    ) -> ParameterSources | Rejection | None:
        """Return the parameters that name resources or tags, None if they were not read, or a rejection.

        params: of the form where the body is one, else of the query. beside_form: of the query. tags: whether
        tags are wanted, so that the parameters are read for an action without resources, too.
        """
        form, templates = target.body, target.resources
        wanted = templates is not None or tags
        if form is None or form.kind == "form":
            if not wanted:
                return None
            names = _lookalikes(templates, tags=tags)
            found = nested_parameters(params, names)
            if not beside_form or beside_form is params:
                return found
            return beside(nested_parameters(beside_form, names), found)
        if (
            body is None
            or (not target.reads_plain and is_plain(body.data))
            or (self._for_proxy and not body.data)
        ):
            return None
        depth, limit = self._limits.json_depth, self._limits.params
        names = _lookalikes(templates, tags=tags)
        action, region = target.action or "", target.fixed_region
        found = read_body(form, body.data, action, names, depth=depth, limit=limit, region=region)
        if not wanted or not params or found is None:
            return found
        return beside(nested_parameters(params, names), found)


def _without_body(target: Target, call: Call, bundle: Bundle, *, tags: bool) -> Decision | Rejection:
    """Return the decision of a call under every body, or which part of the body it depends on (T141)."""
    named = target.resources is not None
    decision = settled(bundle.evaluator, call._replace(resources=UNBOUND) if named else call, tags=tags)
    return BODY_NOT_SHOWN["resources" if named else "tags"] if decision is None else decision


def _lookalikes(templates: ResourceTemplates | None, *, tags: bool) -> Lookalikes | None:
    """Return the parameters that are looked for, None where a body is only searched for names that decide."""
    names = None if templates is None else templates.lookalikes
    return NOTHING_ALIKE if names is None and tags else names


def request_tags(
    target: Target, parameters: ParameterSources | None, flat: Params
) -> Mapping[str, str] | None:
    """Return the tags of a request by key, or None if they are not supplied (DEC-65).

    parameters: what `LateJudge.content` returned. flat: the parameters of query and form.
    """
    if (target.body is not None and target.body.kind == "multipart") or not plainly_numbered(flat):
        return None
    return read_request_tags(target.tag_paths, parameters)

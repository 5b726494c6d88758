"""What one request says, read once and in one order: head, address, service, action, body.

Rule 1: a stage returns the refusal that ends the reading, or None. What was found until then stays in `Seen`
        for the record. A refusal is false: stages are chained by `is None`, never by `or`.
Rule 2: what the head alone can refuse is refused before a byte of the body is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from camguard.authn.authenticator import Claim, Identity
from camguard.bundle.model import Bundle
from camguard.enforcement.resource_binding import Parameters, Said, both, nest
from camguard.enforcement.service_index import Named, Site, agreed
from camguard.enforcement.target import Meanings, Told
from camguard.engine.call import Call
from camguard.engine.decision import Decision
from camguard.request.body import TOO_LARGE
from camguard.request.body_formats import UNREAD, Fields, inspect_json, inspect_multipart, plain_json
from camguard.request.client_address import Origin, Origins, peer_text
from camguard.request.head import Head, HeadRules, Lines, head_of, read_lines
from camguard.request.params import ACTION, Params, parse_params
from camguard.request.rejection import refused
from camguard.settings.model import Settings
from camguard.telemetry.record import Facts

# In the `extensions` of a scope: the server keeps trailers out of `headers`, whenever they arrive.
TRAILERS_APART: Final = "camguard.trailers_apart"

_LENGTH_DIGITS: Final = 18
_VERSIONS: Final = frozenset(("1.0", "1.1"))  # in which a request without length and coding has no body
_TRAILERS: Final = refused("trailers_possible")
_ACTION_MISSING: Final = refused("action_missing")
_FRAMING: Final = refused("framing")
_BODY_ON_GET: Final = refused("body_on_get")
_QUERY_MALFORMED: Final = refused("query_malformed")
_BODY_MALFORMED: Final = refused("body_malformed")


class Seen:
    """What has been found out about one request so far.

    lines: the frozen header lines, None before they were read. bundle, meanings: what it is judged by, and
    what that says may be named; absent where there is none.
    named: what the head names, the action of a query or form included once that is read. told: where the head
    tells all; facts: of it, once it was asked about. declared: the length of the body, None where unknown.
    limit: what that may be. streams: whether the body passes through unjudged. body: None where it is not
    held here. params: of the query, or of the form where it is one. beside: of the query beside a form.
    parameters: as JSON would hold them; None: not read. claim: what the head tells of the caller. signature,
    secret_id: of a refused caller.
    """

    bundle: Bundle
    meanings: Meanings
    lines: Lines | None = None
    origin: Origin | None = None
    named: Named | None = None
    told: Told | None = None
    facts: Facts | None = None
    declared: int | None = None
    limit: int = 0
    streams: bool = False
    params: Params = ()
    beside: Params = ()
    parameters: Said | None = None
    body: bytes | None = None
    claim: Claim = None
    identity: Identity | None = None
    signature: str | None = None
    secret_id: str | None = None
    call: Call | None = None
    candidate: Decision | None = None
    _head: Head | None = None

    @property
    def head(self) -> Head:
        """The named fields of the lines, made when first asked for."""
        if self._head is None:
            assert self.lines is not None  # noqa: S101 - for mypy: nobody asks before they were read
            self._head = head_of(self.lines)
        return self._head

    def withdraw(self) -> None:
        """Take back that there is a call: the body of one that the head told was refused."""
        self.call = None  # nothing that a candidate could be compared by
        if self.facts is not None:
            self.facts = self.facts._replace(resources=())

    def found_facts(self) -> Facts:
        """Return what a record says of a request of which the head alone does not tell all."""
        named, identity, call, origin = self.named, self.identity, self.call, self.origin
        return Facts(
            entry=None if named is None else named.entry,
            principal=None if identity is None else identity.principal,
            secret_id=self.secret_id if identity is None else identity.secret_id,
            service=self._service() if named is None else named.service,
            action=None if named is None else named.action,
            resources=() if call is None else call.resources,
            source_ip=None if origin is None else origin.place,
            peer=None if origin is None else origin.peer,
            client_ip=None if origin is None else origin.method,
            signature=self.signature if identity is None else identity.signature,
        )

    def _service(self) -> str | None:
        """Return the service that the host names, where the request was read no further."""
        meanings: Meanings | None = getattr(self, "meanings", None)
        if self.lines is None or meanings is None:
            return None
        site = meanings.directory.site(self.head.host)
        return site.name if isinstance(site, Site) else None


class Reader:
    """Reads requests by settled rules. needs_body: tells of a head whether its signature covers the body."""

    def __init__(self, settings: Settings, needs_body: Callable[[Head], bool]) -> None:
        self._limits = settings.limits
        self._needs_body = needs_body
        self._rules = HeadRules(settings)
        self._merged_allowed = settings.enforcement.allow_merged_trailers
        self.origins = Origins(settings.client_ip).known

    def read(self, seen: Seen, scope: Mapping[str, Any]) -> Decision | None:
        """Read all that is there before the body.

        Header lines that `seen` has already are not read again: the server may have added to them since.
        """
        lines = seen.lines
        if lines is None:
            found = read_lines(scope, self._rules)
            if isinstance(found, Decision):
                return found
            lines = seen.lines = found
        method, query, _, values, _, shape = lines
        if shape.length < 0 and self._may_be_merged(scope, method, chunked=shape.chunked):
            return _TRAILERS
        peer = peer_text(scope.get("client"), shape.plain(values))
        meaning = seen.meanings.known[method, peer, *shape.deciding(values)]
        origin = seen.origin = meaning.origin
        if origin.refusal is not None:
            return origin.refusal
        named: Named | Decision = meaning.named
        if query:
            params = parse_params(query, self._limits.params, _QUERY_MALFORMED)
            action = params if isinstance(params, Decision) else agreed(seen.head.action, params)
            if isinstance(action, Decision):
                return action
            seen.params = params  # type: ignore[assignment]  # found to be no refusal
            named = self._enter(seen, action)
        if isinstance(named, Decision):
            return named
        seen.named = named
        if not (query or shape.signed):
            seen.told = meaning.told
        return self._frame(seen, named, values[shape.length], chunked=shape.chunked)

    def _may_be_merged(self, scope: Mapping[str, Any], method: str, *, chunked: bool) -> bool:
        """Tell whether the headers of a request without a length may hold its trailers (T139).

        Trailers follow a chunked body, and over HTTP/2 and later any body without a length. A GET counts only
        where it is chunked: it may have no body, every client sends it without a length over HTTP/2, and no
        server was found that merges trailers of HTTP/2 (SECURITY.md).
        """
        possible = chunked or (method != "GET" and scope.get("http_version") not in _VERSIONS)
        return possible and not (self._merged_allowed or TRAILERS_APART in (scope.get("extensions") or ()))

    def _enter(self, seen: Seen, action: bytes | None) -> Named | Decision:
        """Look up what head and parameters name. An action that is not in the catalog has no entry."""
        head = seen.head
        version, region = head.version, head.region
        said = seen.params + seen.beside
        if head.action is None or (said and any(name == ACTION for name, _ in said)):
            # A query or form that names the action names these, too (CAM 14.2), whatever else names them.
            version, region = _common(said, "Version", version), _common(said, "Region", region)
        naming = (head.method, head.host, head.content_type, action, version, region)
        return seen.meanings.directory.named[naming]

    def _frame(self, seen: Seen, named: Named, length: bytes | None, *, chunked: bool) -> Decision | None:
        """Settle how long the body is, and whether it must be held (THREATS 3.5.6, THREATS 3.5.7)."""
        seen.limit = named.limit
        if length is not None:
            if not length.isdigit() or len(length) > _LENGTH_DIGITS:
                return _FRAMING
            seen.declared = int(length)
            if seen.declared > named.limit:
                return _BODY_ON_GET if named.content is None else TOO_LARGE
        content = named.content
        if content is None:
            return _BODY_ON_GET if chunked else None
        if content.kind == "octets":
            seen.streams = not self._needs_body(seen.head)
        return None

    def hold(self, seen: Seen, body: bytes | Decision, *, look: bool) -> Decision | None:
        """Keep a body for what follows. body: or why there is none.

        A form is read here, for it may carry the action and the caller's signature; any other body where the
        call is judged already.
        """
        if not isinstance(body, Decision):
            seen.body = body
            if not look:
                return None
        named = seen.named
        assert named is not None  # noqa: S101 - for mypy: the head was read
        content = named.content
        if isinstance(body, Decision):
            return _BODY_ON_GET if content is None and body is TOO_LARGE else body
        if seen.told is not None:
            return self.inspect(seen, body)
        return self._form(seen, body) if content is not None and content.kind == "form" else None

    def inspect(self, seen: Seen, body: bytes) -> Decision | None:
        """Read what any other body says of action and parameters; after the caller is known (T38)."""
        named = seen.named
        assert named is not None  # noqa: S101 - for mypy: the head was read
        content, templates = named.content, named.templates
        if content is None:
            if templates is not None:
                seen.parameters = nest(seen.params)
            return None
        kind = content.kind
        if kind == "form" or (kind == "json" and templates is None and plain_json(body)):
            return None
        wanted = templates is not None and templates.needs_parameters
        found: Fields | Decision = UNREAD
        if kind == "json":
            depth, limit = self._limits.json_depth, self._limits.params
            found = inspect_json(body, named.action or "", wanted=wanted, depth=depth, limit=limit)
        elif kind == "multipart":
            limit = self._limits.params
            found = inspect_multipart(body, content.boundary, named.action or "", wanted=wanted, limit=limit)
        if isinstance(found, Decision):
            return found
        told: Parameters | None = found.parameters
        if kind == "multipart" and told is not None:
            told = nest(tuple(told.items()))
        seen.parameters = both(told, seen.params)
        return None

    def _form(self, seen: Seen, body: bytes) -> Decision | None:
        """Read a form: its parameters, and the action where header and query name none."""
        params = parse_params(body, self._limits.params, _BODY_MALFORMED)
        if isinstance(params, Decision):
            return params
        named = seen.named.action if seen.named is not None else None
        action = agreed(named.encode() if named is not None else None, params)
        if isinstance(action, Decision):
            return action
        if action is None:
            return _ACTION_MISSING
        seen.params, seen.beside = params, seen.params
        entered = self._enter(seen, action)
        if isinstance(entered, Decision):
            return entered
        seen.named = entered
        if entered.templates is not None:
            seen.parameters = both(nest(params), seen.beside)
        return None


def _common(params: Params, name: str, header: bytes | None) -> bytes | None:
    """Return what parameter and header say together; nothing that is well formed where they do not agree."""
    said = [value.encode() for each, value in params if each == name]
    if header is not None and header not in said:
        said.append(header)
    return b"&".join(said) if said else None

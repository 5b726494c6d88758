"""What one request says, read once and in one order: head, address, service, action, body.

Rule 1: a stage returns the refusal that ends the reading, or None. What was found until then stays in `Seen`
        for the record.
Rule 2: what the head alone can refuse is refused before a byte of the body is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from camguard.catalog.model import Action, Granularity
from camguard.edge.body import Intake, Receive, declared_length
from camguard.edge.client_address import (
    INVALID,
    Peer,
    Source,
    client_address,
    peer_of,
    peer_text,
)
from camguard.edge.content import UNREAD, Content, Fields, content_of, inspect_json, inspect_multipart
from camguard.edge.head import Head, HeadRules, read_head
from camguard.edge.memo import Memo
from camguard.edge.params import Params, parse_params
from camguard.edge.refusal import refused
from camguard.edge.resources import Parameters, Templates, nest
from camguard.edge.wire import ACTION_NAME, REGION, VERSION, Directory, Site, agreed, word
from camguard.engine.decision import Decision
from camguard.settings.model import Settings

CLIENT_LEFT: Final = refused("client_left")
_ACTION_MISSING: Final = refused("action_missing")
_ACTION_INVALID: Final = refused("action_invalid")
_REGION_INVALID: Final = refused("region_invalid")
_VERSION_INVALID: Final = refused("version_invalid")
_CONTENT_TYPE: Final = refused("content_type")
_FRAMING: Final = refused("framing")
_BODY_ON_GET: Final = refused("body_on_get")
_BODY_TOO_LARGE: Final = refused("body_too_large")
_QUERY_MALFORMED: Final = refused("query_malformed")
_BODY_MALFORMED: Final = refused("body_malformed")
PROXY: Final = Peer(None, trusted=True)


class Seen:
    """What has been found out about one request so far.

    peer: the socket's address as text. client_ip: how the address was found, or `invalid`. action: as named.
    params: of the query, or of the form where the body is one. parameters: as JSON would hold them; None:
    not read. body: None where it is not held here.
    """

    peer: str | None = None
    trusted: bool = False
    source: Source | None = None
    client_ip: str | None = None
    head: Head | None = None
    site: Site | None = None
    content: Content | None = None
    declared: int | None = None
    action: bytes | None = None
    version: str | None = None
    region: str | None = None
    entry: Action | None = None
    templates: Templates | None = None
    params: Params = ()
    parameters: Parameters | None = None
    body: bytes | None = None


class Reader:
    """Reads requests by settled rules. intake: where bodies are held while they are judged."""

    def __init__(self, settings: Settings, needs_body: Callable[[Head], bool]) -> None:
        limits = settings.limits
        self.limits = limits
        self.intake = Intake(limits.buffered_bytes, limits.body_seconds)
        self._needs_body = needs_body
        self._rules = HeadRules(settings)
        trusted, header = settings.client_ip.trusted_proxies, settings.client_ip.header
        self._peers: Memo[str, Peer | Decision] = Memo(lambda text: peer_of(text, trusted))
        self._socket = peer_of(None, trusted, trust_unix_socket=settings.client_ip.trust_unix_socket)
        self._proxied: Memo[tuple[bytes, ...], Source | Decision] = Memo(
            lambda lines: client_address(PROXY, lines, trusted, header),
            size=lambda lines: sum(map(len, lines)),
        )
        self._contents: Memo[bytes, Content | Decision] = Memo(content_of)
        self._regions: Memo[bytes, str | None] = Memo(partial(word, REGION))
        self._versions: Memo[bytes, str | None] = Memo(partial(word, VERSION))

    def read(self, seen: Seen, scope: Mapping[str, Any], directory: Directory) -> Decision | None:
        """Read all that is there before the body."""
        head = read_head(scope, self._rules)
        if isinstance(head, Decision):
            return head
        seen.head = head
        # A refusal is false, so stages are chained by `is None`, never by `or`.
        refusal = self._address(seen, scope.get("client"), head)
        if refusal is None:
            refusal = self._frame(seen, head)
        if refusal is None:
            refusal = self._name(seen, head, directory)
        return refusal

    def _address(self, seen: Seen, client: Any, head: Head) -> Decision | None:
        """Find the client's address, and whether the peer is one that may speak for others."""
        text = peer_text(client)
        peer = self._socket if text is None else self._peers[text]
        if isinstance(peer, Decision):
            seen.client_ip = "invalid"
            return peer
        seen.peer = text
        seen.trusted = peer.trusted
        source: Source | Decision | None = peer.source
        if peer.trusted and head.forwarded:
            source = self._proxied[head.forwarded]
        if source is None or isinstance(source, Decision):
            seen.client_ip = "invalid"
            return source or INVALID
        seen.source = source
        seen.client_ip = source.method
        return None

    def _frame(self, seen: Seen, head: Head) -> Decision | None:
        """Settle what the body is and how long it says it is (threats 3.5.5, 3.5.6)."""
        if head.content_type is not None:
            content = self._contents[head.content_type]
            if isinstance(content, Decision):
                return content
            seen.content = content
        elif head.method == "POST":
            return _CONTENT_TYPE
        if head.content_length is not None:
            seen.declared = declared_length(head.content_length)
            if seen.declared is None:
                return _FRAMING
            if seen.declared > self.limits.body_bytes:
                return _BODY_TOO_LARGE
        if head.method == "GET" and (seen.declared or head.chunked):
            return _BODY_ON_GET
        return None

    def _name(self, seen: Seen, head: Head, directory: Directory) -> Decision | None:
        """Find the service, and the action if header or query name it."""
        site = directory.hosts[head.host]
        if isinstance(site, Decision):
            return site
        seen.site = site
        if head.region is not None:
            seen.region = self._regions[head.region]
            if seen.region is None:
                return _REGION_INVALID
        if head.version is not None:
            seen.version = self._versions[head.version]
            if seen.version is None:
                return _VERSION_INVALID
        action = head.action
        if head.query:
            params = parse_params(head.query, self.limits.params, _QUERY_MALFORMED)
            found = params if isinstance(params, Decision) else agreed(action, params)
            if isinstance(found, Decision):
                return found
            seen.params, action = params, found  # type: ignore[assignment]  # found to be no refusal
        if (
            action is None
            and head.method == "POST"
            and seen.content is not None
            and seen.content.kind == "form"
        ):
            return None
        return self._enter(seen, action, directory)

    def _enter(self, seen: Seen, action: bytes | None, directory: Directory) -> Decision | None:
        """Look the named action up. One that is not in the catalog goes on without an entry."""
        if not action:
            return _ACTION_MISSING
        assert seen.site is not None  # noqa: S101 - for mypy: the host was read before
        entry = seen.site.actions.get(action)
        if entry is None:
            if not ACTION_NAME.fullmatch(action):
                return _ACTION_INVALID
        elif entry.granularity is not Granularity.OPERATION:
            seen.templates = directory.templates(entry)
        seen.action = action
        seen.entry = entry
        return None

    def streams(self, seen: Seen) -> bool:
        """Tell whether the body may pass through: nothing in it is judged, nor does a signature cover it."""
        content, head = seen.content, seen.head
        assert head is not None  # noqa: S101 - for mypy: a body is asked for after the head
        return (
            content is not None
            and content.kind == "octets"
            and head.method == "POST"
            and not self._needs_body(head)
        )

    async def take(self, seen: Seen, receive: Receive, directory: Directory) -> Decision | None:
        """Take the body and read what it says of action and parameters."""
        head, content, limits = seen.head, seen.content, self.limits
        assert head is not None  # noqa: S101 - for mypy: a body is asked for after the head
        kind = content.kind if content is not None and head.method == "POST" else None
        limit = 0 if kind is None else limits.form_bytes if kind == "form" else limits.body_bytes
        body = await self.intake.take(receive, seen.declared, limit)
        if body is None:
            return CLIENT_LEFT
        if isinstance(body, Decision):
            return _BODY_ON_GET if kind is None and body is _BODY_TOO_LARGE else body
        seen.body = body
        if kind is None:
            if seen.templates is not None:
                seen.parameters = nest(seen.params)
            return None
        if kind == "form":
            return self._form(seen, body, directory)
        return self._inspect(seen, content, body)

    def _form(self, seen: Seen, body: bytes, directory: Directory) -> Decision | None:
        """Read a form: parameters, and perhaps the action."""
        params = parse_params(body, self.limits.params, _BODY_MALFORMED)
        if isinstance(params, Decision):
            return params
        action = agreed(seen.action, params)
        if isinstance(action, Decision):
            return action
        seen.params = params
        if seen.action is None:
            refusal = self._enter(seen, action, directory)
            if refusal is not None:
                return refusal
        if seen.templates is not None:
            seen.parameters = nest(params)
        return None

    def _inspect(self, seen: Seen, content: Content | None, body: bytes) -> Decision | None:
        """Look for an action inside of JSON or multipart, and for parameters where resources need them."""
        assert content is not None  # noqa: S101 - for mypy: a POST without a type was refused
        assert seen.action is not None  # noqa: S101 - for mypy: only a form may name it later
        action, templates, limits = seen.action.decode("ascii"), seen.templates, self.limits
        found: Fields | Decision = UNREAD
        if content.kind == "json":
            wanted = templates is not None and templates.needs_parameters
            found = inspect_json(body, action, wanted=wanted, depth=limits.json_depth, limit=limits.params)
        elif content.kind == "multipart":
            found = inspect_multipart(body, content.boundary, action, limit=limits.params)
        if isinstance(found, Decision):
            return found
        seen.parameters = found.parameters
        return None

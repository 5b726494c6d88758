"""What observers are told of one request."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from camguard.catalog.model import Action
from camguard.engine.decision import Decision


class Record(NamedTuple):
    """One judged request: facts by reference, formatted by whoever writes them.

    time: seconds since the epoch. duration: seconds, frozen headers to decision. entry: the catalog's
    action, or None where none is known (labels come from it alone). action, service, principal: what the
    request named, None where it could not be read; text from outside, never a label.
    secret_id: already shortened. source_ip: place on the number line. peer: the socket's address as text.
    client_ip: how the address was found (`peer`, `forwarded`, `invalid`), None where not reached.
    signature: result of the signature check, a word of a closed list, None where none was made.
    candidate: what the candidate bundle decided, None without one.
    """

    time: float
    request_id: str
    listener: str
    mode: str  # "enforce" or "shadow"
    decision: Decision
    entry: Action | None
    principal: str | None
    secret_id: str | None
    service: str | None
    action: str | None
    resources: tuple[str | None, ...]
    source_ip: int | None
    peer: str | None
    client_ip: str | None
    signature: str | None
    revision: str
    candidate: Decision | None
    duration: float


class Facts(NamedTuple):
    """What a `Record` says of the caller and the call: the fields in its middle, in its order."""

    entry: Action | None
    principal: str | None
    secret_id: str | None
    service: str | None
    action: str | None
    resources: tuple[str | None, ...]
    source_ip: int | None
    peer: str | None
    client_ip: str | None
    signature: str | None


Observer = Callable[[Record], None]  # told once per request, right after the decision
Conclusion = Callable[[Record, int | None], None]  # told when the answer is done, with the upstream's status

"""What a head tells by itself: judged before the body, and as if it had been judged after it."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.authn.authenticator import authenticator
from camguard.request.body import BodyBuffer
from camguard.settings.model import IdentitySettings
from tests.stage import (
    ALICE,
    ELSEWHERE,
    OFFICE,
    SETTINGS,
    FixedPolicies,
    Line,
    Play,
    bundle,
    enforcement,
    sdk,
)

HEADER_AUTHENTICATION = authenticator(IdentitySettings(mode="header"), None)
IDENTITY = b"x-camguard-principal"
SETTINGS_OF = {
    "enforce": SETTINGS,
    "shadow": enforcement(mode="shadow"),
    "judge": enforcement(unknown_action="judge"),
}
POLICIES_OF = {
    "enforce": FixedPolicies(),
    "shadow": FixedPolicies(),
    "judge": FixedPolicies(bundle(unknown_action="judge")),
}


def play(mode: str, **parts: Any) -> Play:
    return Play(
        SETTINGS_OF[mode],
        authentication=HEADER_AUTHENTICATION,
        policies=POLICIES_OF[mode],
        candidate=FixedPolicies(bundle({})),
        **parts,
    )


WAITS = (b"expect", b"100-continue")
TAKEN = [
    pytest.param(OFFICE, (), True, 1, id="of an allowed call"),
    pytest.param(ELSEWHERE, (), True, 0, id="not of a denied one, where the server reads on by itself"),
    pytest.param(ELSEWHERE, (), False, 1, id="of a denied one, where its client might not hear the answer"),
    pytest.param(ELSEWHERE, (WAITS,), False, 0, id="not of a denied client that waits for 100 Continue"),
    pytest.param("nowhere", (), False, 0, id="not of a client whose address is not known"),
]


@pytest.mark.parametrize(("source", "more", "drains", "taken"), TAKEN)
def test_a_body_is_taken(
    source: str, more: tuple[Line, ...], drains: bool, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes: list[Any] = []
    take = BodyBuffer.take

    def counting(*args: Any) -> Any:
        takes.append(args)
        return take(*args)

    monkeypatch.setattr(BodyBuffer, "take", counting)
    stage = Play(authentication=HEADER_AUTHENTICATION, drains=drains)
    lines = sdk((b"x-forwarded-for", source.encode()), (IDENTITY, ALICE.encode()), *more)
    reply = stage.reply_to(
        lines=lines, chunks=(b'{"Action":"PayOrders"}',) if source == ELSEWHERE else (b"{}",)
    )
    assert len(takes) == taken
    assert reply.passed is (source == OFFICE)
    assert reply.detail in {"allowed", "no_allow", "client_ip_invalid"}, "not a detail of its body"


def test_under_another_bundle_every_target_is_resolved_anew() -> None:
    store = FixedPolicies()
    stage = Play(authentication=HEADER_AUTHENTICATION, policies=store)
    lines = sdk((b"x-forwarded-for", OFFICE.encode()), (IDENTITY, ALICE.encode()))
    assert stage.reply_to(lines=lines).passed
    store.bundle = bundle({})
    assert not stage.reply_to(lines=lines).passed

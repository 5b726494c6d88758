"""What a head tells by itself: judged before the body, and as if it had been judged after it."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camguard.authn.authenticator import authenticator
from camguard.enforcement import target as target_module
from camguard.enforcement.target import Target, Targets
from camguard.request.body import BodyBuffer
from camguard.settings.model import IdentitySettings
from tests.stage import (
    ALICE,
    ELSEWHERE,
    OFFICE,
    PROXY,
    QUIET,
    SETTINGS,
    FixedPolicies,
    Line,
    Play,
    Reply,
    bundle,
    enforcement,
    sdk,
)

HEADER_AUTHENTICATION = authenticator(IdentitySettings(mode="header"), None)
IDENTITY = b"x-camguard-principal"
FORM = b"application/x-www-form-urlencoded"
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


def seen_in(reply: Reply) -> Any:
    """Everything of a reply but its request id and how long it took."""
    told = [record._replace(request_id="", duration=0.0) for record in reply.records]
    ids = [record.request_id.encode() for record in reply.records]
    body = reply.body.replace(ids[0], b"ID")
    reached = [
        {key: value for key, value in scope.items() if key != "camguard.record"} for scope, _ in reply.reached
    ]
    return told, body, reached, [messages for _, messages in reply.reached]


REQUESTS = st.fixed_dictionaries(
    {
        "who": st.sampled_from([None, ALICE.encode(), b"100000000102", b"uin/100000000103", b"x y"]),
        "source": st.sampled_from([OFFICE, ELSEWHERE, "203.0.113.6", "2001:db8::1", "nowhere"]),
        "peer": st.sampled_from([PROXY, OFFICE]),
        "host": st.sampled_from([b"partners", b"aiart", b"cvm", b"nothing"]),
        "action": st.sampled_from([b"QueryArea", b"PayOrders", b"TextToImage", b"StopInstances", b"Unheard"]),
        "version": st.sampled_from([b"2022-09-28", b"2019-01-01", None]),
        "kind": st.sampled_from([b"application/json", FORM, b"application/octet-stream", b"text/plain"]),
        "body": st.sampled_from([b"{}", b'{"A":1}', b'{"Action":"QueryArea"}', b"\xff", b"A=1", b""]),
        "method": st.sampled_from(["POST", "GET"]),
        "query": st.sampled_from([b"", b"A=1"]),
        "drains": st.booleans(),
    }
)


def asked(mode: str, request: dict[str, Any]) -> Reply:
    named = {"host": request["host"] + b".tencentcloudapi.com", "x_tc_action": request["action"]}
    without = [b"x-tc-version"] if request["version"] is None else []
    if request["version"] is not None:
        named["x_tc_version"] = request["version"]
    extra = [(b"x-forwarded-for", request["source"].encode())]
    if request["who"] is not None:
        extra.append((IDENTITY, request["who"]))
    get = request["method"] == "GET"
    if get:
        without.append(b"content-type")
    else:
        named["content_type"] = request["kind"]
    return play(mode, drains=request["drains"]).reply_to(
        lines=sdk(*extra, without=without, **named),
        method=request["method"],
        query=request["query"],
        chunks=(b"" if get else request["body"],),
        client=(request["peer"], 40000),
    )


@pytest.mark.parametrize("mode", SETTINGS_OF)
@settings(QUIET, max_examples=300)
@given(request_=REQUESTS)
def test_what_a_head_tells_alone_is_judged_as_after_the_body(mode: str, request_: dict[str, Any]) -> None:
    before = asked(mode, request_)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target_module, "_start", lambda *_: None)
        after = asked(mode, request_)
    said = [reply.records[0].decision for reply in (before, after)]
    if said[0] != said[1]:  # what policy denies is denied whatever the body says
        assert not said[0]
        assert said[1].detail in {"action_conflict", "body_malformed"}
        return
    assert seen_in(before) == seen_in(after)


WAITS = (b"expect", b"100-continue")
TAKEN = [
    pytest.param(OFFICE, (), True, 1, id="of an allowed call"),
    pytest.param(ELSEWHERE, (), True, 0, id="not of a denied one, where the server reads on by itself"),
    pytest.param(ELSEWHERE, (), False, 1, id="of a denied one, where its client might not hear the answer"),
    pytest.param(ELSEWHERE, (WAITS,), False, 0, id="not of a denied client that waits to be asked"),
    pytest.param("nowhere", (), False, 0, id="not of who cannot be told from where he calls"),
]


@pytest.mark.parametrize(("source", "more", "drains", "taken"), TAKEN)
def test_a_body_is_taken(
    source: str, more: tuple[Line, ...], drains: bool, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[Any] = []
    take = BodyBuffer.take

    def noted(*told: Any) -> Any:
        asked_for.append(told)
        return take(*told)

    monkeypatch.setattr(BodyBuffer, "take", noted)
    stage = Play(authentication=HEADER_AUTHENTICATION, drains=drains)
    lines = sdk((b"x-forwarded-for", source.encode()), (IDENTITY, ALICE.encode()), *more)
    reply = stage.reply_to(
        lines=lines, chunks=(b'{"Action":"PayOrders"}',) if source == ELSEWHERE else (b"{}",)
    )
    assert len(asked_for) == taken
    assert reply.passed is (source == OFFICE)
    assert reply.detail in {"allowed", "no_allow", "client_ip_invalid"}, "not what its body says"


def test_a_combination_is_settled_once_and_judged_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    resolve = Targets._resolve  # noqa: SLF001 - what is done once

    def noted(self: Targets, key: Any) -> Target:
        made.append(key)
        return resolve(self, key)

    monkeypatch.setattr(Targets, "_resolve", noted)
    clock = iter([1.0, 2.0, 3.0, 4.0])
    stage = Play(authentication=HEADER_AUTHENTICATION, clock=lambda: next(clock))
    replies = [
        stage.reply_to(lines=sdk((b"x-forwarded-for", source.encode()), (IDENTITY, ALICE.encode())))
        for source, _ in product((OFFICE, ELSEWHERE), range(2))
    ]
    assert [reply.passed for reply in replies] == [True, True, False, False]
    assert [reply.records[0].time for reply in replies] == [1.0, 2.0, 3.0, 4.0]
    assert len(made) == 2


def test_what_callers_say_is_not_kept_without_end() -> None:
    stage = play("enforce")
    stage.reply_to(lines=sdk((b"x-forwarded-for", OFFICE.encode()), (IDENTITY, ALICE.encode())))
    found = stage.guard._targets_of  # noqa: SLF001 - what may not grow
    assert found is not None
    known = found[1].known
    (key,) = known
    sizes = []
    for number in range(20_000):
        assert known[*key[:-1], b"10.%d.%d.9" % divmod(number, 256)].start is not None
        sizes.append(len(known))
    assert max(sizes) == 16_384
    assert known[*key[:-1], b"10.0.0.9, " * 200].rejection is not None
    assert len(known) == sizes[-1], "too long to be kept"


def test_many_lines_of_next_to_nothing_are_not_kept() -> None:
    stage = play("enforce")
    for count in (1, 3, 100):
        lines = [(b"x-forwarded-for", b"%d" % number) for number in range(count)]
        stage.reply_to(lines=sdk(*lines, (b"x-forwarded-for", OFFICE.encode()), (IDENTITY, ALICE.encode())))
    known = stage.guard._targets_of  # noqa: SLF001 - what may not grow
    assert known is not None
    assert len(known[1].known) == 2


def test_another_bundle_means_everything_anew() -> None:
    store = FixedPolicies()
    stage = Play(authentication=HEADER_AUTHENTICATION, policies=store)
    lines = sdk((b"x-forwarded-for", OFFICE.encode()), (IDENTITY, ALICE.encode()))
    assert stage.reply_to(lines=lines).passed
    store.bundle = bundle({})
    assert not stage.reply_to(lines=lines).passed

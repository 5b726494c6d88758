"""A target is resolved once and kept within bounds, and an early decision is that of the whole request."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camguard.enforcement import target as target_module
from camguard.enforcement.target import Target, Targets
from tests.enforcement.test_early import HEADER_AUTHENTICATION, IDENTITY, SETTINGS_OF, play
from tests.stage import ALICE, ELSEWHERE, OFFICE, PROXY, QUIET, Play, Reply, sdk

FORM = b"application/x-www-form-urlencoded"


def without_ids(reply: Reply) -> Any:
    """Return what a reply is compared by: everything but request ids and durations."""
    records = [record._replace(request_id="", duration=0.0) for record in reply.records]
    ids = [record.request_id.encode() for record in reply.records]
    body = reply.body.replace(ids[0], b"ID")
    reached = [
        {key: value for key, value in scope.items() if key not in {"camguard.record", "headers"}}
        for scope, _ in reply.reached
    ]
    if reply.passed:
        reached[0]["headers"] = reply.carried
    return records, body, reached, [messages for _, messages in reply.reached]


REQUESTS = st.fixed_dictionaries(
    {
        "identity": st.sampled_from([None, ALICE.encode(), b"100000000102", b"uin/100000000103", b"x y"]),
        "source": st.sampled_from([OFFICE, ELSEWHERE, "203.0.113.6", "2001:db8::1", "nowhere"]),
        "peer": st.sampled_from([PROXY, OFFICE]),
        "host": st.sampled_from([b"partners", b"aiart", b"cvm", b"nothing"]),
        "action": st.sampled_from(
            [b"QueryArea", b"PayOrders", b"TextToImage", b"StopInstances", b"NoSuchAction"]
        ),
        "version": st.sampled_from([b"2022-09-28", b"2019-01-01", None]),
        "kind": st.sampled_from([b"application/json", FORM, b"application/octet-stream", b"text/plain"]),
        "body": st.sampled_from([b"{}", b'{"A":1}', b'{"Action":"QueryArea"}', b"\xff", b"A=1", b""]),
        "method": st.sampled_from(["POST", "GET"]),
        "query": st.sampled_from([b"", b"A=1"]),
        "drains": st.booleans(),
    }
)


def reply_with(mode: str, request: dict[str, Any]) -> Reply:
    named = {"host": request["host"] + b".tencentcloudapi.com", "x_tc_action": request["action"]}
    without = [b"x-tc-version"] if request["version"] is None else []
    if request["version"] is not None:
        named["x_tc_version"] = request["version"]
    extra = [(b"x-forwarded-for", request["source"].encode())]
    if request["identity"] is not None:
        extra.append((IDENTITY, request["identity"]))
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
def test_an_early_decision_is_the_one_that_the_whole_request_gets(
    mode: str, request_: dict[str, Any]
) -> None:
    before = reply_with(mode, request_)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target_module, "_start", lambda *_: None)
        after = reply_with(mode, request_)
    decisions = [reply.records[0].decision for reply in (before, after)]
    if decisions[0] != decisions[1]:  # a denial of policy stands whatever the body holds
        assert not decisions[0]
        assert decisions[1].detail in {"action_conflict", "body_malformed"}
        return
    assert without_ids(before) == without_ids(after)


def test_a_combination_is_resolved_once_and_judged_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved: list[Any] = []
    resolve = Targets._resolve

    def counting(self: Targets, key: Any) -> Target:
        resolved.append(key)
        return resolve(self, key)

    monkeypatch.setattr(Targets, "_resolve", counting)
    clock = iter([1.0, 2.0, 3.0, 4.0])
    stage = Play(authentication=HEADER_AUTHENTICATION, clock=lambda: next(clock))
    replies = [
        stage.reply_to(lines=sdk((b"x-forwarded-for", source.encode()), (IDENTITY, ALICE.encode())))
        for source, _ in product((OFFICE, ELSEWHERE), range(2))
    ]
    assert [reply.passed for reply in replies] == [True, True, False, False]
    assert [reply.records[0].time for reply in replies] == [1.0, 2.0, 3.0, 4.0]
    assert len(resolved) == 2


def test_the_targets_that_are_kept_are_bounded() -> None:
    stage = play("enforce")
    stage.reply_to(lines=sdk((b"x-forwarded-for", OFFICE.encode()), (IDENTITY, ALICE.encode())))
    found = stage.guard._early.resolved
    assert found is not None
    known = found.targets.known
    (key,) = known
    sizes = []
    for number in range(20_000):
        assert known[*key[:-1], b"10.%d.%d.9" % divmod(number, 256)].start is not None
        sizes.append(len(known))
    assert max(sizes) == 16_384
    assert known[*key[:-1], b"10.0.0.9, " * 200].rejection is not None
    assert len(known) == sizes[-1], "too long to be kept"


def test_many_short_forwarding_lines_are_not_kept() -> None:
    stage = play("enforce")
    for count in (1, 3, 100):
        lines = [(b"x-forwarded-for", b"%d" % number) for number in range(count)]
        stage.reply_to(lines=sdk(*lines, (b"x-forwarded-for", OFFICE.encode()), (IDENTITY, ALICE.encode())))
    targets = stage.guard._early.resolved
    assert targets is not None
    assert len(targets.targets.known) == 2

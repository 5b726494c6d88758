"""A signature is bound to one call for as long as it can be used (T74, THREATS 3.4.4)."""

from __future__ import annotations

from typing import Any

import pytest

from camguard.authn.replay_guard import WINDOW, ReplayGuard, binding_of
from tests.authn.signing import BODY, tc3_head

NOW = 1_700_000_000.0  # seconds since the epoch

# Signatures, calls and times that come one after the other; whether the last one is admitted
SEQUENCES = [
    pytest.param([("a", 1, 0)], True, id="a signature that is used for the first time"),
    pytest.param([("a", 1, 0), ("a", 1, 600)], True, id="the same call again, within the window"),
    pytest.param([("a", 1, 0)] * 5, True, id="T135 the same call again and again, byte for byte"),
    pytest.param([("a", 1, 0), ("a", 2, 0)], False, id="T74 another call at the same time"),
    pytest.param([("a", 1, 0), ("a", 2, 600)], False, id="T74 another call at the end of the window"),
    pytest.param([("a", 1, 0), ("a", 2, 601)], True, id="another call after the window"),
    pytest.param([("a", 1, 601), ("a", 2, 0)], True, id="another call after the clock stepped back far"),
    pytest.param([("a", 1, 0), ("a", 2, 601), ("a", 1, 602)], False, id="the first call, bound anew since"),
    pytest.param([("a", 1, 0), ("b", 2, 0)], True, id="another signature for another call"),
    pytest.param([("a", 1, 0), ("a", 2, 1), ("a", 1, 2)], True, id="T74 a refused call does not bind"),
]


@pytest.mark.parametrize(("sequence", "admitted"), SEQUENCES)
def test_a_signature_is_admitted(sequence: list[tuple[str, int, float]], *, admitted: bool) -> None:
    guard = ReplayGuard(8)
    found = [guard.admits(signature.encode(), (call,), now) for signature, call, now in sequence]
    assert found[-1] is admitted


def test_the_window_covers_every_time_at_which_a_timestamp_is_accepted() -> None:
    assert WINDOW == 2 * 300


def test_a_full_guard_drops_the_oldest_binding_and_counts_it_while_it_could_be_used() -> None:
    guard = ReplayGuard(2)
    for at, signature in enumerate((b"a", b"b", b"c")):
        assert guard.admits(signature, (1,), NOW + at)
    assert (len(guard), guard.evicted) == (2, 1)
    assert not guard.admits(b"b", (2,), NOW + 3)
    assert guard.admits(b"d", (1,), NOW + 1 + WINDOW), "the binding that leaves is one of second 1"
    assert guard.evicted == 2
    assert guard.admits(b"e", (1,), NOW + 700), "the binding that leaves could not have been used any more"
    assert guard.evicted == 2
    assert guard.popitem() == (b"d", ((1,), NOW + 1 + WINDOW)), "as every mapping returns what leaves"


UNSIGNED = {"x_tc_content_sha256": "UNSIGNED-PAYLOAD"}
CALL: tuple[dict[str, str], str, bytes] = ({}, "aiart", BODY)
# Further lines of the head, service and body of two calls with one signature; whether it is the same call
TWO_CALLS = [
    pytest.param(CALL, CALL, True, id="T135 the same request again"),
    pytest.param(CALL, ({"x_tc_traceid": "2"}, "aiart", BODY), True, id="another trace id"),
    pytest.param(CALL, ({"x_tc_action": "DeleteBudget"}, "aiart", BODY), False, id="T74 another action"),
    pytest.param(CALL, ({"x_tc_version": "2019-01-01"}, "aiart", BODY), False, id="T74 another version"),
    pytest.param(CALL, ({"x_tc_region": "ap-guangzhou"}, "aiart", BODY), False, id="T74 a region"),
    pytest.param(CALL, ({}, "cvm", BODY), False, id="T74 another service"),
    pytest.param(CALL, ({"content_type": "text/x"}, "aiart", BODY), False, id="T134 another content type"),
    pytest.param(CALL, ({}, "aiart", b"other"), True, id="another body, which the signature itself covers"),
    pytest.param((UNSIGNED, "aiart", BODY), (UNSIGNED, "aiart", BODY), True, id="the same unsigned body"),
    pytest.param((UNSIGNED, "aiart", BODY), (UNSIGNED, "aiart", b"x"), False, id="another unsigned body"),
    pytest.param((UNSIGNED, "aiart", b""), (UNSIGNED, "aiart", b"X"), False, id="a letter, and no body"),
    pytest.param((UNSIGNED, "aiart", None), (UNSIGNED, "aiart", b""), True, id="no body, and an empty one"),
]


@pytest.mark.parametrize(("one", "other", "same"), TWO_CALLS)
def test_what_a_signature_is_bound_to(one: Any, other: Any, same: bool) -> None:
    bindings = [binding_of(tc3_head(**lines), service, body) for lines, service, body in (one, other)]
    assert (bindings[0] == bindings[1]) is same

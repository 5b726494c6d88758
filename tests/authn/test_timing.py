"""T81: the time of a refusal does not show whether a secret id exists. Marked heavy: it takes seconds."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from itertools import cycle, islice
from statistics import fmean
from time import perf_counter_ns

import pytest

from camguard.authn.credentials import AccessKey, KeyRing, parse_keys
from camguard.authn.hmac_v1 import check_v1
from camguard.authn.tc3 import read_authorization, verify_tc3
from camguard.request.head import RequestHead
from camguard.request.rejection import Rejection, rejection
from tests.authn.signing import (
    BODY,
    FORM,
    HOST,
    NOW,
    SECRET_ID,
    authorization,
    check_tc3,
    head_of,
    keys,
    tc3_head,
    v1,
)

TRIES = 10_000
ROUNDS = 7  # a leak shows in each of them, a busy machine in some
MOST = 0.05

Check = Callable[[], AccessKey | Rejection]


def difference(one: Check, other: Check) -> float:
    """Return by how much two calls differ in time: tries interleaved, slowest tenth left out."""
    times: tuple[list[int], list[int]] = ([], [])
    for turn in islice(cycle((0, 1)), 2 * TRIES):
        check = (one, other)[turn]
        start = perf_counter_ns()
        check()
        times[turn].append(perf_counter_ns() - start)
    means = [fmean(sorted(each)[: TRIES * 9 // 10]) for each in times]
    return abs(means[0] - means[1]) / fmean(means)


def ring_of(secret_ids: list[str]) -> KeyRing:
    entries = ",".join(
        f'"{each}":{{"secret_key":"EXAMPLE-SECRET-KEY-0000000000000","principal":"uin/100000000101"}}'
        for each in secret_ids
    )
    return parse_keys(f"{{{entries}}}".encode(), "keys.json")


def wrong(secret_id: str = SECRET_ID) -> RequestHead:
    return tc3_head(authorization("0" * 64, secret_id=secret_id))


KEYS = keys()
UNKNOWN_ID = SECRET_ID[::-1]


def tc3_pair() -> tuple[Check, Check]:
    known, unknown = wrong(), wrong(UNKNOWN_ID)
    assert check_tc3(known, "aiart", BODY, KEYS, NOW) is rejection("signature_invalid")
    assert check_tc3(unknown, "aiart", BODY, KEYS, NOW) is rejection("secret_id_unknown")
    return (
        lambda: check_tc3(known, "aiart", BODY, KEYS, NOW),
        lambda: check_tc3(unknown, "aiart", BODY, KEYS, NOW),
    )


def disabled_pair() -> tuple[Check, Check]:
    head, disabled = wrong(), keys(enabled=False)
    return (
        lambda: check_tc3(head, "aiart", BODY, KEYS, NOW),
        lambda: check_tc3(head, "aiart", BODY, disabled, NOW),
    )


def first_time_pair() -> tuple[Check, Check]:
    """Secret ids without a cached signing key: it is derived for known and unknown ids alike."""
    ids = [f"AKID{i:032d}" for i in range(2 * TRIES)]
    held = ring_of(ids[::2])
    heads = [wrong(each) for each in ids]
    known, unknown = cycle(heads[::2]), cycle(heads[1::2])
    return (
        lambda: check_tc3(next(known), "aiart", BODY, held, NOW),
        lambda: check_tc3(next(unknown), "aiart", BODY, held, NOW),
    )


def before_the_body_pair() -> tuple[Check, Check]:
    """A known id is verified when the body is there; an unknown one is rejected before that, as slowly."""
    known, unknown, small = wrong(), wrong(UNKNOWN_ID), b""

    def whole() -> AccessKey | Rejection:
        signing_key = read_authorization(known, "aiart", KEYS, NOW)
        assert not isinstance(signing_key, Rejection)
        return verify_tc3(known, signing_key, small, NOW)

    def early() -> AccessKey | Rejection:
        cause = read_authorization(unknown, "aiart", KEYS, NOW)
        assert isinstance(cause, Rejection)
        return cause

    return whole, early


def v1_pair() -> tuple[Check, Check]:
    head = head_of("POST", b"", [("host", HOST), ("content-type", FORM)])

    def params(secret_id: str) -> tuple[tuple[str, str], ...]:
        return (("SecretId", secret_id), ("Timestamp", str(NOW)), ("Signature", "A" * 27 + "="))

    assert v1("POST", params(SECRET_ID)[:2], digest="sha1") != "A" * 27 + "="
    known, unknown = params(SECRET_ID), params(UNKNOWN_ID)
    return (
        lambda: check_v1(head, b"", known, KEYS, NOW),
        lambda: check_v1(head, b"", unknown, KEYS, NOW),
    )


@pytest.mark.heavy
@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(tc3_pair, id="T81 known and unknown key"),
        pytest.param(disabled_pair, id="T81 known and disabled key"),
        pytest.param(first_time_pair, id="T81 known and unknown key, each for the first time"),
        pytest.param(before_the_body_pair, id="T81 known key with its body and unknown key before it"),
        pytest.param(v1_pair, id="T81 known and unknown key, v1"),
    ],
)
def test_time_tells_nothing_of_a_secret_id(pair: Callable[[], tuple[Check, Check]]) -> None:
    one, other = pair()
    found = min(difference(one, other) for _ in range(ROUNDS))
    assert found < MOST


def cost(check: Check, times: int = 200) -> float:
    """Return the seconds of one call, the best of several rounds."""
    return min(timeit.repeat(check, number=times, repeat=7)) / times


@pytest.mark.heavy
def test_no_authorization_costs_a_hundred_times_an_ordinary_refusal() -> None:
    names = ";".join(["content-type", "host", *(f"x-{i:03d}" for i in range(400))])
    lines = {f"x-{i:03d}": "y" * 400 for i in range(110)}
    heads = {
        "many names": tc3_head(authorization("0" * 64, names=names), **lines),
        "many headers signed": tc3_head(
            authorization("0" * 64, names=";".join(sorted(["content-type", "host", *lines]))), **lines
        ),
        "a long secret id": tc3_head(authorization("0" * 64, secret_id="A" * 1024)),
        "nothing but blanks": tc3_head(" " * 16_000),
        "almost the grammar": tc3_head(authorization("0" * 64, names="a;" * 1000 + "!" * 12_000)),
    }
    ordinary = cost(lambda: check_tc3(wrong(), "aiart", BODY, KEYS, NOW))
    for name, head in heads.items():
        found = cost(lambda head=head: check_tc3(head, "aiart", BODY, KEYS, NOW))  # type: ignore[misc]
        assert found < 100 * ordinary, name

"""Recognition changes nothing that anybody can see, and what would change something is found (T83, T101)."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from inspect import getsource
from math import inf
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camguard.authn import authenticator as authenticator_module
from camguard.authn.authenticator import Authenticator
from camguard.bundle import Bundle
from camguard.enforcement import lane as lane_module
from camguard.enforcement import late, outcome
from camguard.enforcement import notes as notes_module
from camguard.enforcement.lane import Lane, LaneFactory, Met, RecognisedWay
from camguard.enforcement.notes import Plan
from camguard.enforcement.outcome import KeptDecision, Known, Result
from camguard.enforcement.target import Target
from camguard.request.head import HeadRules, RequestHead, unpacker
from camguard.telemetry.record import Record
from tests.authn.signing import NOW
from tests.recognition import (
    CHANGES,
    FIELDS,
    SETTINGS_TRIED,
    Ask,
    Step,
    WholeWay,
    drawn,
    first_difference,
    shrunk,
)
from tests.running import RECOGNISES
from tests.stage import ELSEWHERE, OFFICE, SETTINGS, FixedPolicies, Play, sdk

_DEFAULT = SETTINGS_TRIED[0]


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """Leave out of the log what the set-up of a server causes."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("tried", range(len(SETTINGS_TRIED)))
def test_recognition_changes_no_answer_no_record_and_no_counter(tried: int) -> None:
    steps = drawn(random.Random(tried), 800)  # noqa: S311 - a test, no secret
    assert first_difference(steps, SETTINGS_TRIED[tried]) is None


def _odd() -> st.SearchStrategy[tuple[tuple[str, Any], ...]]:
    fields = [st.tuples(st.just(name), st.sampled_from(pool.values)) for name, pool in FIELDS.items()]
    return st.lists(st.one_of(fields), max_size=3, unique_by=lambda each: each[0]).map(tuple)


def _changes() -> st.SearchStrategy[Step]:
    return st.one_of([st.tuples(st.just(name), st.sampled_from(each)) for name, each in CHANGES.items()])


@settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.one_of(_odd().map(Ask), _odd().map(Ask), _changes()), min_size=2, max_size=12))
def test_each_of_some_requests_made_twice_is_answered_alike(steps: list[Step]) -> None:
    twice = [each for step in steps for each in (step, step)]
    assert first_difference(twice) is None


class Timeless(Lane):
    """A lane that lets a decision hold for ever."""

    def _kept(self, *judged: Any, **passes: Any) -> KeptDecision | None:
        kept = super()._kept(*judged, **passes)
        return None if kept is None else replace(kept, begin=-inf, end=inf)


class Tableless(Lane):
    """A lane that does not ask whether the principal's table is at hand."""

    def recognize(self, scope: Mapping[str, Any], bundle: Bundle, now: float) -> Met | None:
        found = super().recognize(scope, bundle, now)
        if found is None or found[0].kept is None or not found[0].kept.begin <= now < found[0].kept.end:
            return found
        return (found[0], found[0].kept, *found[2:])


class Hasty(Lane):
    """A lane that keeps decisions although a candidate judges each call, too."""

    def __init__(self, rules: HeadRules, *, decides: bool) -> None:
        del decides
        super().__init__(rules, decides=True)


class Credulous(Lane):
    """A lane that keeps what was said of a request whose body was refused."""

    def note(self, head: RequestHead, target: Target, result: Result, bundle: Bundle) -> None:
        if result.judged.of_head:
            judged = result.judged._replace(decision=result.record.decision)
            result = result._replace(judged=judged)
        super().note(head, target, result, bundle)


class _Last(dict[int, Any]):
    """Returns the decision that was kept last, for every caller."""

    def get(self, key: int, default: Any = None) -> Any:
        del key
        return next(reversed(self.values()), default)


class Confused(Lane):
    """A lane that does not tell apart the callers who have signed."""

    def _note_caller(self, known: Known, head: RequestHead, result: Result, bundle: Bundle) -> None:
        if not isinstance(known.signed, _Last):
            object.__setattr__(known, "signed", _Last())
        super()._note_caller(known, head, result, bundle)


def without(*names: bytes) -> type[Lane]:
    """Return a lane whose key lacks the values of some headers."""

    class Lacking(Lane):
        def _plan(self, head: RequestHead) -> Plan:
            plan = super()._plan(head)
            kept = tuple(at for at, (name, _) in enumerate(head.lines) if name not in names)
            decisive = plan.layout.decisive(tuple(range(len(head.lines))))
            rest = tuple(at for at in range(len(head.lines)) if at not in decisive)
            apart = notes_module._apart(plan.layout, len(head.lines))  # noqa: SLF001 - as the plan has it
            kept = tuple(at for at in kept if at in decisive)
            lacking = replace(plan, read=unpacker(len(head.lines), kept, rest, apart))
            self._plans[lacking.names] = self._last[len(lacking.names)] = lacking
            return lacking

    return Lacking


def shared() -> LaneFactory:
    """Return what makes one lane for all bundles of a guard."""
    lanes: dict[HeadRules, Lane] = {}

    def maker(rules: HeadRules, *, decides: bool) -> Lane:
        return lanes.setdefault(rules, Lane(rules, decides=decides))

    return maker


def trusting(monkeypatch: pytest.MonkeyPatch) -> type[Lane]:
    """Return a lane that does not ask whether a header names the peer with its port (T05)."""
    monkeypatch.setattr(notes_module, "_may_name_peer", lambda *_: False)
    return Lane


def blind(monkeypatch: pytest.MonkeyPatch) -> type[Lane]:
    """Return a lane that does not look for control characters."""
    monkeypatch.setattr(lane_module, "_ONLY_ASCII", bytes(256))
    return Lane


def _heavy(*row: Any, id: str) -> Any:  # noqa: A002 - as `pytest.param`
    return pytest.param(*row, id=id, marks=pytest.mark.heavy)


# a wrong lane, the settings under which it is wrong, the steps that show it at most
WRONG: list[Any] = [
    _heavy(lambda _: Timeless, 0, 5, id="a decision that holds for ever"),
    _heavy(lambda _: Tableless, 0, 6, id="a principal whose table was forgotten"),
    pytest.param(lambda _: Hasty, 6, 3, id="a decision that a candidate does not judge"),
    _heavy(lambda _: shared(), 0, 5, id="a lane for several bundles"),
    _heavy(blind, 0, 3, id="control characters in a value"),
    pytest.param(lambda _: without(b"x-camguard-principal"), 0, 3, id="a key without the caller"),
    _heavy(lambda _: without(b"x-forwarded-for"), 0, 3, id="a key without the client's address"),
    _heavy(lambda _: without(b"x-tc-action"), 0, 3, id="a key without the action"),
    _heavy(lambda _: without(b"x-tc-region"), 0, 3, id="a key without the region"),
    _heavy(lambda _: without(b"x-attributes"), 0, 4, id="a key without the attributes"),
    _heavy(lambda _: without(b"connection"), 0, 3, id="a key without the connection's options"),
    _heavy(lambda _: without(b"content-type"), 0, 5, id="a key without the content type"),
    pytest.param(lambda _: without(b"host"), 0, 3, id="a key without the host"),
]


@RECOGNISES
@pytest.mark.parametrize(("wrong", "tried", "most"), WRONG)
def test_a_wrong_lane_is_found_and_the_steps_that_show_it_are_few(
    wrong: Callable[[pytest.MonkeyPatch], LaneFactory], tried: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = wrong(monkeypatch)
    for seed in range(40):
        steps = drawn(random.Random(seed), 1000)  # noqa: S311 - a test, no secret
        at = first_difference(steps, SETTINGS_TRIED[tried], lane)
        if at is not None:
            found = shrunk(steps[: at + 1], SETTINGS_TRIED[tried], lane)
            assert len(found) <= most, found
            return
    pytest.fail("nothing shows that this lane is wrong")


# What changes between signed requests. The first value is the usual one, to which the world soon returns.
_CHANGED: dict[str, tuple[Any, ...]] = {
    **{name: CHANGES[name] for name in ("keys", "bundle", "keys_stale")},
    "clock": (0.0, 59.0, 120.0, 400.0, 86_400.0),
}
_VARIED = (
    *("host", "content-type", "x-tc-action", "x-tc-timestamp", "x-tc-token", "x-tc-content-sha256"),
    *("x-forwarded-for", "body", "parts", "expect"),
)


def signed(dice: random.Random, count: int) -> list[Step]:
    """Return steps whose requests are signed: with changes of keys, of the bundle and of the time."""
    steps: list[Step] = []
    changed: str | None = None
    for _ in range(count):
        if changed is not None and dice.random() < 0.1:
            steps.append((changed, _CHANGED[changed][0]))
            changed = None
        elif changed is None and dice.random() < 0.05:
            changed = dice.choice(list(_CHANGED))
            steps.append((changed, dice.choice(_CHANGED[changed])))
        odd: dict[str, Any] = {"authorization": "good"}
        if dice.random() < 0.2:
            odd["authorization"] = dice.choice(FIELDS["authorization"].values)
        if dice.random() < 0.9:
            odd["x-camguard-principal"] = None
        for field in _VARIED:
            if dice.random() < 0.07:
                odd[field] = dice.choice(FIELDS[field].values)
        steps.append(Ask(tuple(odd.items())))
    return steps


@RECOGNISES
@pytest.mark.parametrize("tried", range(len(SETTINGS_TRIED)))
def test_t83_signed_requests_are_answered_alike_with_and_without_recognition(
    tried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[KeptDecision | None] = []

    def kept_of(*found: Any) -> KeptDecision | None:
        used.append(outcome.kept_of(*found))
        return used[-1]

    for each in (late, lane_module):
        monkeypatch.setattr(each, "kept_of", kept_of)
    steps = signed(random.Random(tried), 1000)  # noqa: S311 - a test, no secret
    assert first_difference(steps, SETTINGS_TRIED[tried]) is None
    kept = sum(each is not None for each in used)
    if SETTINGS_TRIED[tried].enforcement.candidate is None and SETTINGS_TRIED[tried].identity.mode in {
        "signature",
        "either",
    }:
        assert kept > 50
    else:
        assert kept < 50


def _another(place: Any, name: str, text: str, wrong: str) -> Callable[[pytest.MonkeyPatch], LaneFactory]:
    """Return what puts a function in place of one of a class or module: `wrong` stands where `text` stood."""

    def put(monkeypatch: pytest.MonkeyPatch) -> LaneFactory:
        right = getattr(place, name)
        source = dedent(getsource(right))
        assert source.count(text) == 1
        made: dict[str, Any] = {}
        # The names of the module are those of the right function, annotations are texts.
        code = compile(f"from __future__ import annotations\n{source.replace(text, wrong)}", name, "exec")
        exec(code, right.__globals__, made)  # noqa: S102 - our own source
        monkeypatch.setattr(place, name, made[name])
        return Lane

    return put


def _first_only(monkeypatch: pytest.MonkeyPatch) -> LaneFactory:
    """Return a lane that keeps one beginning of canonical requests for all heads."""
    right, kept = notes_module._canonical, []  # noqa: SLF001 - a wrong one in its place

    def canonical(head: RequestHead) -> Any:
        found = right(head)
        if found is not None:
            kept.append(found)
        return None if found is None else kept[0]

    monkeypatch.setattr(notes_module, "_canonical", canonical)
    return Lane


_CLAIM, _VERIFY = (authenticator_module, "claimed_key"), (authenticator_module, "verify_known")
_KEY, _REFUSED = (Authenticator, "claimed_key"), (Authenticator, "refused")
_WAY = RecognisedWay, "handle"
_ADMITS = "not self.replay_guard.admits(signature, binding_of(head_of(met), service, body), now)"

# What is wrong about a signed request that is recognised, and the settings under which it is wrong.
WRONG_SIGNED: list[Any] = [
    pytest.param(lambda _: Confused, 0, id="callers who have signed are confused"),
    pytest.param(_first_only, 0, id="the canonical request of another head is kept"),
    pytest.param(
        _another(notes_module, "_canonical", " or head.content_sha256 is not None", ""),
        *(10,),
        id="what the head says of its payload is passed over",
    ),
    pytest.param(_another(*_CLAIM, "abs(now - signed_at) <= SKEW", "True"), 0, id="the time is not judged"),
    pytest.param(_another(*_CLAIM, ".translate(HEX_ONLY)", ""), 0, id="a signature of other characters"),
    pytest.param(_another(*_KEY, "self._stale()", "False"), 0, id="keys that are too old"),
    pytest.param(_another(*_VERIFY, "sha256(payload)", "sha256(b'{\"A\":1}')"), 0, id="another body"),
    pytest.param(_another(*_VERIFY, "compare_digest(signature_of", "(signature_of"), 0, id="any signature"),
    pytest.param(_another(*_VERIFY, "fits_another_form(", "bool("), 0, id="one canonical form only"),
    pytest.param(_another(*_REFUSED, _ADMITS, "False"), 4, id="the replay guard is not asked"),
    pytest.param(
        _another(*_REFUSED, "binding_of(head_of(met), service, body)", "()"), 4, id="nothing is bound"
    ),
    pytest.param(_another(*_WAY, "not is_plain(taken.data)", "False"), 0, id="the body is not searched"),
    pytest.param(_another(*_WAY, "cause is not None or ", ""), 0, id="a rejection is passed over"),
]


@RECOGNISES
@pytest.mark.parametrize(("wrong", "tried"), WRONG_SIGNED)
def test_t83_what_is_wrong_about_recognised_signatures_is_found(
    wrong: Callable[[pytest.MonkeyPatch], LaneFactory], tried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = wrong(monkeypatch)
    for seed in range(10):
        steps = signed(random.Random(seed), 1000)  # noqa: S311 - a test, no secret
        if first_difference(steps, SETTINGS_TRIED[tried], lane) is not None:
            return
    pytest.fail("nothing shows that this is wrong")


def _signed(*odd: tuple[str, Any]) -> Ask:
    """Return a well-signed request, but for some fields."""
    return Ask((("authorization", "good"), ("x-camguard-principal", None), *odd))


_LATER = ("x-tc-timestamp", b"%d" % (NOW + 86_400))
_DAY, _SERVICE = ("authorization", "other day"), ("authorization", "other service")
_ELSEWHERE = (("host", b"aiart.tencentcloudapi.com"), ("x-tc-action", b"TextToImage"))
_NO_CHECK = _another(*_VERIFY, 'check_key(access_key, token or b"", now)', "access_key")

# A wrong function, and steps of which the last one shows it.
WRONG_ONCE: list[Any] = [
    pytest.param(
        _another(*_CLAIM, "signing_key.day != signed_at // DAY", "False"),
        [
            *(_signed(), ("clock", 86_400.0), _signed(_LATER, _DAY)),
            *(("clock", 0.0), _signed(), _signed(_DAY)),
        ],
        id="the day",
    ),
    pytest.param(
        _another(*_CLAIM, "signing_key.service != service", "False"),
        [_signed(), _signed(*_ELSEWHERE), _signed(_SERVICE)],
        id="the service",
    ),
    pytest.param(
        _NO_CHECK,
        [("keys", 5), _signed(), _signed(), ("clock", 60.0), _signed()],
        id="the end of a key",
    ),
    pytest.param(
        _NO_CHECK,
        [("keys", 6), _signed(("x-tc-token", b"TOKEN")), _signed(("x-tc-token", b"token"))],
        id="the token",
    ),
]


@RECOGNISES
@pytest.mark.parametrize(("wrong", "steps"), WRONG_ONCE)
def test_t83_what_is_judged_each_time_is_judged_of_the_last_request(
    wrong: Callable[[pytest.MonkeyPatch], LaneFactory], steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert first_difference(steps, _DEFAULT) is None
    assert first_difference(steps, _DEFAULT, wrong(monkeypatch)) == len(steps) - 1


@RECOGNISES
def test_a_lane_whose_key_lacks_the_expectation_is_wrong() -> None:
    steps: list[Step] = [Ask((("expect", value),)) for value in (b"100-continue", b"x")]
    assert first_difference(steps, _DEFAULT) is None
    assert first_difference(steps, _DEFAULT, without(b"expect")) == 1


@RECOGNISES
def test_a_lane_that_trusts_a_peer_whom_a_header_names_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    named = ("x-forwarded-for", b"10.0.0.1:1")
    steps: list[Step] = [Ask((named,)), Ask((named, ("client", ("10.0.0.1", 1))))]
    assert first_difference(steps, _DEFAULT) is None
    assert first_difference(steps, _DEFAULT, trusting(monkeypatch)) == 1


class Counting(Lane):
    """A lane that counts what it recognises."""

    met = 0

    def recognize(self, scope: Mapping[str, Any], bundle: Bundle, now: float) -> Met | None:
        found = super().recognize(scope, bundle, now)
        Counting.met += found is not None
        return found


@RECOGNISES
def test_a_request_is_recognised_the_second_time() -> None:
    Counting.met = 0
    play = Play(lane=Counting)
    for count in (0, 1, 2):
        assert play.reply_to(lines=sdk((b"x-forwarded-for", OFFICE.encode()))).passed
        assert Counting.met == count


@RECOGNISES
def test_requests_are_recognised_after_more_plans_than_have_a_compiled_text() -> None:
    Counting.met = 0
    play = Play(lane=Counting)
    for count in (0, 80):
        for number in range(80):
            lines = sdk((b"x-forwarded-for", OFFICE.encode()), (b"x-note-%d" % number, b"1"))
            assert play.reply_to(lines=lines).passed
        assert Counting.met == count


@RECOGNISES
@pytest.mark.parametrize("address", [OFFICE, ELSEWHERE], ids=["an allowed call", "a denied call"])
def test_an_observer_may_leave_recognised_requests_to_the_one_that_it_returns(address: str) -> None:
    first: list[Record] = []
    further: list[Record] = []

    def observe(record: Record) -> Callable[[Record], None]:
        first.append(record)
        return further.append

    play = Play(observers=(observe,))
    for _ in range(3):
        play.reply_to(lines=sdk((b"x-forwarded-for", address.encode())))
    assert first + further == play.records
    assert len(first) == 1
    constant = slice(Record._fields.index("candidate"), None)
    assert all(record[constant] == first[0][constant] for record in further)


@RECOGNISES
def test_an_observer_that_raises_is_asked_again() -> None:
    asked: list[Record] = []

    def observe(record: Record) -> None:
        asked.append(record)
        raise RuntimeError

    play = Play(observers=(observe,))
    for _ in range(3):
        assert play.reply_to(lines=sdk((b"x-forwarded-for", OFFICE.encode()))).passed
    assert asked == play.records
    assert play.guard.faults == 3


@RECOGNISES
def test_most_of_the_requests_of_the_comparison_are_recognised() -> None:
    Counting.met = 0
    steps = drawn(random.Random(1), 1000)  # noqa: S311 - a test, no secret
    assert first_difference(steps, _DEFAULT, Counting) is None
    assert Counting.met > 300


def test_what_is_kept_is_bounded() -> None:
    kept = Play(SETTINGS, policies=FixedPolicies())
    for number in range(1100):
        kept.reply_to(lines=sdk((b"x-forwarded-for", OFFICE.encode()), (b"x-%d" % number, b"")))
    assert kept.guard.faults == 0


def test_a_lane_that_recognises_nothing_serves_as_well() -> None:
    play = Play(lane=WholeWay)
    for _ in range(2):
        assert play.reply_to(lines=sdk((b"x-forwarded-for", OFFICE.encode()))).passed

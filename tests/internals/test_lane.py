"""What the lane gives to the whole way, when it keeps something, and what it reads quickly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from camguard.enforcement import notes as notes_module
from camguard.enforcement.guard import Guard
from camguard.enforcement.lane import Lane, Resolved, note
from camguard.enforcement.outcome import Result, new_judgement
from camguard.enforcement.target import NO_TARGET
from camguard.request.head import MOST_UNPACKED, HeadRules, RequestHead, read_head, unpacker
from tests.running import RECOGNISES
from tests.stage import BUNDLE, FROM_OFFICE, NOW, SETTINGS, Broken, FixedPolicies, Line, Play, Request, sdk
from tests.telemetry.samples import record_of

RULES = HeadRules(replace(SETTINGS, limits=replace(SETTINGS.limits, header_lines=200)))
OCTETS = sdk(FROM_OFFICE, content_type=b"application/octet-stream")  # of which no decision is kept


def begun_of(play: Play, monkeypatch: pytest.MonkeyPatch, lines: tuple[Line, ...]) -> Any:
    """Return what the whole way is given of a request."""
    monkeypatch.setattr(Guard, "_whole_way", lambda _, __, ___, ____, begun: begun)
    return play.guard.handle(Request(lines=lines).scope(), Broken(AssertionError("the body was taken")))


def test_a_request_that_is_not_recognised_goes_the_whole_way_with_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert begun_of(Play(), monkeypatch, sdk(FROM_OFFICE)) == (NOW, BUNDLE, None, None, None, None)


def test_a_guard_without_a_bundle_looks_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FixedPolicies()
    store.bundle = None
    play = Play(policies=store)
    assert begun_of(play, monkeypatch, sdk(FROM_OFFICE)) == (NOW, None, None, None, None, None)


@RECOGNISES
def test_a_request_of_which_no_decision_is_kept_goes_the_whole_way_with_what_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play = Play()
    assert play.reply_to(lines=OCTETS).passed
    now, bundle, met, *rest = begun_of(play, monkeypatch, OCTETS)
    assert (now, bundle, rest) == (NOW, BUNDLE, [None, None, None])
    assert (met[0].target.action, met[1]) == ("QueryArea", None)


def test_a_fault_goes_the_whole_way_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ValueError("x")
    monkeypatch.setattr(Lane, "recognize", Broken(error))
    assert begun_of(Play(), monkeypatch, sdk(FROM_OFFICE)) == (NOW, BUNDLE, None, None, error, None)


class Subscripted(dict[str, Any]):
    """A scope whose members are read by subscript alone, which costs half of `get`."""

    def get(self, *_: Any) -> Any:
        raise AssertionError("a member was looked up twice")


@RECOGNISES
def test_a_scope_that_has_every_member_is_read_by_subscript() -> None:
    play = Play()
    assert play.reply_to(lines=sdk(FROM_OFFICE)).passed
    resolved = play.guard._early.resolved
    assert resolved is not None
    assert resolved.lane.recognize(Subscripted(Request(lines=sdk(FROM_OFFICE)).scope()), BUNDLE, NOW)


class Noting(Lane):
    """A lane that counts what it is asked to keep."""

    def __init__(self) -> None:
        super().__init__(RULES, decides=True)
        self.noted = 0

    def note(self, *_: Any) -> None:
        self.noted += 1


def head_of(*lines: Line) -> RequestHead:
    head = read_head(Request(lines=sdk(FROM_OFFICE, *lines)).scope(), RULES)
    assert isinstance(head, RequestHead)
    return head


@pytest.mark.parametrize("is_known", [False, True])
def test_a_request_is_noted_where_there_is_something_new_to_keep(*, is_known: bool) -> None:
    play = Play()
    assert play.reply_to(lines=sdk(FROM_OFFICE)).passed
    resolved = play.guard._early.resolved
    assert resolved is not None
    (known,) = resolved.lane._known.values()
    lane = Noting()
    judged = new_judgement((head_of(), NO_TARGET, (), None, None, None, None, True, None, None))
    result = Result(judged, record_of(), (), None)
    failed = Broken(AssertionError("noting failed"))
    note(Resolved(BUNDLE.token, resolved.targets, lane), known if is_known else None, result, BUNDLE, failed)
    assert lane.noted == (not is_known)


def compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the counts of lines for which a reader is compiled from now on."""
    counts: list[int] = []

    def counting(count: int, *groups: Any) -> Any:
        counts.append(count)
        return unpacker(count, *groups)

    monkeypatch.setattr(notes_module, "unpacker", counting)
    return counts


def test_t101_the_first_64_orders_of_headers_get_a_compiled_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes up to 1.4 ms, so that a stranger must not cause it without end."""
    counts, lane = compiled(monkeypatch), Lane(RULES, decides=True)
    plans = [lane._plan(head_of((b"x-%d" % number, b"1"))) for number in range(70)]
    assert (len(counts), len({plan.number for plan in plans})) == (64, 70)


def test_t101_1024_orders_of_headers_are_kept_at_most() -> None:
    lane, usual = Lane(RULES, decides=True), head_of((b"x-0", b"1"))
    lane._numbered = 64  # no further reader is compiled
    kept = set()
    for number in range(1030):
        lane._plan(usual._replace(lines=((b"x-%d" % number, b"1"), *usual.lines[1:])))
        kept.add(len(lane._plans))
    assert max(kept) == 1024


@pytest.mark.parametrize(("lines", "compiles"), [(MOST_UNPACKED, True), (MOST_UNPACKED + 1, False)])
def test_a_head_of_many_lines_gets_no_compiled_reader(
    lines: int, *, compiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = compiled(monkeypatch)
    usual = len(head_of().lines)
    Lane(RULES, decides=True)._plan(head_of(*((b"x-%d" % number, b"1") for number in range(lines - usual))))
    assert counts == [lines] * compiles

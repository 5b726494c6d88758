"""How requests are counted: each once, whichever of its counters is asked, and only under listed labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from camguard.engine.decision import Decision, Reason
from camguard.request.rejection import rejection
from camguard.telemetry.record import Record
from camguard.telemetry.requests import CatalogLabels, Requests
from tests.telemetry.samples import action_of, record_of

ACT = action_of("aiart", "Act0")
LABELS = CatalogLabels(
    {"": ("_unknown",) * 3, "aiart:": ("aiart", "_unknown", "_unknown"), ACT.id: ("aiart", "write", "Act0")},
    frozenset(("aiart",)),
)


def requests_of(labels: Callable[[], CatalogLabels] = lambda: LABELS) -> Requests:
    return Requests(("middleware",), labels)


def total(requests: Requests) -> float:
    counts: dict[Any, int] = dict(requests.snapshot()["camguard_decisions_total"])  # type: ignore[arg-type]
    return sum(counts.values())


# A request, and what further ones differ in
ALIKE = [
    pytest.param(record_of(ACT), id="an allowed call"),
    pytest.param(record_of(ACT, Reason.NO_ALLOW), id="a denied call"),
    pytest.param(record_of(ACT, Reason.NO_ALLOW, mode="shadow"), id="a denied call in shadow mode"),
    pytest.param(record_of(None, service="aiart"), id="an action that the catalog lacks"),
    pytest.param(record_of(ACT, decision=rejection("framing"), signature=None), id="a rejected request"),
]


@pytest.mark.parametrize("record", ALIKE)
def test_what_observing_returns_counts_as_observing_does(record: Record) -> None:
    one, other = requests_of(), requests_of()
    following = one.observe(record)
    assert following is not None
    for each in (record._replace(duration=seconds, request_id="another") for seconds in (1e-5, 2.0, 3e-6)):
        assert following(each) is None
        assert other.observe(each) is not None
    other.observe(record)
    assert one.snapshot() == other.snapshot()
    assert total(one) == len(ALIKE) - 1


# What makes each request be looked at
LOOKED_AT = [
    pytest.param(record_of(ACT, candidate=Decision(Reason.NO_ALLOW)), id="a candidate judges each call"),
    pytest.param(record_of(action_of("aiart", "New")), id="an action that is in no catalog yet"),
    pytest.param(record_of(None, service="odd"), id="a service that is in no catalog"),
    pytest.param(record_of(ACT, listener="odd"), id="T114 a listener that is none"),
    pytest.param(record_of(ACT, client_ip="odd"), id="T114 a word for the address that no list contains"),
    pytest.param(record_of(ACT, signature="odd"), id="T114 a word for the signature that no list contains"),
    pytest.param(
        record_of(ACT, decision=Decision(Reason.NO_ALLOW, detail="odd")),
        id="T114 a detail that no list contains",
    ),
]


@pytest.mark.parametrize("record", LOOKED_AT)
def test_a_request_is_looked_at_each_time_where(record: Record) -> None:
    requests = requests_of()
    assert requests.observe(record) is None
    assert requests.observe(record) is None
    assert total(requests) == 2
    assert not any("odd" in labels for each in requests.snapshot().values() for labels in each)


def test_an_action_is_counted_by_its_own_name_as_soon_as_a_catalog_lists_it() -> None:
    new = action_of("aiart", "New")
    labels: list[Any] = [LABELS]
    requests = requests_of(lambda: labels[-1])
    assert requests.observe(record_of(new)) is None
    labels.append(LABELS._replace(actions={**LABELS.actions, new.id: ("aiart", "write", "New")}))
    following = requests.observe(record_of(new))
    assert following is not None
    following(record_of(new))
    actions = requests.snapshot()["camguard_action_decisions_total"]
    assert actions["aiart", "_unknown", "allow"] == 1
    assert actions["aiart", "New", "allow"] == 2

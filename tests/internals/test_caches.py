"""What the action index, lint, metrics and the decision log look up once and keep, and how much of it."""

from __future__ import annotations

import pytest

from camguard.engine import action_index
from camguard.engine.action_index import ActionIndex, StatementIndex
from camguard.engine.layers import SECOND_FACTOR
from camguard.lint import CatalogView, catalog_view
from camguard.policy.actions import action_match
from camguard.policy.model import ActionPattern, Effect, ResourcePattern
from camguard.policy.resources import read_resource
from camguard.policy.values import Truth
from camguard.request.waiting import Waiting
from camguard.telemetry import log_line as log_line_module
from camguard.telemetry.log_line import TEXT_BYTES, log_line
from camguard.telemetry.metrics import Metrics
from tests.company import action, bundle, catalog, policy, service
from tests.request.test_waiting import Ends
from tests.telemetry.samples import action_of, record_of

CATALOG = catalog(service("art", "Draw", "Erase"), service("vm", "Stop", "Unread"))
BARE = action("db:Bare", "qcs::db:${region}:uin/${uin}:box/${id}")
DATABASE = catalog(service("db", BARE, action("db:Star")))


def test_a_pattern_is_compared_once_and_with_what_it_could_name(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def noted(pattern: ActionPattern, effect: Effect, product: str, name: str) -> Truth:
        compared.append(f"{pattern.text} {product}:{name}")
        return action_match(pattern, effect, product, name)

    monkeypatch.setattr(action_index, "action_match", noted)
    found = policy("one", {"action": "art:draw"}, *[{"action": ["art:draw", "vm:*"]}] * 2)
    index = ActionIndex(CATALOG)
    first, second, third = StatementIndex(index, [found]).named.values()
    assert compared == ["art:draw art:Draw", "vm:* vm:Stop", "vm:* vm:Unread"]
    assert second is third
    assert first is not second
    StatementIndex(index, [policy("one", {"action": "vm:*"})])
    assert len(compared) == 3


def test_what_the_statements_of_a_bundle_name_is_determined_when_it_is_loaded() -> None:
    found = policy("one", {"action": "art:Draw"}, {"action": "vm:*", "effect": "deny"})
    evaluator = bundle([found], CATALOG).evaluator
    every = [statement for each in (found, SECOND_FACTOR) for statement in each.statements]
    (index,) = (each for each in vars(evaluator).values() if isinstance(each, StatementIndex))
    assert list(index.named) == every


def test_suggestions_are_looked_up_for_a_bounded_number_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_view, "_MAX_SUGGESTIONS", 1)
    view = CatalogView(ActionIndex(DATABASE))
    for _ in range(2):
        assert view.near_actions("db", "Baree") == ("db:Bare",)
        assert view.near_actions("db", "Sta") == ()  # one word more than suggestions are looked up for
        assert view.near_actions("ghost", "Baree") == ()


def test_a_pattern_is_compared_with_the_templates_once(monkeypatch: pytest.MonkeyPatch) -> None:
    view = CatalogView(ActionIndex(DATABASE))
    pattern = read_resource("qcs::db:::box/1")
    assert isinstance(pattern, ResourcePattern)
    first = view.reached(pattern, Effect.ALLOW)
    monkeypatch.setattr(catalog_view, "_may_match", None)
    assert view.reached(pattern, Effect.ALLOW) == first == view.index.set_of([BARE])


def test_texts_that_the_decision_log_has_escaped_take_bounded_memory() -> None:
    entry = action_of("aiart", "TextToImage")
    for at in range(5000):
        log_line(record_of(entry, principal=f"uin/{at}", peer="x" * 1000), None)
    assert len(log_line_module._escaped) <= 4096
    assert max(map(len, log_line_module._escaped)) <= TEXT_BYTES


def test_the_services_that_are_labels_cannot_be_changed_by_a_reader() -> None:
    metrics = Metrics(catalog=CATALOG)
    assert type(metrics._catalog.services) is frozenset
    assert metrics._catalog.services == {"art", "vm"}


def test_a_client_address_of_which_no_request_waits_is_forgotten() -> None:
    waiting, watch = Waiting(2, 2), Ends()
    waits = [waiting.enter(place, "a task", watch) for place in (1, 2, 3)]  # type: ignore[arg-type]
    assert len(waiting._shares) == 2, "the first one had to yield"
    for waiter in waits:
        waiting.leave(waiter)
    assert waiting._shares == {}

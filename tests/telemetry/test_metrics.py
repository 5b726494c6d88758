"""The metrics: the names and labels that dashboards rely on, and the numbers behind them."""

from __future__ import annotations

import gc
import shutil
import subprocess
import threading
import weakref
from itertools import chain, product

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from camguard.bundle.remote import SourceFacts
from camguard.catalog.model import Access
from camguard.engine.call import Call
from camguard.engine.decision import DENIALS, Decision, Reason
from camguard.errors import SettingsError
from camguard.request.rejection import CAUSES, REJECTIONS, Rejection, rejection
from camguard.telemetry.answers import ZERO_SERVICES
from camguard.telemetry.exposition import DECISION_BOUNDS, FAMILIES, SIGNATURE, UPSTREAM_ERROR
from camguard.telemetry.metrics import OWN_COUNTERS, KeysState, Metrics
from tests.company import USER
from tests.telemetry.samples import (
    action_of,
    bundle_of,
    catalog_of,
    families_in,
    number_in,
    outcome_of,
    record_of,
    samples_in,
)

CATALOG = catalog_of(aiart=3, cvm=2)
ACT = CATALOG.actions["aiart:Act0"]
FROM_URL = SourceFacts(
    serial=3,
    offered_serial=4,
    differs=True,
    pinned=True,
    valid_until=1e9,
    from_disk=True,
    fetches={"fetched": 1, "not_modified": 2, "failure": 3},
    writes={"success": 4, "failure": 5},
)

# Name, type, labels, written out a second time: a contract is not what the code happens to say.
CONTRACT = [
    ("camguard_decisions_total", "counter", "listener service access decision reason"),
    ("camguard_action_decisions_total", "counter", "service action decision"),
    ("camguard_denials_total", "counter", "listener reason"),
    ("camguard_responses_total", "counter", "listener code_class"),
    ("camguard_decision_duration_seconds", "histogram", "listener"),
    ("camguard_requests_in_flight", "gauge", "listener"),
    ("camguard_requests_waiting", "gauge", "listener"),
    ("camguard_client_ip_total", "counter", "method"),
    ("camguard_signature_checks_total", "counter", "result"),
    ("camguard_shadow_comparisons_total", "counter", "result access"),
    ("camguard_shadow_passed_total", "counter", "listener access"),
    ("camguard_policy_reloads_total", "counter", "result"),
    ("camguard_policy_last_reload_successful", "gauge", ""),
    ("camguard_policy_last_success_timestamp_seconds", "gauge", ""),
    ("camguard_policy_activation_timestamp_seconds", "gauge", ""),
    ("camguard_policy_info", "gauge", "revision"),
    ("camguard_policy_serial", "gauge", ""),
    ("camguard_policy_offered_serial", "gauge", ""),
    ("camguard_policy_offered_differs", "gauge", ""),
    ("camguard_policy_pinned", "gauge", ""),
    ("camguard_policy_from_disk", "gauge", ""),
    ("camguard_policy_valid_until_timestamp_seconds", "gauge", ""),
    ("camguard_policy_fetches_total", "counter", "result"),
    ("camguard_policy_last_good_writes_total", "counter", "result"),
    ("camguard_keys", "gauge", "state"),
    ("camguard_keys_last_reload_successful", "gauge", ""),
    ("camguard_keys_last_success_timestamp_seconds", "gauge", ""),
    ("camguard_policy_statements", "gauge", ""),
    ("camguard_policy_findings", "gauge", "severity"),
    ("camguard_policy_principals", "gauge", ""),
    ("camguard_catalog_actions", "gauge", ""),
    ("camguard_table_cache_lookups_total", "counter", "result"),
    ("camguard_denials_by_detail_total", "counter", "detail"),
    ("camguard_table_cache_entries", "gauge", ""),
    ("camguard_decision_log_records_total", "counter", "result"),
    ("camguard_stderr_lost_lines_total", "counter", ""),
    ("camguard_upstream_duration_seconds", "histogram", "service"),
    ("camguard_upstream_responses_total", "counter", "service code_class"),
    ("camguard_upstream_errors_total", "counter", "service kind"),
    ("camguard_build_info", "gauge", "version python_version"),
]


def metrics_of(**changes: object) -> Metrics:
    return Metrics(CollectorRegistry(), catalog=CATALOG, version="1.2.3", **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def busy() -> bytes:
    """Return an exposition after one of everything."""
    metrics = Metrics(catalog=CATALOG, version="1.2.3", listeners=("gateway", "authorizer"))
    for reason in Reason:
        for listener in ("gateway", "authorizer"):
            metrics.observe(record_of(ACT, reason, listener=listener))
            metrics.observe(record_of(None, reason, listener=listener))
    for candidate in (Reason.ALLOWED, Reason.NO_ALLOW, Reason.INTERNAL_ERROR):
        metrics.observe(record_of(ACT, listener="gateway", candidate=Decision(candidate)))
    metrics.policy(outcome_of("success", bundle_of(CATALOG, "ab" * 32)))
    metrics.policy(outcome_of("failure")._replace(source=FROM_URL))
    metrics.answers.upstream("aiart", 200, 0.1)
    metrics.answers.upstream_error("aiart", "timeout")
    metrics.follow_in_flight("gateway", lambda: 3)
    metrics.follow_waiting("gateway", lambda: 7)
    metrics.follow_log(lambda: (5, 2, 1))
    metrics.follow_keys(
        lambda: KeysState({"enabled": 4, "disabled": 2, "expired": 1}, successful=False, confirmed=1e9)
    )
    return metrics.render()


def causes_in(exposition: bytes) -> dict[str, float]:
    """Return how often each cause was counted, without those that never were."""
    name = "camguard_denials_by_detail_total"
    return {s.labels["detail"]: s.value for s in samples_in(exposition) if s.name == name and s.value}


# decision, and the word under which it counts
CAUSES_COUNTED = [
    pytest.param(rejection("header_alias"), "header_alias", id="a detail"),
    pytest.param(Decision(Reason.NO_ALLOW, layer="identity"), "no_allow", id="a denial without a detail"),
    pytest.param(Decision(Reason.ACTION_UNKNOWN), "action_unknown", id="a reason that is a detail, too"),
    pytest.param(Decision(Reason.NO_ALLOW, detail="sent by a caller"), "_unknown", id="no word of the list"),
    pytest.param(Decision(Reason.ALLOWED), None, id="an allow"),
]


@pytest.mark.parametrize(("decision", "word"), CAUSES_COUNTED)
def test_t114_denials_are_counted_by_a_closed_list_of_causes(
    decision: Decision | Rejection, word: str | None
) -> None:
    metrics = metrics_of()
    assert causes_in(metrics.render()) == {}
    for _ in range(2):
        metrics.observe(record_of(ACT, decision=decision))
    assert causes_in(metrics.render()) == ({} if word is None else {word: 2})


def test_each_cause_has_a_series_at_0_from_the_start() -> None:
    name = "camguard_denials_by_detail_total"
    shown = {s.labels["detail"] for s in samples_in(metrics_of().render()) if s.name == name}
    assert shown == set(CAUSES)
    assert shown == {*REJECTIONS, *map(str, DENIALS)} - {"upstream_error", "upstream_timeout"}


def test_the_contract_is_whole() -> None:
    assert {(f.name, f.kind, " ".join(f.labels)) for f in FAMILIES.values()} == set(CONTRACT)


@pytest.mark.parametrize(("name", "kind", "labels"), CONTRACT, ids=[row[0] for row in CONTRACT])
def test_a_metric_is_as_promised(busy: bytes, name: str, kind: str, labels: str) -> None:
    family = families_in(busy)[name.removesuffix("_total")]
    assert family.type == kind
    assert family.documentation
    assert family.samples
    beside = {"le"} if kind == "histogram" else set()
    assert {label for sample in family.samples for label in sample.labels} - beside == set(labels.split())
    ends = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}[kind]
    assert {sample.name for sample in family.samples} == {family.name + end for end in ends}


def test_t131_keys_are_counted_by_state_and_their_last_reading_is_shown(busy: bytes) -> None:
    assert [
        number_in(busy, "camguard_keys", state=state) for state in ("enabled", "disabled", "expired")
    ] == [*(4, 2, 1)]
    assert number_in(busy, "camguard_keys_last_reload_successful") == 0
    assert number_in(busy, "camguard_keys_last_success_timestamp_seconds") == 1e9
    assert b"\ncamguard_keys" not in metrics_of().render()


def test_no_series_tells_when_it_was_created(busy: bytes) -> None:
    assert b"_created" not in busy


def test_no_series_is_there_twice(busy: bytes) -> None:
    series = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples_in(busy)]
    assert len(series) == len(set(series))


def test_promtool_finds_nothing_to_mend(busy: bytes) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    checked = subprocess.run([promtool, "check", "metrics"], input=busy, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_a_process_shows_its_own_needs_where_the_registry_is_camguards(busy: bytes) -> None:
    assert number_in(busy, "process_resident_memory_bytes") > 0


def test_one_decision_counts_once_everywhere() -> None:
    metrics = metrics_of()
    metrics.observe(record_of(ACT, Reason.NO_ALLOW, client_ip="forwarded", signature="claimed"))
    shown = metrics.render()
    labels = {"listener": "middleware", "service": "aiart", "access": "write", "decision": "deny"}
    assert number_in(shown, "camguard_decisions_total") == 1
    assert number_in(shown, "camguard_decisions_total", reason="no_allow", **labels) == 1
    assert number_in(shown, "camguard_action_decisions_total") == 1
    assert (
        number_in(shown, "camguard_action_decisions_total", service="aiart", action="Act0", decision="deny")
        == 1
    )
    assert number_in(shown, "camguard_decision_duration_seconds_count", listener="middleware") == 1
    assert number_in(shown, "camguard_client_ip_total", method="forwarded") == 1
    assert number_in(shown, "camguard_client_ip_total", method="peer") == 0
    assert number_in(shown, "camguard_signature_checks_total", result="claimed") == 1


def test_what_was_not_reached_is_not_counted() -> None:
    metrics = metrics_of()
    metrics.observe(record_of(None, Reason.MALFORMED, client_ip=None, signature=None))
    assert number_in(metrics.render(), "camguard_client_ip_total") == 0
    assert number_in(metrics.render(), "camguard_signature_checks_total") == 0


SERVICES = ("aiart", "cvm")
# Every series that an alert or a ratio needs: name, and the values of its labels.
ZEROS: list[tuple[str, dict[str, tuple[str, ...]]]] = [
    ("camguard_decisions_total", {"service": SERVICES, "decision": ("allow", "deny")}),
    ("camguard_decisions_total", {
        "service": SERVICES, "access": ("_unknown",), "reason": ("action_unknown",),
    }),
    ("camguard_denials_total", {
        "listener": ("middleware",), "reason": tuple(map(str, {*Reason} - {Reason.ALLOWED})),
    }),
    ("camguard_responses_total", {"code_class": ("2xx", "3xx", "4xx", "5xx", "refusal", "error")}),
    ("camguard_decision_duration_seconds_count", {"listener": ("middleware",)}),
    ("camguard_requests_in_flight", {"listener": ("middleware",)}),
    ("camguard_client_ip_total", {"method": ("peer", "forwarded", "mapped", "invalid")}),
    ("camguard_signature_checks_total", {"result": SIGNATURE}),
    ("camguard_shadow_comparisons_total", {
        "result": ("same", "newly_denied", "newly_allowed", "error"),
        "access": (*map(str, Access), "_unknown"),
    }),
    ("camguard_policy_reloads_total", {"result": ("success", "unchanged", "failure")}),
    ("camguard_policy_last_reload_successful", {}),
    ("camguard_policy_findings", {"severity": ("error", "warning", "style")}),
    ("camguard_decision_log_records_total", {"result": ("written", "dropped", "error")}),
    ("camguard_stderr_lost_lines_total", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "labels"), ZEROS, ids=[row[0] for row in ZEROS])
def test_a_series_is_there_before_its_first_request(name: str, labels: dict[str, tuple[str, ...]]) -> None:
    shown = metrics_of().render()
    for values in product(*labels.values()):
        assert number_in(shown, name, **dict(zip(labels, values, strict=True))) == 0


def test_series_of_upstreams_are_there_from_the_start_for_services_that_have_one() -> None:
    metrics = metrics_of()
    metrics.answers.follow_upstreams(lambda service: service == "aiart")
    shown = metrics.render()
    for answer in ("2xx", "3xx", "4xx", "5xx"):
        labels = {"service": "aiart", "code_class": answer}
        assert number_in(shown, "camguard_upstream_responses_total", **labels) == 0
    for kind in UPSTREAM_ERROR:
        assert number_in(shown, "camguard_upstream_errors_total", service="aiart", kind=kind) == 0
    assert number_in(shown, "camguard_upstream_duration_seconds_count", service="aiart") == 0
    services = {s.labels["service"] for s in samples_in(shown) if s.name.startswith("camguard_upstream")}
    assert services == {"aiart"}


def test_with_many_services_series_of_upstreams_wait_for_their_first_call() -> None:
    catalog = catalog_of(**{f"s{at}": 1 for at in range(ZERO_SERVICES + 1)})
    metrics = Metrics(CollectorRegistry(), catalog=catalog)
    metrics.answers.follow_upstreams(lambda _: True)
    assert b"camguard_upstream_errors_total{" not in metrics.render()
    metrics.answers.upstream("s7", 404, 0.1)
    labels = {"service": "s7", "code_class": "4xx"}
    assert number_in(metrics.render(), "camguard_upstream_responses_total", **labels) == 1


# decision, status and failure of the upstream, status of the answer, what is counted
ANSWERS = [
    pytest.param(Reason.ALLOWED, 200, None, 200, "2xx", id="a reply"),
    pytest.param(Reason.ALLOWED, 302, None, 302, "3xx", id="a redirection"),
    pytest.param(Reason.ALLOWED, 404, None, 404, "4xx", id="a reply that refuses"),
    pytest.param(Reason.ALLOWED, 503, None, 503, "5xx", id="a failure of the upstream's own"),
    pytest.param(Reason.ALLOWED, 999, None, 999, "_unknown", id="a status that is none"),
    pytest.param(
        Reason.ALLOWED, None, "timeout", 200, "error", id="an upstream that fails before its reply begins"
    ),
    pytest.param(Reason.ALLOWED, 200, "reply_incomplete", 200, "error", id="a reply that was cut"),
    pytest.param(Reason.ALLOWED, None, None, 200, "refusal", id="a call that was cut for its body"),
    pytest.param(Reason.NO_ALLOW, None, None, 200, "refusal", id="a refusal"),
    pytest.param(Reason.NO_ALLOW, 200, None, 200, "2xx", id="a denial that shadow mode lets through"),
    pytest.param(Reason.ALLOWED, None, None, None, None, id="a caller that left before its answer"),
]


@pytest.mark.parametrize(("reason", "upstream", "error", "status", "answer"), ANSWERS)
def test_an_answer_counts_once_by_what_the_caller_got(
    reason: Reason, upstream: int | None, error: str | None, status: int | None, answer: str | None
) -> None:
    metrics = metrics_of()
    metrics.answers.conclude(record_of(ACT, reason), upstream, error, status)
    shown = metrics.render()
    assert number_in(shown, "camguard_responses_total") == (answer is not None)
    if answer is not None:
        labels = {"listener": "middleware", "code_class": answer}
        assert number_in(shown, "camguard_responses_total", **labels) == 1


def test_denials_by_reason_are_the_sum_of_denied_decisions() -> None:
    metrics = metrics_of()
    for entry in (ACT, None, CATALOG.actions["cvm:Act0"]):
        for reason in Reason:
            metrics.observe(record_of(entry, reason))
    shown = metrics.render()
    for reason in set(Reason) - {Reason.ALLOWED}:
        assert number_in(shown, "camguard_denials_total", reason=reason.value) == 3
        assert number_in(shown, "camguard_decisions_total", reason=reason.value) == 3
    assert b'camguard_denials_total{listener="middleware",reason="allowed"}' not in shown


# seconds, the first bucket that holds them
DURATIONS = [
    pytest.param(0.0, "5e-06", id="nothing"),
    pytest.param(5e-6, "5e-06", id="a bound belongs to its bucket"),
    pytest.param(5.1e-6, "1e-05", id="just above a bound"),
    pytest.param(0.05, "0.05", id="the last bound"),
    pytest.param(7.0, "+Inf", id="above all bounds"),
]


@pytest.mark.parametrize(("seconds", "bound"), DURATIONS)
def test_a_duration_falls_into_its_bucket(seconds: float, bound: str) -> None:
    metrics = metrics_of()
    metrics.observe(record_of(ACT, duration=seconds))
    shown = metrics.render()
    counts = {
        sample.labels["le"]: sample.value
        for sample in samples_in(shown)
        if sample.name == "camguard_decision_duration_seconds_bucket"
    }
    bounds = list(counts)
    assert list(map(float, bounds)) == [*DECISION_BOUNDS, float("inf")]
    assert [counts[le] for le in bounds] == [float(at >= bounds.index(bound)) for at in range(len(bounds))]
    assert number_in(shown, "camguard_decision_duration_seconds_sum") == pytest.approx(seconds)


# what the active bundle decided, what the candidate did, how that is called
COMPARISONS = [
    pytest.param(Reason.ALLOWED, Reason.ALLOWED, "same", id="both allow"),
    pytest.param(Reason.NO_ALLOW, Reason.EXPLICIT_DENY, "same", id="both deny, for different reasons"),
    pytest.param(Reason.ALLOWED, Reason.NO_ALLOW, "newly_denied", id="only the active one allows"),
    pytest.param(Reason.NO_ALLOW, Reason.ALLOWED, "newly_allowed", id="only the candidate allows"),
    pytest.param(Reason.NO_ALLOW, Reason.INTERNAL_ERROR, "error", id="the candidate fails"),
    pytest.param(Reason.ALLOWED, Reason.POLICY_UNAVAILABLE, "error", id="there is no candidate yet"),
]


@pytest.mark.parametrize(("active", "candidate", "result"), COMPARISONS)
def test_a_comparison(active: Reason, candidate: Reason, result: str) -> None:
    metrics = metrics_of()
    metrics.observe(record_of(ACT, active, candidate=Decision(candidate)))
    shown = metrics.render()
    assert number_in(shown, "camguard_shadow_comparisons_total") == 1
    assert number_in(shown, "camguard_shadow_comparisons_total", result=result, access="write") == 1


HOSTILE = ['"} 1\nevil 2', "aiart\x00", "\x1b[31m", "\u2028", "x" * 10_000, "aiart:Act0", "{}", "", "日本"]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_word_of_a_caller_becomes_a_label(text: str) -> None:
    metrics = metrics_of()
    before = {tuple(sample.labels.values()) for sample in samples_in(metrics.render())}
    texts = {"principal": text, "secret_id": text, "service": text, "action": text, "peer": text}
    metrics.observe(record_of(None, Reason.ACTION_UNKNOWN, resources=(text,), request_id=text, **texts))
    # An entry that no catalog has is what a judged, but unlisted action looks like.
    metrics.observe(record_of(action_of("aiart", text), Reason.NO_ALLOW, **texts))
    metrics.observe(record_of(action_of(text, text), Reason.NO_ALLOW, **texts))
    metrics.observe(record_of(ACT, listener=text, client_ip=text, signature=text))
    metrics.answers.upstream(text, 999, 0.1)
    metrics.answers.upstream_error(text, text)
    metrics.answers.conclude(record_of(ACT, listener=text), 999, None, 999)
    metrics.answers.conclude(record_of(ACT), None, text, 200)
    shown = samples_in(metrics.render())
    added = {tuple(sample.labels.values()) for sample in shown} - before
    words = {*chain.from_iterable(added)}
    assert text not in words
    assert "_unknown" in words
    assert b"evil" not in metrics.render()


def test_a_million_strangers_make_no_series() -> None:
    metrics = metrics_of()
    for at in range(3000):
        metrics.observe(record_of(None, Reason.ACTION_UNKNOWN, service=f"s{at}", action=f"A{at}"))
        metrics.observe(record_of(action_of("aiart", f"A{at}"), Reason.NO_ALLOW))
    first = len(samples_in(metrics.render()))
    for at in range(3000, 6000):
        metrics.observe(record_of(None, Reason.ACTION_UNKNOWN, service=f"s{at}", action=f"A{at}"))
        metrics.observe(record_of(action_of("aiart", f"A{at}"), Reason.NO_ALLOW))
    shown = metrics.render()
    assert len(samples_in(shown)) == first
    unknown = {"action": "_unknown", "decision": "deny"}
    assert number_in(shown, "camguard_action_decisions_total", service="_unknown", **unknown) == 6000
    assert number_in(shown, "camguard_action_decisions_total", service="aiart", **unknown) == 6000


def test_an_unknown_action_counts_for_its_service_if_that_is_known() -> None:
    metrics = metrics_of()
    metrics.observe(record_of(None, Reason.ACTION_UNKNOWN, service="cvm", action="Nope"))
    labels = {"service": "cvm", "access": "_unknown", "reason": "action_unknown"}
    assert number_in(metrics.render(), "camguard_decisions_total", **labels) == 1


def test_only_chosen_actions_have_a_counter_each() -> None:
    metrics = metrics_of(actions=("cvm:*", "aiart:Act2"))
    for entry in CATALOG.actions.values():
        metrics.observe(record_of(entry))
    shown = samples_in(metrics.render())
    own = {(s.labels["service"], s.labels["action"]): s.value for s in shown if "action" in s.labels}
    assert own == {
        ("cvm", "Act0"): 1,
        ("cvm", "Act1"): 1,
        ("aiart", "Act2"): 1,
        ("aiart", "other"): 2,
    }


def test_actions_beyond_the_cap_share_one_counter() -> None:
    catalog = catalog_of(big=OWN_COUNTERS + 7)
    metrics = Metrics(CollectorRegistry(), catalog=catalog)
    for entry in catalog.actions.values():
        metrics.observe(record_of(entry))
    shown = metrics.render()
    own = {s.labels["action"] for s in samples_in(shown) if s.name == "camguard_action_decisions_total"}
    assert len(own) == OWN_COUNTERS + 1
    assert number_in(shown, "camguard_action_decisions_total", action="other") == 7


def test_an_action_keeps_its_counter_when_the_cap_is_reached_later() -> None:
    metrics = Metrics(CollectorRegistry(), catalog=catalog_of(b=OWN_COUNTERS - 1))
    metrics.policy(outcome_of("success", bundle_of(catalog_of(a=2, b=OWN_COUNTERS - 1), "ab" * 32)))
    for service, name in (("b", "Act998"), ("a", "Act0"), ("a", "Act1")):
        metrics.observe(record_of(catalog_of(a=2, b=OWN_COUNTERS).actions[f"{service}:{name}"]))
    shown = metrics.render()
    for labels in (
        {"service": "b", "action": "Act998"},
        {"action": "Act0"},
        {"service": "a", "action": "other"},
    ):
        assert number_in(shown, "camguard_action_decisions_total", **labels) == 1


def test_actions_of_a_later_catalog_are_counted_and_none_loses_its_name() -> None:
    metrics = metrics_of()
    metrics.observe(record_of(ACT))
    grown = catalog_of(aiart=4, lke=1)
    metrics.policy(outcome_of("success", bundle_of(grown, "cd" * 32)))
    metrics.observe(record_of(ACT))
    metrics.observe(record_of(grown.actions["lke:Act0"]))
    shown = metrics.render()
    assert number_in(shown, "camguard_action_decisions_total", service="aiart", action="Act0") == 2
    assert number_in(shown, "camguard_action_decisions_total", service="lke", action="Act0") == 1
    assert number_in(shown, "camguard_decisions_total", service="cvm") == 0


def test_a_reload_in_numbers() -> None:
    metrics = metrics_of()
    bundle = bundle_of(CATALOG, "ab" * 32)
    metrics.policy(outcome_of("success", bundle, 1000.0))
    metrics.policy(outcome_of("unchanged", bundle, 1002.0))
    shown = metrics.render()
    assert number_in(shown, "camguard_policy_last_reload_successful") == 1
    assert number_in(shown, "camguard_policy_activation_timestamp_seconds") == 1000
    assert number_in(shown, "camguard_policy_last_success_timestamp_seconds") == 1002
    assert number_in(shown, "camguard_policy_info", revision="abababababab") == 1
    assert number_in(shown, "camguard_policy_statements") == 1
    assert number_in(shown, "camguard_policy_principals") == 2
    assert number_in(shown, "camguard_catalog_actions") == 5
    metrics.policy(outcome_of("failure", bundle, 1004.0))
    shown = metrics.render()
    assert number_in(shown, "camguard_policy_last_reload_successful") == 0
    assert number_in(shown, "camguard_policy_last_success_timestamp_seconds") == 1002
    assert number_in(shown, "camguard_policy_info", revision="abababababab") == 1
    for result in ("success", "unchanged", "failure"):
        assert number_in(shown, "camguard_policy_reloads_total", result=result) == 1


def test_a_replaced_revision_is_zero_until_it_comes_back() -> None:
    metrics = metrics_of()
    old, new = bundle_of(CATALOG, "ab" * 32), bundle_of(CATALOG, "cd" * 32)
    metrics.policy(outcome_of("success", old))
    metrics.policy(outcome_of("success", new))
    assert number_in(metrics.render(), "camguard_policy_info", revision="abababababab") == 0
    assert number_in(metrics.render(), "camguard_policy_info", revision="cdcdcdcdcdcd") == 1
    metrics.policy(outcome_of("success", bundle_of(CATALOG, "ab" * 32)))
    assert number_in(metrics.render(), "camguard_policy_info", revision="abababababab") == 1
    assert number_in(metrics.render(), "camguard_policy_info") == 1


def test_a_thousand_reloads_leave_few_series() -> None:
    metrics = metrics_of()
    for at in range(200):
        metrics.policy(outcome_of("success", bundle_of(CATALOG, f"{at:064x}"[::-1])))
    assert sum(sample.name == "camguard_policy_info" for sample in samples_in(metrics.render())) < 20


def test_lookups_of_tables_never_fall() -> None:
    metrics = metrics_of()
    call = Call(USER, "aiart:Act0", None, None)
    total = 0.0
    for at in range(3):
        bundle = bundle_of(CATALOG, f"{at}" * 64)
        metrics.policy(outcome_of("success", bundle))
        assert bundle.decide(call)
        assert bundle.decide(call)
        shown = metrics.render()
        now = number_in(shown, "camguard_table_cache_lookups_total")
        assert now > total
        total = now
    assert number_in(shown, "camguard_table_cache_entries") == 1


def test_an_upstream_in_numbers() -> None:
    metrics = metrics_of()
    metrics.answers.upstream("aiart", 503, 0.2)
    metrics.answers.upstream_error("aiart", "reset")
    shown = metrics.render()
    assert number_in(shown, "camguard_upstream_duration_seconds_sum", service="aiart") == pytest.approx(0.2)
    assert number_in(shown, "camguard_upstream_responses_total", service="aiart", code_class="5xx") == 1
    assert number_in(shown, "camguard_upstream_responses_total", service="aiart", code_class="2xx") == 0
    assert number_in(shown, "camguard_upstream_errors_total", service="aiart", kind="reset") == 1
    assert number_in(shown, "camguard_upstream_errors_total", service="aiart", kind="connect") == 0


def test_two_guards_in_one_registry_are_shown_as_their_sum() -> None:
    registry = CollectorRegistry()
    one, other = (Metrics(registry, catalog=CATALOG) for _ in range(2))
    one.observe(record_of(ACT))
    other.observe(record_of(ACT))
    one.follow_in_flight("middleware", lambda: 1)
    other.follow_in_flight("middleware", lambda: 2)
    shown = generate_latest(registry)
    assert number_in(shown, "camguard_decisions_total", decision="allow") == 2
    assert number_in(shown, "camguard_decision_duration_seconds_count") == 2
    assert number_in(shown, "camguard_requests_in_flight") == 3
    assert number_in(shown, "camguard_build_info") == 1


def test_a_guard_that_ends_leaves_its_counters_and_nothing_else() -> None:
    registry = CollectorRegistry()
    one, other = (Metrics(registry, catalog=CATALOG) for _ in range(2))
    one.observe(record_of(ACT))
    one.follow_in_flight("middleware", lambda: 1)
    one.stop()
    one.stop()
    other.observe(record_of(ACT))
    shown = generate_latest(registry)
    assert number_in(shown, "camguard_decisions_total", decision="allow") == 2
    assert number_in(shown, "camguard_decision_duration_seconds_count") == 2
    assert number_in(shown, "camguard_requests_in_flight") == 0


def test_a_guard_that_ends_keeps_neither_itself_nor_its_bundle_in_the_registry() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, catalog=CATALOG)
    bundle = bundle_of(CATALOG, "ab" * 32)
    metrics.policy(outcome_of("success", bundle))
    of_metrics, of_bundle = weakref.ref(metrics), weakref.ref(bundle)
    metrics.stop()
    del metrics, bundle
    gc.collect()
    assert of_metrics() is None
    assert of_bundle() is None
    assert number_in(generate_latest(registry), "camguard_policy_reloads_total") == 1


def test_a_guard_that_starts_again_goes_on_counting() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, catalog=CATALOG)
    metrics.follow_in_flight("middleware", lambda: 1)
    for turn in range(1, 4):
        metrics.start()
        metrics.start()
        metrics.observe(record_of(ACT))
        shown = generate_latest(registry)
        assert number_in(shown, "camguard_decisions_total", decision="allow") == turn
        assert number_in(shown, "camguard_decision_duration_seconds_count") == turn
        assert number_in(shown, "camguard_requests_in_flight") == 1
        metrics.stop()
        shown = generate_latest(registry)
        assert number_in(shown, "camguard_decisions_total", decision="allow") == turn
        assert number_in(shown, "camguard_decision_duration_seconds_sum") == pytest.approx(turn * 20e-6)


def test_a_foreign_metric_under_a_name_of_camguard_is_named() -> None:
    registry = CollectorRegistry()
    Counter("camguard_decisions", "Not ours.", registry=registry)
    with pytest.raises(SettingsError, match="camguard_decisions"):
        Metrics(registry)


def test_a_host_applications_own_metrics_stand_beside() -> None:
    registry = CollectorRegistry()
    Counter("orders", "Of the host.", registry=registry).inc()
    Metrics(registry)
    shown = generate_latest(registry)
    assert number_in(shown, "orders_total") == 1
    assert b"process_" not in shown


def test_reading_while_counting_loses_nothing() -> None:
    catalog = catalog_of(a=300, b=300)
    metrics = Metrics(CollectorRegistry(), catalog=catalog)
    counted = [record_of(entry, reason) for entry in catalog.actions.values() for reason in Reason]
    failures: list[BaseException] = []
    totals: list[float] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                numbers = metrics.snapshot()["camguard_decisions_total"]
                totals.append(sum(value for value in numbers.values() if isinstance(value, int | float)))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shall say it
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for record in counted:
        metrics.observe(record)
        metrics.answers.upstream("a", 200, 0.1)
        metrics.answers.conclude(record, 200, None, 200)
        metrics.answers.upstream_error("a", "reset")
    metrics.policy(outcome_of("success", bundle_of(catalog_of(c=300), "ab" * 32)))
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert number_in(metrics.render(), "camguard_decisions_total") == len(counted)
    assert max(totals) <= len(counted)


def test_every_table_of_the_catalog_is_a_label() -> None:
    metrics = metrics_of()
    for access in Access:
        metrics.observe(record_of(action_of("aiart", "X", access), candidate=Decision(Reason.ALLOWED)))
        labels = {"access": access.value, "result": "same"}
        assert number_in(metrics.render(), "camguard_shadow_comparisons_total", **labels) == 1

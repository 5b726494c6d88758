"""Records, catalogs and bundles for the tests of metrics and log; numbers read off an exposition."""

from __future__ import annotations

from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from camguard.bundle.model import Bundle
from camguard.bundle.store import ReloadOutcome, Result
from camguard.catalog.model import Access, Action, Catalog
from camguard.engine.decision import Decision, Reason
from camguard.ipset import parse_address
from camguard.telemetry.record import Record
from tests.company import action, bundle, catalog, policy, service


def catalog_of(**services: int) -> Catalog:
    """Return a catalog whose services have so many actions each: `Act0`, `Act1` and so on, writing ones."""
    return catalog(
        *(
            service(name, *(action_of(name, f"Act{at}") for at in range(count)))
            for name, count in services.items()
        )
    )


def action_of(service: str, name: str, access: Access = Access.WRITE) -> Action:
    return action(f"{service}:{name}", access=access)


def bundle_of(catalog: Catalog, revision: str) -> Bundle:
    return bundle([policy("all", {})], catalog, revision=revision)


def outcome_of(result: Result, bundle: Bundle | None = None, time: float = 1000.0) -> ReloadOutcome:
    return ReloadOutcome(result, time, bundle.revision if bundle else "", (), bundle)


def record_of(entry: Action | None = None, reason: Reason = Reason.ALLOWED, **changes: Any) -> Record:
    """Return a record of one call, with what is not said as it usually is."""
    record = Record(
        time=1773144000.25,
        request_id="0f8fad5b-d9cb-469f-a165-70867728950e",
        listener="middleware",
        mode="enforce",
        decision=Decision(reason, ("all#0",) if reason is Reason.ALLOWED else ()),
        entry=entry,
        principal="uin/100000000101",
        secret_id="AKIDz8…EXAM",
        service=entry.service if entry else None,
        action=entry.name if entry else None,
        resources=("*",),
        source_ip=parse_address("10.1.2.3"),
        egress_ip=None,
        peer="127.0.0.1",
        client_ip="peer",
        signature="valid",
        revision="0123456789abcdef" * 4,
        candidate=None,
        duration=20e-6,
        cam_action=entry.id if entry else None,
        host="aiart.tencentcloudapi.com",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        client_request_id="job-17/2",
    )
    return record._replace(**changes)


def families_in(exposition: bytes) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(exposition.decode())}


def samples_in(exposition: bytes) -> list[Sample]:
    return [sample for family in families_in(exposition).values() for sample in family.samples]


def number_in(exposition: bytes, name: str, **labels: str) -> float:
    """Return the sum of the samples that have these labels, whatever their others are."""
    found = [s.value for s in samples_in(exposition) if s.name == name and labels.items() <= s.labels.items()]
    assert found, f"no {name} with {labels}"
    return sum(found)

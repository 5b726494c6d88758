"""From the plain data that cases and oracle use to camguard's own objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast

from camguard import Bundle, Call, PolicyError, parse_address, parse_policy
from camguard.bundle import make_bundle
from camguard.catalog.known_services import read_known_services
from camguard.catalog.model import Access, Action, Catalog, Granularity, IpRestriction, Service
from tests.oracle_documents import instant

if TYPE_CHECKING:
    from camguard import Decision


def to_catalog(services: Mapping[str, Any], known: Mapping[str, Any] | None = None) -> Catalog:
    """The catalog of services, each as its file has it. known: as services.json has it."""
    listed = MappingProxyType({name: to_service(found) for name, found in services.items()})
    return Catalog(listed, known=read_known_services(json.dumps(known or {}).encode(), "services.json"))


def to_service(found: Mapping[str, Any]) -> Service:
    """One service."""
    actions = {
        row["name"]: Action(
            service=found["service"],
            name=row["name"],
            access=Access(row["access"]),
            granularity=Granularity(row["granularity"]),
            resources=tuple(row["resources"]),
            ip_restriction=row["ip_restriction"],
            match=row.get("match", "all"),
            alternatives=tuple(row.get("alternatives", ())),
            read_only=row.get("read_only", False),
            access_guessed=row.get("access_guessed", False),
        )
        for row in found["actions"]
    }
    return Service(
        name=found["service"],
        title=found["title"],
        console=found["console"],
        tag_authorization=found["tag_authorization"],
        granularity=Granularity(found["granularity"]),
        ip_restriction=IpRestriction(found["ip_restriction"]),
        actions=MappingProxyType(actions),
    )


def to_call(call: Mapping[str, Any]) -> Call:
    """One call; dates as text, and seconds as they are."""
    source, session, time, context = (call[name] for name in ("source_ip", "session", "time", "context"))
    return Call(
        principal=call["principal"],
        action=call["action"],
        source_ip=None if source is None else parse_address(source),
        time=float(cast("Any", instant(time))) if isinstance(time, str) else time,
        resources=tuple(call["resources"]),
        resource_tags=call["resource_tags"],
        request_tags=call["request_tags"],
        context=None if context is None else {key: tuple(values) for key, values in context.items()},
        session=None if session is None else parse_policy(session, "session.json"),
    )


def to_bundle(
    catalog: Catalog,
    policies: Mapping[str, str],
    principals: Mapping[str, Any],
    *,
    ip_support: str = "catalog",
    unknown_action: str = "refuse",
    inventory: Mapping[str, Mapping[str, str]] | None = None,
) -> Bundle:
    """One bundle; policies are text. Raises PolicyError and BundleError."""
    return make_bundle(
        {name: parse_policy(text, f"{name}.json") for name, text in policies.items()},
        principals,
        catalog,
        ip_support=cast("Literal['catalog', 'gateway']", ip_support),
        unknown_action=cast("Literal['refuse', 'judge']", unknown_action),
        resource_tags=inventory,
    )


def codes_of(document: str) -> frozenset[str]:
    """The codes of what camguard finds wrong with a document."""
    try:
        parse_policy(document, "document.json")
    except PolicyError as error:
        return frozenset(problem.code for problem in error.problems)
    return frozenset()


def answer(decision: Decision) -> tuple[str, tuple[str, ...]]:
    """A decision as the oracle gives it."""
    return decision.reason.value, decision.statements

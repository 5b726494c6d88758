"""The quick checks of the language and the engine: they run in the process of the mutant, before any test.

Everything that the checks expect is settled before a mutant is imported: the cases as written, and what
the oracle says of seeded bundles, calls and documents.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from tests import oracle
from tests.casebook import catalogs, decision_cases, document_cases
from tests.generators import a_broken_document, a_catalog, seeded, stream

WORLDS, CALLS, DOCUMENTS = 150, 20, 1000  # seeded bundles, calls of each, and documents


class Check(NamedTuple):
    """One thing that must hold. name: said of the mutant that it kills."""

    name: str
    holds: Callable[[], bool]

    def passes(self) -> bool:
        """Return whether the check holds; not if anything is raised."""
        try:
            return self.holds()
        except BaseException:  # noqa: BLE001 - whatever is raised where nothing may be
            return False


def checks() -> list[Check]:
    """Return the quick checks. What they need of camguard is imported when they are called."""
    return [*_cases(), *_documents(), *_worlds()]


def _bridge() -> Any:
    return importlib.import_module("tests.bridge")


def _cases() -> Iterator[Check]:
    main = catalogs()["main"], catalogs()["known"]
    for case in decision_cases():
        settings = {**case.settings, "inventory": case.inventory}
        asked = [(case.call, (case.reason, case.statements))]
        yield Check(f"{case.rule} {case.id}", _world(main, case.policies, case.principals, settings, asked))
    for each in document_cases():
        yield Check(f"{each.rule} {each.id}", _document(each.document, each.codes))


def _documents() -> Iterator[Check]:
    for seed in range(DOCUMENTS):
        dice = seeded(seed)
        text = a_broken_document(dice, a_catalog(dice))
        yield Check(f"seeded document {seed}", _document(text, frozenset(oracle.validate(text))))


def _worlds() -> Iterator[Check]:
    for i, (world, calls) in enumerate(islice(stream(1, CALLS), WORLDS)):
        parts = (world.policies, world.principals)
        rules: Any = world.settings
        asked = [
            (call, oracle.decide(world.catalog, *parts, call, known=world.known, **rules)) for call in calls
        ]
        yield Check(f"seeded bundle {i}", _world((world.catalog, world.known), *parts, rules, asked))


def _document(text: str, codes: frozenset[str]) -> Callable[[], bool]:
    return lambda: bool(_bridge().codes_of(text) == codes)


def _world(
    catalog: Any, policies: Any, principals: Any, rules: Any, asked: list[tuple[Any, oracle.Answer]]
) -> Callable[[], bool]:
    def holds() -> bool:
        bridge = _bridge()
        bundle = bridge.to_bundle(bridge.to_catalog(*catalog), policies, principals, **rules)
        for call, wanted in asked:
            ready = bridge.to_call(call)
            found = {bridge.answer(each) for each in (bundle.decide(ready), bundle.explain(ready).decision)}
            if found != {wanted} or bridge.answer(bundle.decide(ready)) != wanted:
                return False
        return True

    return holds

"""Two readers of one language must agree: the compiled tables, and the oracle.

`python -m tests.test_agreement 1000000 [seed]` asks for so many decisions, and makes what it finds small.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings

from camguard import CamguardError
from tests import oracle
from tests.bridge import answer, codes_of, to_bundle, to_call, to_catalog
from tests.generators import (
    Json,
    World,
    a_broken_document,
    a_catalog,
    a_misspelling,
    documents,
    seeded,
    stream,
    worlds_and_calls,
    written_in,
)
from tests.vocabulary import ADDRESSES, DATES, LIKES, NUMBERS

CALLS = 30  # of each seeded bundle
MANY = int(os.environ.get("CAMGUARD_AGREEMENT", "50000"))
REASONS = (
    *("allowed", "explicit_deny", "undetermined_deny", "no_allow", "layer_limit"),
    *("action_invalid", "action_unknown", "service_unknown", "principal_unknown"),
)
CODES = (
    *("PolicyDocumentError", "VersionError", "StatementError", "EffectError", "ActionError", "ResourceError"),
    *("ResourceQcsError", "ResourceProjectError", "ResourceContentError", "ConditionError"),
    *("ConditionTypeError", "ConditionContentError", "PrincipalError", "loads"),
)
QUIET = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


class Difference(NamedTuple):
    """One call on which the two do not agree."""

    world: World
    call: Json
    of_oracle: oracle.Answer
    of_engine: object


def of_oracle(world: World, call: Json) -> oracle.Answer:
    """What the oracle says."""
    return oracle.decide(
        world.catalog,
        world.policies,
        world.principals,
        call,
        known=world.known,
        inventory=world.inventory,
        **world.settings,
    )


def differences(world: World, calls: list[Json]) -> Iterator[Difference]:
    """Every call on which table, explanation, or the table on the second call, differ from the oracle."""
    bundle = to_bundle(
        to_catalog(world.catalog, world.known),
        world.policies,
        world.principals,
        inventory=world.inventory,
        **world.settings,
    )
    queries = [(call, to_call(call), of_oracle(world, call)) for call in calls]
    for ask in (bundle.decide, lambda call: bundle.explain(call).decision):
        for call, ready, wanted in queries:
            found = answer(ask(ready))
            if found != wanted:
                yield Difference(world, call, wanted, found)
    for call, ready, wanted in reversed(queries):  # now from a warm table, in another order
        found = answer(bundle.decide(ready))
        if found != wanted:
            yield Difference(world, call, wanted, found)


def described(difference: Difference) -> str:
    """A difference for people."""
    world, call, wanted, found = difference
    return (
        f"oracle {wanted}\nengine {found}\ncall {json.dumps(call)}\nsettings {world.settings}\n"
        f"principals {json.dumps(world.principals)}\n"
        + "".join(f"{name}: {text}\n" for name, text in world.policies.items())
        + f"catalog {json.dumps(world.catalog)}\nknown {json.dumps(world.known)}"
    )


def agree(pairs: int, seed: int) -> Counter[str]:
    """Ask so many seeded calls, and count the reasons. Raises AssertionError for the first difference."""
    reasons: Counter[str] = Counter()
    for world, calls in islice(stream(seed, CALLS), pairs // CALLS):
        for difference in differences(world, calls):
            raise AssertionError(described(smallest(difference)))
        reasons.update(of_oracle(world, call)[0] for call in calls)
    return reasons


def documents_agree(number: int, seed: int) -> Counter[str]:
    """Compare the codes of so many documents with one fault, and count the codes."""
    codes: Counter[str] = Counter(dict.fromkeys(CODES, 0))
    for one in range(seed, seed + number):
        dice = seeded(one)
        text = a_broken_document(dice, a_catalog(dice))
        found = frozenset(oracle.validate(text))
        assert codes_of(text) == found, text
        codes.update(found or {"loads"})
    return codes


FORMATS = {
    "ip_equal": (
        *ADDRESSES,
        *("10.0.0.0/8", "10.217.182.3/24", "0.0.0.0/0", "::/0", "2001:db8::/32", "::ffff:10.0.0.0/104"),
        *("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4/127", "1::8/64", "::ffff:1.2.3.4/96", "192.0.2.77/32"),
    ),
    "date_equal": (*DATES, "2000-02-29T23:59:59.25Z", "1900-03-01 00:00:00"),
    "numeric_equal": (*NUMBERS, "-1.5e-10", "1E+3", "${uin}", "1${app_id}.5"),
    "string_like": (*LIKES, "a*b"),
}


def formats_agree(operator: str, number: int, seed: int) -> Counter[str]:
    """Compare which texts an operator takes, and count them."""
    found: Counter[str] = Counter({"taken": 0, "refused": 0})
    for one in range(seed, seed + number):
        value = a_misspelling(seeded(one), FORMATS[operator])
        statement = {
            "effect": "deny",
            "action": "*",
            "resource": "*",
            "condition": {operator: {"cos:x": value}},
        }
        text = json.dumps({"version": "2.0", "statement": statement})
        wrong = frozenset(oracle.validate(text))
        assert codes_of(text) == wrong, value
        found["refused" if wrong else "taken"] += 1
    return found


# --- the tests ---------------------------------------------------------------------------------------


@settings(QUIET, max_examples=100)
@given(worlds_and_calls())
def test_tables_and_oracle_agree(found: tuple[World, list[Json]]) -> None:
    for difference in differences(*found):
        raise AssertionError(described(difference))


@settings(QUIET, max_examples=200)
@given(documents())
def test_parser_and_oracle_agree_which_documents_load(text: str) -> None:
    assert codes_of(text) == frozenset(oracle.validate(text)), text


def test_tables_and_oracle_agree_on_seeded_bundles() -> None:
    reasons = agree(4500, seed=1)
    assert min(reasons[reason] for reason in REASONS) > 0


def test_parser_and_oracle_agree_on_seeded_documents() -> None:
    assert min(documents_agree(4500, seed=1).values()) > 0


@pytest.mark.parametrize("operator", FORMATS)
def test_parser_and_oracle_agree_which_values_an_operator_takes(operator: str) -> None:
    assert min(formats_agree(operator, 500, seed=1).values()) > 0


@pytest.mark.heavy
@pytest.mark.parametrize("operator", FORMATS)
def test_parser_and_oracle_agree_on_values_at_length(operator: str) -> None:
    assert min(formats_agree(operator, MANY // 5, seed=1_000_000).values()) > 0


@pytest.mark.heavy
def test_tables_and_oracle_agree_at_length() -> None:
    reasons = agree(MANY, seed=1_000_000)
    assert min(reasons[reason] for reason in REASONS) > 0


@pytest.mark.heavy
def test_parser_and_oracle_agree_at_length() -> None:
    assert min(documents_agree(MANY // 2, seed=1_000_000).values()) > 0


# --- making a difference small -------------------------------------------------------------------------


def smallest(found: Difference) -> Difference:
    """The same difference with all taken away that it does not need."""
    shrunk = True
    while shrunk:
        shrunk = False
        for smaller in less(found):
            again = still_differs(*smaller)
            if again is not None:
                found, shrunk = again, True
                break
    return found


def still_differs(world: World, call: Json) -> Difference | None:
    """The difference that is left, if what is left can be decided at all."""
    if any(map(oracle.validate, [*world.policies.values(), *filter(None, [call["session"]])])):
        return None
    try:
        return next(differences(world, [call]), None)
    except (CamguardError, KeyError, TypeError, ValueError):
        return None


def less(found: Difference) -> Iterator[tuple[World, Json]]:
    """Every bundle and call with one thing less."""
    world, call = found.world, found.call
    for smaller in without(world.policies, depth=1):
        yield world._replace(policies=smaller), call
    for name, text in world.policies.items():
        for document in without(written_in(text)):
            yield world._replace(policies={**world.policies, name: json.dumps(document)}), call
    for principals in without(world.principals):
        yield world._replace(principals=principals), call
    for known in without(world.known, depth=2):
        yield world._replace(known=known), call
    for catalog in without(world.catalog, depth=3):
        yield world._replace(catalog=catalog), call
    for smaller in less_of_call(call):
        yield world, smaller


def less_of_call(call: Json) -> Iterator[Json]:
    """A call with one thing less."""
    for name in ("resources", "context", "resource_tags", "request_tags"):
        for smaller in without(call[name] or {}):
            yield {**call, name: smaller}
        if call[name] and name != "resources":
            yield {**call, name: None}
    if call["session"]:
        yield {**call, "session": None}
        for document in without(json.loads(call["session"])):
            yield {**call, "session": json.dumps(document)}


def without(value: Any, depth: int = 9) -> Iterator[Any]:
    """A JSON value with one element less, at any depth."""
    if depth == 0 or not isinstance(value, dict | list):
        return
    entries = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for at, inner in entries:
        kept = [entry for entry in entries if entry[0] != at]
        yield dict(kept) if isinstance(value, dict) else [one for _, one in kept]
        for smaller in without(inner, depth - 1):
            swapped = [(key, smaller if key == at else one) for key, one in entries]
            yield dict(swapped) if isinstance(value, dict) else [one for _, one in swapped]


# --- as a program --------------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Ask for many decisions, and tell of the differences."""
    number, seed = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 10_000_000
    reasons: Counter[str] = Counter()
    found = 0
    for done, (world, calls) in enumerate(islice(stream(seed, CALLS), -(-number // CALLS)), start=1):
        reasons.update(of_oracle(world, call)[0] for call in calls)
        for difference in differences(world, calls):
            found += 1
            sys.stdout.write(f"seed {seed + done - 1}\n{described(smallest(difference))}\n\n")
            break
        if done % 1000 == 0:
            sys.stderr.write(f"{done * CALLS} calls, {found} bundles differ\n")
    sys.stdout.write(f"{reasons.total()} calls, {found} bundles differ; {dict(reasons.most_common())}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A small scope, whole: every set of up to three statements, in identity and boundary, asked every call.

`python -m tests.small_scope --size 3` enumerates all sets of up to so many statements of an alphabet:
effects, action patterns, resource forms and conditions, some of which nobody can determine. Each statement
stands in the identity layer or in the boundary. Every decision of the compiled tables is compared with that
of the oracle, and nothing is sampled.

The oracle is slow, and its verdict depends on a statement only through the layer, the effect and the truth of
the statement for each resource of the call. The oracle computes every such truth once, and one verdict for
each combination of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice, product
from typing import Any, NamedTuple, TypeAlias

from camguard import Bundle, Call, parse_policy
from camguard.bundle import make_bundle
from camguard.policy.model import Policy
from camguard.policy.model import Statement as Compiled
from tests import oracle
from tests.bridge import answer, to_call, to_catalog
from tests.oracle_documents import Statement as Read
from tests.oracle_documents import read_statement

Statement: TypeAlias = Mapping[str, Any]

OWNER = {"uin": "100100", "app_id": "125"}
FIRST_USER = 100200
IDENTITY, BOUNDARY = "identity", "boundary"
MOST = 3  # statements in one set
WORLDS = 400  # sets in one bundle, each with a principal of its own
INSIDE, OUTSIDE = "10.1.2.3", "198.51.100.7"
OFFICE = {"ip_equal": {"qcs:ip": "10.0.0.0/8"}}
ELSEWHERE = {"ip_not_equal_if_exist": {"qcs:ip": "10.0.0.0/8"}}
FACTOR = {"bool_equal": {"qcs:mfa": "true"}}
BY_DATE = {"date_less_than": {"qcs:current_time": "2020-01-01T00:00:00Z"}}
ITEM = "qcs::a:${region}:uin/${uin}:item/${id}"


class Alphabet(NamedTuple):
    """What statements are made of. A call that supplies no second factor leaves FACTOR undetermined."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[Mapping[str, Any], ...]

    def statements(self) -> list[Statement]:
        """Return every statement."""
        parts = product(("allow", "deny"), self.actions, self.resources, self.conditions)
        return [
            {"effect": effect, "action": action, "resource": resource, "condition": condition}
            for effect, action, resource, condition in parts
        ]


# The pattern `*:Get` leaves open whether it names the action, and `$x` which account is meant.
LEAST = Alphabet(("*",), ("*", "qcs::a::$x:item/1"), ({}, FACTOR))
NARROW = Alphabet(
    ("*", "a:Get", "*:Get"), ("*", "qcs::a:::item/1", "qcs::a::$x:item/1"), ({}, OFFICE, FACTOR)
)
WIDE = Alphabet(
    ("*", "a:*", "a:Get", "*:Get", "a:put", "b:Do"),
    ("*", "qcs::a:::item/1", "qcs::a:::item/*", "qcs::a::$x:item/1", "qcs::A:::item/1", "qcs:::::item/1"),
    ({}, OFFICE, ELSEWHERE, FACTOR, BY_DATE),
)
ALPHABETS = {"least": LEAST, "narrow": NARROW, "wide": WIDE}


def product_of(service: str, *actions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a service as its catalog file has it."""
    usual = {"access": "write", "granularity": "resource", "resources": [ITEM], "ip_restriction": True}
    rows = [{"description": "", **usual, **row} for row in actions]
    fixed = {"console": True, "tag_authorization": False, "granularity": "resource", "pages": []}
    return {"service": service, "title": service, "ip_restriction": "partial", "actions": rows, **fixed}


CATALOG = {
    "a": product_of(
        "a",
        {"name": "Get"},
        {"name": "Put", "ip_restriction": False, "match": "any"},
        {"name": "List", "granularity": "operation", "resources": ["*"]},
    ),
    "b": product_of(  # of this service only the name of the action is known
        "b", {"name": "Do", "granularity": "unknown", "resources": ["*"], "ip_restriction": False}
    ),
}
FIRST, SECOND = "qcs::a:ap-guangzhou:uin/100100:item/1", "qcs::a:ap-guangzhou:uin/100100:item/2"
ASKED = (
    *(("a:Get", [FIRST]), ("a:Get", [SECOND]), ("a:Get", [FIRST, SECOND])),
    *(("a:Put", [FIRST]), ("a:Put", [FIRST, SECOND]), ("a:List", ["*"]), ("b:Do", ["*"])),
)


def calls() -> list[dict[str, Any]]:
    """Return every call of the space: actions with resources, addresses, and a second factor or none."""
    usual = {"time": 1773144000, "resource_tags": None, "request_tags": None, "session": None}
    return [
        {
            "principal": f"uin/{FIRST_USER}",
            "action": action,
            "resources": resources,
            "source_ip": address,
            "context": context,
            **usual,
        }
        for (action, resources), address, context in product(
            ASKED, (INSIDE, OUTSIDE, None), (None, {"qcs:mfa": ["true"]})
        )
    ]


# --- what the oracle says --------------------------------------------------------------------------------


class Verdicts:
    """The oracle's verdicts, for sets of placed statements.

    A placed statement is a number: below the size of the alphabet it stands in the identity layer, above it
    in the boundary.
    """

    def __init__(self, statements: Sequence[Statement]) -> None:
        people = {"owner": OWNER, "users": {}}
        self._read = [read_statement(statement) for statement in statements]
        self._queries = [oracle.queries_of(CATALOG, people, call) for call in calls()]
        self._general = oracle.Item("general#0", read_statement(oracle.GENERAL))
        signatures: dict[object, int] = {}
        # for each call, for each placed statement: the number of its layer, effect and truths
        self.signatures = [
            [
                signatures.setdefault((layer, read.effect, self._truths(read, queries)), len(signatures))
                for layer in (IDENTITY, BOUNDARY)
                for read in self._read
            ]
            for queries in self._queries
        ]
        self.memory: list[dict[tuple[int, ...], oracle.Answer]] = [{} for _ in self._queries]

    @staticmethod
    def _truths(read: Read, queries: Sequence[oracle.Query]) -> tuple[oracle.Truth, ...]:
        resources = queries[0].call["resources"]
        return tuple(oracle.statement_truth(read, query, each) for query in queries for each in resources)

    def computed(self, at: int, placed: Sequence[int]) -> oracle.Answer:
        """Return the verdict of one call, by its number, under a set of placed statements."""
        size = len(self._read)
        own = [self._read[one] for one in placed if one < size]
        limits = [self._read[one - size] for one in placed if one >= size]
        layers = oracle.Layers(
            account=(),
            identity=tuple(oracle.Item(f"{IDENTITY}#{i}", each) for i, each in enumerate(own)),
            limits=(tuple(oracle.Item(f"{BOUNDARY}#{i}", each) for i, each in enumerate(limits)),)
            if limits
            else (),
            general=(self._general,),
        )
        return oracle.judge(layers, self._queries[at])


# --- what camguard says ----------------------------------------------------------------------------------


class Compiler:
    """Makes bundles of many small worlds, each with one principal. Statements are parsed once."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        self._size = len(statements)
        self._catalog = to_catalog(CATALOG)
        self._parsed = [
            self._parse(statement, layer) for layer in (IDENTITY, BOUNDARY) for statement in statements
        ]

    @staticmethod
    def _parse(statement: Statement, layer: str) -> tuple[Compiled, ...]:
        """Return a statement as it is at every place of a policy."""
        text = json.dumps({"version": "2.0", "statement": [statement] * MOST})
        return parse_policy(text, f"{layer}.json").statements

    def bundle(self, worlds: Sequence[tuple[int, ...]]) -> Bundle:
        """Return a bundle in which the nth user has the nth set of placed statements."""
        policies: dict[str, Policy] = {}
        users: dict[str, Any] = {}
        for number, placed in enumerate(worlds):
            own = [one for one in placed if one < self._size]
            limits = placed[len(own) :]
            entry = {"policies": [self._policy(policies, own)]}
            users[str(FIRST_USER + number)] = entry | (
                {"boundary": self._policy(policies, limits)} if limits else {}
            )
        people = {"owner": OWNER, "users": users}
        return make_bundle(policies, people, self._catalog, tables=len(worlds))

    def _policy(self, policies: dict[str, Policy], placed: Sequence[int]) -> str:
        """Add the policy of these statements unless it is there, and return its id."""
        name = "-".join(["p", *map(str, placed)])
        if name not in policies:
            statements = tuple(self._parsed[one][place] for place, one in enumerate(placed))
            policies[name] = Policy(name, f"{name}.json", statements)
        return name


# --- the comparison --------------------------------------------------------------------------------------


class Difference(NamedTuple):
    """One call on which the two do not agree. placed: the statements, each with its layer."""

    placed: tuple[tuple[str, Statement], ...]
    call: Mapping[str, Any]
    of_oracle: oracle.Answer
    of_engine: oracle.Answer


class Scope:
    """One alphabet, with the oracle's verdicts and camguard's statements."""

    def __init__(self, alphabet: Alphabet) -> None:
        self.statements = alphabet.statements()
        self.calls = calls()
        self._verdicts = Verdicts(self.statements)
        self._compiler = Compiler(self.statements)
        self._asked: list[tuple[Any, ...]] = [tuple(to_call(call))[1:] for call in self.calls]
        self.reasons: Counter[str] = Counter()

    def worlds(self, size: int) -> Iterator[tuple[int, ...]]:
        """Yield every set of up to so many placed statements."""
        for number in range(size + 1):
            yield from combinations(range(2 * len(self.statements)), number)

    def differences(self, worlds: Iterable[tuple[int, ...]]) -> Iterator[Difference]:
        """Ask every call of every world; count the reasons."""
        verdicts = self._verdicts
        rows = list(
            zip(range(len(self.calls)), self._asked, verdicts.signatures, verdicts.memory, strict=True)
        )
        left = iter(worlds)
        while some := list(islice(left, WORLDS)):
            decide = self._compiler.bundle(some).decide
            for number, placed in enumerate(some):
                principal = f"uin/{FIRST_USER + number}"
                for at, asked, signatures, memory in rows:
                    key = tuple([signatures[one] for one in placed])
                    wanted = memory.get(key)
                    if wanted is None:
                        wanted = memory[key] = verdicts.computed(at, placed)
                    decision = decide(Call._make((principal, *asked)))
                    self.reasons[wanted[0]] += 1
                    if decision.statements != wanted[1] or decision.reason.value != wanted[0]:
                        yield Difference(self._described(placed), self.calls[at], wanted, answer(decision))

    def _described(self, placed: Sequence[int]) -> tuple[tuple[str, Statement], ...]:
        size = len(self.statements)
        layers = (IDENTITY, BOUNDARY)
        return tuple((layers[one // size], self.statements[one % size]) for one in placed)


# --- as a program ----------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Compare all decisions of a scope, or of one part of it, and print the differences."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.small_scope", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--alphabet", choices=ALPHABETS, default="narrow", help="default: %(default)s")
    parser.add_argument(
        "--size",
        type=int,
        choices=range(MOST + 1),
        default=MOST,
        help="most statements in a set (default: 3)",
    )
    parser.add_argument(
        "--part",
        default="1/1",
        metavar="I/N",
        help="only every Nth set, beginning with the Ith (default: all)",
    )
    args = parser.parse_args(arguments)
    first, _, step = args.part.partition("/")
    scope = Scope(ALPHABETS[args.alphabet])
    worlds = islice(scope.worlds(args.size), int(first) - 1, None, int(step))
    begin, found = time.monotonic(), 0
    for difference in scope.differences(_reported(worlds, scope, begin)):
        found += 1
        if found <= MOST:
            sys.stdout.write(f"{json.dumps(difference._asdict())}\n")
    sys.stdout.write(
        f"{args.alphabet} alphabet of {len(scope.statements)} statements, up to {args.size} of them, part"
        f" {args.part}: {scope.reasons.total()} decisions, {found} differences;"
        f" {dict(scope.reasons.most_common())}\n"
    )
    return 1 if found else 0


def _reported(worlds: Iterable[tuple[int, ...]], scope: Scope, begin: float) -> Iterator[tuple[int, ...]]:
    """Yield the worlds, and write now and then to stderr how far they are."""
    for number, world in enumerate(worlds):
        if number and number % 20_000 == 0:
            seconds = time.monotonic() - begin
            sys.stderr.write(f"{number} sets, {scope.reasons.total()} decisions, {seconds:.0f} s\n")
        yield world


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What lint can find: one table of codes, each with its severity and what it means.

Rule 1: what weakens a deny, or widens an allow beyond what its author can have meant, is an error and stops
        activation; the rest warns (design 4, threats T89).
Rule 2: a code keeps its meaning and its severity; what is no longer found leaves a gap.

The hundreds: 1 how it is written, 2 actions, 3 resources, 4 conditions, 5 whole statements, 6 the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from camguard.policy.lint.finding import Code, Finding, Severity


def found(code: str, where: str, message: str, instead: str = "") -> Finding:
    """Return a finding of a code of the table."""
    return Finding(code, CODES[code].severity, where, message, instead)


_E, _W = Severity.ERROR, Severity.WARNING

CODES: Mapping[str, Code] = MappingProxyType(
    {
        code.id: code
        for code in (
            Code(
                "CG101",
                _W,
                "action with the old name/ prefix",
                "`name/` before an action has no meaning; new documents leave it out (cam-semantics 4).",
            ),
            Code(
                "CG102",
                _W,
                "element or effect not in lower case",
                "The cloud's own words are lower case only; capitals come from other tools (3.3, DEC-4).",
            ),
            Code(
                "CG103",
                _W,
                "statement is an object instead of a list",
                "The grammar asks for a list; an object is an old habit of samples (3.2, DEC-3).",
            ),
            Code(
                "CG104",
                _W,
                "old region code",
                "Codes like `gz` are legacy; camguard knows nine of them (5.2, DEC-16).",
            ),
            Code(
                "CG105",
                _W,
                "old name of the resource's tags",
                "`qcs:tag` is the legacy name of `qcs:resource_tag` (8.1).",
            ),
            Code(
                "CG106",
                _W,
                "old key for the second factor",
                "`mfa` is the form before 2022; `qcs:mfa` with bool_equal is the present one (8.1).",
            ),
            Code(
                "CG107",
                _W,
                "project segment is filled",
                "The project segment is legacy; the present syntax leaves it empty (5.2, DEC-13).",
            ),
            Code(
                "CG108",
                _W,
                "empty condition",
                "An empty condition is no condition: the statement applies to every call (17, DEC-54).",
            ),
            Code(
                "CG201",
                _E,
                "deny of an action that does not exist",
                "A misspelt deny protects nothing: the action that was meant stays open (4, DEC-11).",
            ),
            Code(
                "CG202",
                _W,
                "allow of an action that does not exist",
                "The name is not in the catalog, so nothing is granted by it (4, DEC-11).",
            ),
            Code(
                "CG203",
                _E,
                "deny of a service that does not exist",
                "A deny on a misspelt service protects nothing (4, DEC-11).",
            ),
            Code(
                "CG204",
                _W,
                "allow of a service that does not exist",
                "The service is not in the catalog, so nothing is granted by it (4, DEC-11).",
            ),
            Code(
                "CG205",
                _W,
                "deny in the wrong letter case",
                "It blocks: a deny that fits but for letter case is unknown; reason and log will say"
                " so (4, DEC-7).",
            ),
            Code(
                "CG206",
                _W,
                "pattern that names no action",
                "No action of the catalog fits the pattern (4, 17).",
            ),
            Code(
                "CG207",
                _E,
                "deny that names no action at all",
                "None of the statement's actions fits anything in the catalog: it protects nothing"
                " (threats T89).",
            ),
            Code(
                "CG208",
                _W,
                "star in the service of an action",
                "Such a pattern is unknown where it fits: an allow grants nothing by it, a deny blocks"
                " (4, DEC-8).",
            ),
            Code(
                "CG209",
                _W,
                "single action of a service-level product",
                "Such a product is granted as a whole, by `service:*`, or not at all (11.2, DEC-46).",
            ),
            Code(
                "CG210",
                _W,
                "action that another one of the list covers",
                "It changes nothing, and whoever takes it out will wonder why nothing changes.",
            ),
            Code(
                "CG211",
                _W,
                "deny of a whole service that the catalog lacks",
                "No call of that service passes, whatever policies say; the deny counts once its page is"
                " in the catalog (4, DEC-2).",
            ),
            Code(
                "CG301",
                _W,
                "allow of a resource for actions that have none",
                "An operation-level action is authorized on `*` alone; on a resource nothing is granted"
                " (11.2, DEC-45).",
            ),
            Code(
                "CG302",
                _W,
                "deny of a resource that blocks the whole action",
                "The action has no resources: the deny counts whatever the call is about (11.3, DEC-47).",
            ),
            Code(
                "CG303",
                _W,
                "deny of a resource that passes an action by",
                "The resource is taken to be meant for the resource-level actions beside it; this one is not"
                " denied (11.3, DEC-47).",
            ),
            Code(
                "CG304",
                _W,
                "deny of a resource that the action does not have",
                "None of the statement's resources is one of this action: it is not denied (5.3, DEC-47).",
            ),
            Code(
                "CG305",
                _E,
                "deny whose resources fit none of its actions",
                "No call can meet both, so nothing is denied (threats T89).",
            ),
            Code(
                "CG306",
                _W,
                "resource that nothing here reaches",
                "No named action has such a resource: the product, the type or the letter case differ (5.3).",
            ),
            Code(
                "CG307",
                _W,
                "resource beside the star",
                "A list that holds `*` means all resources; the others change nothing (11.2).",
            ),
            Code(
                "CG308",
                _W,
                "resource that another one of the list covers",
                "It changes nothing, and whoever takes it out will wonder why nothing changes.",
            ),
            Code(
                "CG309",
                _W,
                "resource that ends in a slash",
                "Pages disagree whether that is a prefix: an allow reaches exactly this, a deny blocks"
                " what is below (5.3, DEC-15).",
            ),
            Code(
                "CG401",
                _W,
                "condition that can never hold",
                "Its clauses exclude each other; clauses are ANDed (7.4).",
            ),
            Code(
                "CG402",
                _E,
                "condition of a deny that can never hold",
                "Its clauses exclude each other, so nothing is denied; clauses are ANDed (7.4).",
            ),
            Code(
                "CG403",
                _W,
                "source address where it cannot be restricted",
                "For these actions qcs:ip is unknown: an allow grants nothing, a deny blocks from everywhere."
                ' `ip_support = "gateway"` judges it for every action (11.4, DEC-30).',
            ),
            Code(
                "CG404",
                _W,
                "tags of a product without tag authorization",
                "There tag keys are unknown: an allow grants nothing, a deny always blocks (11.5, DEC-30).",
            ),
            Code(
                "CG405",
                _W,
                "key that no call supplies",
                "A service's own key is unknown to camguard: an allow grants nothing, a deny always blocks,"
                " unless the application supplies it (8.2, DEC-30).",
            ),
            Code(
                "CG406",
                _W,
                "negated operator with several values",
                "It holds where the value differs from all of them, not from any one (7.4, DEC-27).",
            ),
            Code(
                "CG407",
                _W,
                "deny that spares what lacks the key",
                "Without _if_exist a clause is false where the key is absent, negated operators too (7.5).",
            ),
            Code(
                "CG408",
                _W,
                "allow that an absent key satisfies",
                "With _if_exist a clause is true where the key is absent (7.5).",
            ),
            Code(
                "CG409",
                _W,
                "for_all_value on tags",
                "Tag authorization officially supports for_any_value only (7.4).",
            ),
            Code(
                "CG410",
                _W,
                "tags without for_any_value",
                "A resource with several tags that disagree makes the clause unknown (7.4, DEC-28).",
            ),
            Code(
                "CG411",
                _W,
                "tag value without &",
                "Tags are compared as `key&value`; text without `&` equals none (8.1, DEC-31).",
            ),
            Code(
                "CG412",
                _W,
                "variable that never has a value",
                "What holds it is unknown: an allow grants nothing by it, a deny blocks (9, DEC-34).",
            ),
            Code(
                "CG413",
                _W,
                "allow from everywhere but some addresses",
                "`ip_not_equal` in an allow opens the rest of the internet, the other address family too;"
                " blocking is a deny's work (7.4).",
            ),
            Code(
                "CG414",
                _W,
                "range of all addresses",
                "The clause restricts nothing for this address family.",
            ),
            Code(
                "CG415",
                _E,
                "allow from all addresses by a slip",
                "With a prefix length of 0 the address before it counts for nothing: all are let in (7.3).",
            ),
            Code(
                "CG416",
                _E,
                "deny outside of a range of all addresses",
                "Nobody of this address family is outside, so nobody is denied.",
            ),
            Code(
                "CG417",
                _W,
                "range with host bits set",
                "The bits behind the prefix length are masked: the whole range is meant (7.3).",
            ),
            Code(
                "CG418",
                _W,
                "value that stands twice",
                "It changes nothing.",
            ),
            Code(
                "CG419",
                _W,
                "range inside another one",
                "It changes nothing; taking it out closes or opens nothing.",
            ),
            Code(
                "CG420",
                _W,
                "ranges that make one",
                "Together they are one block; written as one, they are easier to read and to change.",
            ),
            Code(
                "CG421",
                _W,
                "pattern that every value fits",
                "`*` fits every value, the empty one too: only presence of the key is tested.",
            ),
            Code(
                "CG501",
                _W,
                "everything is allowed",
                "`*` on `*` without a condition allows every action of every service.",
            ),
            Code(
                "CG502",
                _W,
                "statement that another one covers",
                "Whatever it says, another statement of the document says already.",
            ),
            Code(
                "CG503",
                _W,
                "allow that a deny takes back",
                "Whatever it allows, a deny of the document denies; a deny always wins (10.1).",
            ),
            Code(
                "CG601",
                _W,
                "policy of nobody",
                "It is attached to no user, group, role, boundary or account level.",
            ),
            Code(
                "CG602",
                _W,
                "attached policy is missing",
                "Every call of whom it binds is refused, for what is missing could deny (10.4, DEC-40).",
            ),
            Code(
                "CG603",
                _W,
                "boundary that allows nothing",
                "An action needs an allow of the boundary too: whoever it binds can do nothing (10.3).",
            ),
            Code(
                "CG604",
                _W,
                "account level that allows nothing",
                "Each level must allow: nobody, the owner included, can do anything (10.3).",
            ),
            Code(
                "CG605",
                _W,
                "principal who is allowed nothing",
                "None of the policies attached to it allows anything (10.1).",
            ),
            Code(
                "CG606",
                _W,
                "resource of another account",
                "Here all resources are the owner's; another account's are never reached (5.3, DEC-14).",
            ),
            Code(
                "CG607",
                _W,
                "variable that a role has no value for",
                "`${uin}` is unknown for a role: an allow grants nothing by it, a deny blocks (9, DEC-34).",
            ),
        )
    }
)

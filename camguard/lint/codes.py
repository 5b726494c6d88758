"""The findings of lint: one table of codes, each with its severity, its title and its explanation.

Rule 1: a finding is an error if a deny protects less, or an allow grants more, than the statement seems to
        say (T89). It is a warning if something is doubtful without that: it grants nothing, blocks more than
        it seems to, or has a meaning that surprises. It is of style if no decision depends on it.
Rule 2: a code keeps its meaning and its severity. A code that is no longer reported is not used again.
Rule 3: a finding asks what was meant. It gives no orders, because only the author knows the intention.

The hundreds: 1 style, 2 actions, 3 resources, 4 conditions, 5 whole statements, 6 the bundle as a whole,
7 the acceptances in lint.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Severity(StrEnum):
    """How much a finding matters (Rule 1), the most severe first."""

    ERROR = "error"
    WARNING = "warning"
    STYLE = "style"

    def reaches(self, least: Severity) -> bool:
        """Return whether this severity is at least as severe as `least`."""
        order = [*Severity]
        return order.index(self) <= order.index(least)


@dataclass(frozen=True, slots=True)
class Finding:
    """One doubtful place. where: file and JSON Pointer. instead: what may have been meant, or empty."""

    code: str
    severity: Severity
    where: str
    message: str
    instead: str = ""

    @property
    def question(self) -> str:
        """The question what was meant, or empty."""
        return f"did you mean {self.instead}?" if self.instead else ""

    @property
    def advice(self) -> str:
        """The message, and the question what was meant."""
        return f"{self.message} ({self.question})" if self.instead else self.message


class Code(NamedTuple):
    """One row of the table. title: the finding in a few words. help: why it matters, and the source."""

    id: str
    severity: Severity
    title: str
    help: str


_E, _W, _S = Severity.ERROR, Severity.WARNING, Severity.STYLE

# fmt: off
_ROWS = (
    Code("CG101", _S, "action with the obsolete prefix name/",
         "CAM ignores `name/` before an action. New documents omit it (CAM 4)."),
    Code("CG102", _S, "element or effect with capital letters",
         "CAM writes elements and effects in lower case; other tools use capitals (CAM 3.3, DEC-4)."),
    Code("CG103", _S, "statement that is an object instead of a list",
         "The grammar requires a list. Old samples write a single object (CAM 3.2, DEC-3)."),
    Code("CG104", _S, "obsolete region code",
         "Codes such as `gz` are obsolete, and camguard knows only nine of them (CAM 5.2, DEC-16)."),
    Code("CG105", _S, "obsolete key for the tags of the resource",
         "`qcs:tag` is the obsolete name of `qcs:resource_tag` (CAM 8.1)."),
    Code("CG106", _S, "obsolete key for multi-factor authentication",
         "`mfa` was used before 2022. The current form is `qcs:mfa` with bool_equal (CAM 8.1)."),
    Code("CG107", _S, "project segment that is not empty",
         "The project segment is obsolete; the current syntax leaves it empty (CAM 5.2, DEC-13)."),
    Code("CG108", _S, "empty condition",
         "An empty condition restricts nothing: the statement applies to every call (DEC-54, DEC-58)."),
    Code("CG120", _S, "policy inside of an answer of the API",
         "The answer of GetPolicy was saved instead of the policy that it contains (CAM 3.5)."),
    Code("CG121", _S, "account in bare digits",
         "Digits alone are read as the uin of an account; documented is `uin/` before them (DEC-59)."),
    Code("CG201", _E, "deny of an action that does not exist",
         "A misspelled deny protects nothing: the intended action stays open (CAM 4, DEC-11)."),
    Code("CG202", _W, "allow of an action that does not exist",
         "The catalog does not list this action, so this entry grants nothing (CAM 4, DEC-11)."),
    Code("CG203", _E, "deny of a service that does not exist",
         "A deny of a misspelled service protects nothing (CAM 4, DEC-11)."),
    Code("CG204", _W, "allow of a service that does not exist",
         "The catalog does not contain this service, so this entry grants nothing (CAM 4, DEC-11)."),
    Code("CG205", _W, "deny in the wrong letter case",
         "Whether such a deny matches is undetermined, so it applies; calls are refused (CAM 4, DEC-7)."),
    Code("CG206", _W, "pattern that matches no action",
         "No action of the catalog matches the pattern (CAM 4, CAM 17)."),
    Code("CG207", _E, "deny that matches no action at all",
         "None of the patterns of this deny matches an action of the catalog: it protects nothing (T89)."),
    Code("CG208", _W, "wildcard in the service of an action",
         "Whether it matches is undetermined: an allow is ignored, a deny applies (CAM 4, DEC-8)."),
    Code("CG209", _W, "single action of a service-level product",
         "CAM grants such a product as a whole, by `service:*`, or not at all (CAM 11.2, DEC-46)."),
    Code("CG210", _S, "action that another entry of the list covers",
         "Redundant: another pattern in the list already covers it."),
    Code("CG211", _W, "deny of a whole service that the catalog lacks",
         "camguard refuses every call of this service until the catalog contains its page (CAM 4, DEC-2)."),
    Code("CG212", _W, "service without a page",
         "The service is known, but the catalog has no page and no names of it (CAM 4, DEC-67)."),
    Code("CG213", _W, "host label instead of the CAM name",
         "Policies are asked for the CAM name. An allow of the label is ignored, a deny of it applies"
         " (DEC-68)."),
    Code("CG220", _W, "deny of an action that the catalog does not list",
         'With `unknown_action = "judge"` it denies calls of exactly this name, which may be misspelled'
         " (CAM 4, DEC-11)."),
    Code("CG301", _W, "allow of a resource for actions without resources",
         "CAM authorizes an operation-level action on `*` only, so this grants nothing (CAM 11.2, DEC-45)."),
    Code("CG302", _W, "deny of a resource that blocks the whole action",
         "The action has no resources, so the deny applies to every call of it (CAM 11.3, DEC-47)."),
    Code("CG303", _E, "deny of a resource that does not apply to an action of the list",
         "The resource is taken to belong to the resource-level actions of the list (CAM 11.3, DEC-47)."),
    Code("CG304", _E, "deny of a resource that the action does not have",
         "No resource of the statement can belong to this action: it is not denied (CAM 5.3, DEC-47)."),
    Code("CG305", _E, "deny whose resources match none of its actions",
         "No call can match both the actions and the resources, so nothing is denied (T89)."),
    Code("CG306", _W, "resource of an allow that no action of the statement has",
         "The service, the resource type or the letter case differs from the catalog (CAM 5.3)."),
    Code("CG307", _W, "resource beside the wildcard",
         "A list that contains `*` means all resources. The other entries have no effect (CAM 11.2)."),
    Code("CG308", _S, "resource that another entry of the list covers",
         "Redundant: another pattern in the list already covers it."),
    Code("CG309", _W, "resource that ends with a slash",
         "An allow reaches exactly this resource; a deny blocks everything below it (CAM 5.3, DEC-15)."),
    Code("CG310", _W, "resource of an action without a page",
         "Only the name of the action is known: an allow on a resource is ignored, a deny on one that may be"
         " its own applies (DEC-67)."),
    Code("CG320", _W, "account segment that names no account",
         "Whether it matches is undetermined: an allow is ignored, a deny applies (CAM 5.3, DEC-59)."),
    Code("CG321", _W, "service or region of a resource in the wrong letter case",
         "Whether it matches is undetermined: an allow is ignored, a deny applies (CAM 5.3, DEC-60)."),
    Code("CG322", _W, "region that no list contains",
         "The region is misspelled, or missing in `regions.json` of the catalog (CAM 5.3, DEC-60)."),
    Code("CG323", _W, "allow of some of the resources that an action needs",
         "Every template of the action must be allowed, unless its catalog entry says which of them exclude"
         " each other (CAM 5.5, DEC-61)."),
    Code("CG324", _E, "resource of a deny that no action of the statement has",
         "The service, the resource type or the letter case differs from the catalog, so what was meant stays"
         " open (CAM 5.3, T89)."),
    Code("CG401", _W, "condition that is never true",
         "All clauses of a condition must be true, and these clauses exclude each other (CAM 7.4)."),
    Code("CG402", _E, "condition of a deny that is never true",
         "All clauses must be true, and these exclude each other, so nothing is denied (CAM 7.4)."),
    Code("CG403", _W, "source address of an action that CAM cannot restrict",
         "CAM may not receive the address for these actions, so what depends on it is undetermined: an allow"
         ' is ignored, a deny applies. With `ip_support = "gateway"` camguard judges it (CAM 11.4, DEC-62).'),
    Code("CG404", _W, "tags of a service without tag authorization",
         "Tag keys are undetermined there: an allow is ignored, a deny always applies (CAM 11.5, DEC-30)."),
    Code("CG405", _W, "condition key that camguard does not supply",
         "Unless the application supplies it, an allow is ignored and a deny applies (CAM 8.2, DEC-30)."),
    Code("CG406", _W, "negated operator with several values",
         "It is true if the value differs from all listed values, not from any of them (CAM 7.4, DEC-27)."),
    Code("CG407", _W, "deny that does not apply where the key is absent",
         "Without _if_exist a clause is false where the key is absent, even if it is negated (CAM 7.5)."),
    Code("CG408", _W, "allow that applies where the key is absent",
         "With _if_exist a clause is true where the key is absent (CAM 7.5)."),
    Code("CG409", _W, "for_all_value on tags",
         "Tag authorization officially supports for_any_value only (CAM 7.4)."),
    Code("CG410", _W, "tags without for_any_value",
         "The clause is undetermined for a resource with several tags that disagree (CAM 7.4, DEC-28)."),
    Code("CG411", _W, "tag value without &",
         "Tags are compared as `key&value`. A text without `&` equals no tag (CAM 8.1, DEC-31)."),
    Code("CG412", _W, "variable that never has a value",
         "What contains it is undetermined: an allow is ignored, a deny applies (CAM 9, DEC-34)."),
    Code("CG413", _W, "allow from every address except some",
         "`ip_not_equal` in an allow opens the rest of the internet, the other address family included."
         " Only a deny blocks addresses (CAM 7.4)."),
    Code("CG414", _W, "range of all addresses",
         "The clause does not restrict this address family."),
    Code("CG415", _E, "allow from all addresses by a mistyped prefix length",
         "With a prefix length of 0 the address before it is ignored: every address is allowed (CAM 7.3)."),
    Code("CG416", _E, "deny outside a range of all addresses",
         "No address of this family is outside the range, so nothing is denied."),
    Code("CG417", _W, "range with host bits set",
         "The bits behind the prefix length are ignored: the whole range is meant (CAM 7.3)."),
    Code("CG418", _S, "value that is listed twice",
         "Redundant: the same value is already listed."),
    Code("CG419", _S, "range inside another range",
         "Redundant: the range is contained in another one."),
    Code("CG420", _S, "ranges that can be merged",
         "Adjacent ranges are easier to read and to change when they are written as one."),
    Code("CG421", _W, "pattern that every value matches",
         "`*` matches every value, also the empty one: the clause tests only whether the key is present."),
    Code("CG430", _W, "reading actions that qcs:read_only_action leaves out",
         "The key is 1 only where the first word of the action, or its catalog entry, confirms that it only"
         " reads; else it is undetermined (CAM 8.1, DEC-56)."),
    Code("CG431", _E, "tag value without & that leaves a statement open",
         "It equals no tag, so such a deny denies nothing, and such a negated allow excludes nothing"
         " (CAM 8.1, DEC-31)."),
    Code("CG432", _W, "resource tags that nothing lists",
         "There is no resource_tags.json, so the tags of resources are not supplied over HTTP: an allow"
         " grants nothing, a deny always applies (DEC-66)."),
    Code("CG433", _W, "request tags of an action whose tag parameter is not known",
         "Its catalog entry has no `request_tags`, so the tags of a request are not supplied: an allow grants"
         " nothing, a deny always applies (DEC-65)."),
    Code("CG434", _W, "range that overlaps addresses which are mapped to another one",
         "client_ip.egress maps these client addresses: policies are compared with the address that it names,"
         " never with the client's own (T132)."),
    Code("CG435", _E, "deny of addresses that are mapped to another one",
         "client_ip.egress maps these client addresses, so the deny does not reach their clients (T132)."),
    Code("CG501", _W, "everything is allowed",
         "`*` on `*` without a condition allows every action of every service."),
    Code("CG502", _W, "statement that another statement covers",
         "Redundant: another statement of the document already covers it."),
    Code("CG503", _W, "allow that a deny cancels",
         "A deny of the document denies everything that this allows; a deny always wins (CAM 10.1)."),
    Code("CG601", _W, "policy that is not attached",
         "The policy is attached to no user, group, role, boundary or account level."),
    Code("CG602", _W, "attached policy that is missing",
         "Every call by an attached principal is denied, because the missing policy might deny it"
         " (CAM 10.4, DEC-40)."),
    Code("CG603", _W, "boundary that allows nothing",
         "A call needs an allow of the boundary too, so every call of the principals is denied (CAM 10.3)."),
    Code("CG604", _W, "account level that allows nothing",
         "Each account level must allow a call, so every call is denied, also by the owner (CAM 10.3)."),
    Code("CG605", _W, "principal that is allowed nothing",
         "None of the policies attached to the principal allows anything (CAM 10.1)."),
    Code("CG606", _W, "allow of a resource of another account",
         "Every resource here belongs to the owner, so this pattern grants nothing (CAM 5.3, DEC-14)."),
    Code("CG607", _W, "variable that has no value for a role",
         "`${uin}` is undetermined for a role: an allow is ignored, a deny applies (CAM 9, DEC-34)."),
    Code("CG608", _W, "name of two principals",
         "No decision depends on a name, but `camguard check --principal NAME` and logs of people do."),
    Code("CG620", _W, "account that is the owner's APPID",
         "Without `uid/` before it an APPID reads as the uin of somebody else: an allow is ignored, a deny"
         " applies (CAM 5.3, DEC-59)."),
    Code("CG621", _E, "deny of a resource of another account",
         "Every resource here belongs to the owner, so this pattern protects nothing (CAM 5.3, DEC-14)."),
    Code("CG701", _E, "lint.toml that cannot be used",
         "No finding is accepted until every entry of the file can be read (DEC-55)."),
    Code("CG702", _W, "acceptance that has expired",
         "It accepts nothing any more: the findings that it accepted count again (DEC-55)."),
    Code("CG703", _W, "acceptance that accepts nothing",
         "No finding has this code at this place. A later finding there would be accepted unseen (DEC-55)."),
)
# fmt: on
CODES: Mapping[str, Code] = MappingProxyType({row.id: row for row in _ROWS})


def found(code: str, where: str, message: str, instead: str = "") -> Finding:
    """Return a finding with the severity that the table gives its code."""
    return Finding(code, CODES[code].severity, where, message, instead)

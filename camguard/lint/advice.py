"""What usually causes each finding of lint, and what to look at. `camguard rule` prints it.

Rule 1: each code of `codes.CODES` has one row here. The title and the help of a code stand there.
Rule 2: a row states causes and places; it gives no orders, because only the author knows the intention.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Advice(NamedTuple):
    """likely: the usual cause. look: what to compare or to run."""

    likely: str
    look: str


_TYPO = "A misspelled name, a name of an older version, or a page that the catalog does not have yet."
_COPIED = "A sample or an old document that was copied."
_SHOW = "`camguard catalog show`, and the question in the finding."
_ACTIONS = "The resources of the action in `camguard catalog show`."
_CHECK = "`camguard check --explain` with a call that was meant."
_NOTHING = "Nothing at run time: it matters to readers only."

# fmt: off
ADVICE: Mapping[str, Advice] = MappingProxyType({
    "CG101": Advice(_COPIED, _NOTHING),
    "CG102": Advice("A document that was written for another cloud.", _NOTHING),
    "CG103": Advice(_COPIED, _NOTHING),
    "CG104": Advice(_COPIED, "The current code of the region, such as ap-guangzhou."),
    "CG105": Advice(_COPIED, "The condition of the statement."),
    "CG106": Advice(_COPIED, "The condition of the statement; only `qcs:mfa` is documented today."),
    "CG107": Advice("A resource that was written for projects.", "The second segment: `qcs::service:…`."),
    "CG108": Advice("A condition that was emptied instead of removed.",
                    "Whether the statement was meant to apply always."),
    "CG120": Advice("The answer of GetPolicy was saved as it came.",
                    "The member PolicyDocument of the file."),
    "CG121": Advice("A uin that was pasted without its prefix.",
                    "The fifth segment: `uin/` before the digits."),
    "CG201": Advice(_TYPO, _SHOW),
    "CG202": Advice(_TYPO, _SHOW),
    "CG203": Advice(_TYPO, _SHOW),
    "CG204": Advice(_TYPO, _SHOW),
    "CG205": Advice("The name was typed by hand.",
                    "The spelling in the catalog; CAM compares the exact letter case."),
    "CG206": Advice(_TYPO, "The names that the pattern was meant to match, in `camguard catalog show`."),
    "CG207": Advice(_TYPO, "Every pattern of the deny; what it was meant to protect is open."),
    "CG208": Advice("A star that was meant for several products.",
                    "One entry for each service, or `*` alone."),
    "CG209": Advice("The page of the service lists actions that cannot be granted one by one.",
                    "`granularity` of the service in `camguard catalog show`."),
    "CG210": Advice("The wider entry was added later.", _NOTHING),
    "CG211": Advice("The page of the service was never imported.",
                    "`camguard catalog build` with the page of the service."),
    "CG212": Advice("The page of the service was never imported.",
                    "`camguard catalog build` with the page, or with names (`--names`)."),
    "CG213": Advice("The label of the host was taken for the service.",
                    "`asked for` in `camguard check`, and the rows of `services.json`."),
    "CG220": Advice(_TYPO,
                    "The documentation of the service; the catalog does not help where unlisted actions "
                    "are judged."),
    "CG301": Advice("A statement whose resources were meant for other actions.", _ACTIONS),
    "CG302": Advice("A statement whose resources were meant for other actions.", _ACTIONS),
    "CG303": Advice("Actions with and without resources in one statement.",
                    "A statement of its own for each kind of action."),
    "CG304": Advice("A resource type of another action of the list.", _ACTIONS),
    "CG305": Advice("Service or resource type are misspelled.", _ACTIONS),
    "CG306": Advice("Service, resource type or letter case are misspelled.", _ACTIONS),
    "CG307": Advice("A `*` that was added for a test.",
                    "Whether all resources are meant, or only those beside the `*`."),
    "CG308": Advice("The wider entry was added later.", _NOTHING),
    "CG309": Advice("A path without the star behind it.", "Whether `…/*` is meant."),
    "CG310": Advice("The names of the actions were imported without their page.",
                    "`camguard catalog build` with the page of the service."),
    "CG320": Advice("A variable or name of another tool, such as `$account`.",
                    "An empty segment, `uin/` with digits, or `uid/`."),
    "CG321": Advice("The name was typed by hand.",
                    "The spelling in `camguard catalog show`: services and regions are lower case."),
    "CG322": Advice("A misspelled region, or a new one.", "`regions.json` in the folder of the catalog."),
    "CG323": Advice("The action needs several resources at once.",
                    "The templates of the action in `camguard catalog show`; `match` and `alternatives` "
                    "of its entry."),
    "CG324": Advice("Service, resource type or letter case are misspelled.", _ACTIONS),
    "CG401": Advice("Clauses that were meant as alternatives; CAM joins them by AND.",
                    "One statement for each alternative."),
    "CG402": Advice("Clauses that were meant as alternatives; CAM joins them by AND.",
                    "One deny for each alternative."),
    "CG403": Advice("One condition on the address for many actions, some of which CAM cannot restrict by "
                    "address.",
                    "`ip_restriction` of the actions in `camguard catalog show`; a statement of its own "
                    "for these actions, or `enforcement.ip_support`."),
    "CG404": Advice("The service does not support authorization by tag.",
                    "`tag_authorization` in `camguard catalog show`."),
    "CG405": Advice("A key of one service that only that service knows.",
                    "Whether an application in front of camguard can supply the key."),
    "CG406": Advice("A list that was meant as `one of these is different`.", _CHECK),
    "CG407": Advice("A key that not every call has.",
                    "Whether the deny is meant where the key is absent: `_if_exist`."),
    "CG408": Advice("`_if_exist` that was copied from a deny.",
                    "Whether the allow is meant where the key is absent."),
    "CG409": Advice("A qualifier that was copied from another key.", "The qualifier `for_any_value`."),
    "CG410": Advice("A condition that was written for resources with one tag.",
                    "The qualifier `for_any_value`."),
    "CG411": Advice("The value of the tag without its key.",
                    "`key&value`, or the key `qcs:resource_tag/KEY`."),
    "CG412": Advice("A variable of another cloud, or one that was mistyped.",
                    "The variables in SEMANTICS.md: CAM 9."),
    "CG413": Advice("An exception that was written as an allow.",
                    "A deny of these addresses beside an allow."),
    "CG414": Advice("A placeholder such as 0.0.0.0/0.",
                    "Whether the other address family is meant to be limited."),
    "CG415": Advice("A prefix length of 0 that was meant as 8, 16, 24 or 32.", "The range in the finding."),
    "CG416": Advice("`ip_not_equal` of 0.0.0.0/0 or ::/0.",
                    "The ranges from which the call was meant to be allowed."),
    "CG417": Advice("The address of a host with the prefix length of its network.",
                    "Whether the host or the network is meant."),
    "CG418": Advice("The list was merged from several.", _NOTHING),
    "CG419": Advice("The wider range was added later.", _NOTHING),
    "CG420": Advice("Ranges that were added one by one.", _NOTHING),
    "CG421": Advice("A placeholder.",
                    "Whether every value is meant; `null_equal` asks for presence by name."),
    "CG430": Advice("Actions that read, but whose first word does not say so.",
                    "`read_only` of the action's catalog entry."),
    "CG431": Advice("The value of the tag without its key.",
                    "`key&value`, or the key `qcs:resource_tag/KEY`."),
    "CG432": Advice("The bundle has no list of the tags that resources have.",
                    "The file resource_tags.json in the folder of the bundle."),
    "CG433": Advice("No page says which parameter of the action carries tags.",
                    "`request_tags` of the action's catalog entry."),
    "CG434": Advice("The policy was written for internal addresses.",
                    "The setting `client_ip.egress`, and the address that the cloud sees."),
    "CG435": Advice("The policy was written for internal addresses.",
                    "The setting `client_ip.egress`, and the address that the cloud sees."),
    "CG501": Advice("An administrator's policy, or one that was meant for a test.",
                    "Who has the policy: principals.json."),
    "CG502": Advice("The wider statement was added later.", _NOTHING),
    "CG503": Advice("A deny that was added later, and is wider than it was meant.", _CHECK),
    "CG601": Advice("A policy that was replaced, or not attached yet.",
                    "The policies that principals.json names."),
    "CG602": Advice("The policy is one of the vendor's presets, or its file was renamed.",
                    "The names in principals.json and in the folder `policies`."),
    "CG603": Advice("A boundary that has only denies.",
                    "An allow of everything that the principals may do at most."),
    "CG604": Advice("An account level that has only denies.",
                    "An allow beside the denies, such as `full-access`."),
    "CG605": Advice("The policies of the user are not written yet.",
                    "The policies and groups of the principal."),
    "CG606": Advice("A policy that was copied from another account.",
                    "The owner in principals.json, or an empty segment."),
    "CG607": Advice("A policy for users that is attached to a role.", "The roles in principals.json."),
    "CG608": Advice("Two users, or a user and a role, were given one name.", "The names in principals.json."),
    "CG620": Advice("The APPID was taken for the uin.",
                    "The owner in principals.json: `uin/` or `uid/` before the digits."),
    "CG621": Advice("A policy that was copied from another account.",
                    "The owner in principals.json, or an empty segment."),
    "CG701": Advice("A syntax error, or an entry without reason or expiry.", "The place in the finding."),
    "CG702": Advice("The date in `expires` is past.",
                    "Whether the finding is still meant: a new date, or a repair."),
    "CG703": Advice("The finding was repaired, or the statement has moved.",
                    "`policy` and `statement` of the acceptance."),
})
# fmt: on

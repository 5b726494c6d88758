"""The resource element: six segments, compared segment by segment (CAM 5 and 11.3).

Rule 1: the resource of a call is literal text, never a pattern (CAM 5.3).
Rule 2: where the vendor's documents disagree, an allow does not match and a deny is unknown (DEC-15).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from camguard.policy.model import Effect, ResourcePattern
from camguard.policy.star import STAR, fits, star_match
from camguard.policy.truth import Truth, all_of
from camguard.policy.variables import Bindings, Template, read_template

SEGMENTS = 6
_PROJECTS = frozenset(("", "0", "id/0"))  # DEC-13
_OWN_ACCOUNT = frozenset(("", "uin/", STAR, "uin/*"))  # DEC-14
# The vendor documents these codes; which region each one means is general knowledge (DEC-16).
REGION_ALIASES = MappingProxyType(
    {
        "gz": "ap-guangzhou",
        "sh": "ap-shanghai",
        "shjr": "ap-shanghai-fsi",
        "bj": "ap-beijing",
        "cd": "ap-chengdu",
        "hk": "ap-hongkong",
        "sg": "ap-singapore",
        "ca": "na-toronto",
        "de": "eu-frankfurt",
    },
)


@dataclass(frozen=True, slots=True)
class Owner:
    """The root account that a bundle belongs to: its uin and its APPID, as digits."""

    uin: str
    app_id: str

    def account(self, text: str) -> str:
        """Return the canonical spelling of an account segment (CAM 5.3)."""
        if text in _OWN_ACCOUNT or text == f"uid/{self.app_id}":
            return f"uin/{self.uin}"
        return text

    def owns(self, resource: str | None) -> bool:
        """Return whether a call's resource belongs to this account (CAM 10.3).

        A resource without an account (one that is not bound, `*`, or not six segments) belongs to it, because
        camguard binds resources of this account only.
        """
        place = Resource.of(resource) if resource else None
        return place is None or self.account(place.account) == f"uin/{self.uin}"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a call, without its project segment (CAM 5.2)."""

    service: str
    region: str
    account: str
    path: str

    @classmethod
    def of(cls, text: str) -> Resource | None:
        """Return the segments, or None if there are not six of them."""
        parts = text.split(":", SEGMENTS - 1)  # later colons belong to the last segment (DEC-12)
        if len(parts) != SEGMENTS or parts[0] != "qcs":
            return None
        return cls(parts[2], parts[3], parts[4], parts[5])


def read_resource(text: str, where: str = "") -> ResourcePattern | tuple[str, str]:
    """Return the pattern that a policy's text stands for, or the code and the message of a problem (CAM 17).

    where: the place of the text, which the pattern keeps.
    """
    parts = text.split(":", SEGMENTS - 1)
    if len(parts) != SEGMENTS or parts[0] != "qcs":
        return (
            "ResourceQcsError",
            "is neither '*' nor six segments qcs:project:service:region:account:resource",
        )
    _, project, service, region, account, path = parts
    fixed = parts if service == "cos" else parts[:-1]  # paths of objects take no variable either (CAM 9)
    if any("${" in part for part in fixed):
        return "ResourceContentError", "contains a variable where variables are not allowed"
    if project not in _PROJECTS:
        return "ResourceProjectError", f"has {project!r} as its project segment; leave that segment empty"
    if not path:
        return "ResourceQcsError", "has an empty last segment"
    template = read_template(path)
    if template is None:
        return "ResourceContentError", "contains a variable that does not exist"
    return ResourcePattern(text, service, region, account, template, where)


def _path_match(pieces: tuple[str, ...], effect: Effect, path: str) -> Truth:
    """Compare the last segment. Any characters, `/` included, may stand between the pieces (CAM 5.3)."""
    if fits(pieces, path):
        return True
    if effect is Effect.ALLOW:
        return False
    last = pieces[-1]
    if not last and pieces[-2].endswith("/"):  # `X/*` compared with `X`; a single piece is never empty
        bare = (*pieces[:-2], pieces[-2][:-1])
        return None if fits(bare, path) else False
    if last.endswith("/"):  # `X/` compared with `X/y`
        return None if fits((*pieces, ""), path) else False
    return False


def _pieces(pattern: str | Template, bindings: Bindings) -> tuple[str, ...] | None:
    """Return the literal text between the stars variables filled in, or None if a variable has no value."""
    if isinstance(pattern, str):
        return tuple(pattern.split(STAR))
    pieces = [""]
    for i, part in enumerate(pattern):
        if i % 2:
            value = bindings.get(part)
            if value is None:
                return None
            pieces[-1] += value  # literal: a star in a value is not a wildcard (DEC-33)
        else:
            first, *more = part.split(STAR)
            pieces[-1] += first
            pieces += more
    return tuple(pieces)


def resource_match(
    pattern: ResourcePattern, effect: Effect, resource: Resource | None, owner: Owner, bindings: Bindings
) -> Truth:
    """Compare one pattern with one resource of a resource-level call (CAM 5.3).

    resource: None if the call's text is not six segments: an allow does not match it, a deny is unknown.
    """
    pieces = _pieces(pattern.path, bindings)
    if pieces is None:
        return None  # DEC-34
    mismatch = False if effect is Effect.ALLOW else None
    if resource is None:
        return mismatch
    return all_of(
        (
            pattern.service in ("", STAR) or pattern.service == resource.service,
            _region_match(pattern.region, resource.region, mismatch),
            owner.account(pattern.account) == owner.account(resource.account),
            _path_match(pieces, effect, resource.path),
        ),
    )


def _region_match(pattern: str, region: str, mismatch: Truth) -> Truth:
    if pattern in ("", STAR):
        return True
    if not region:
        return mismatch
    return star_match(REGION_ALIASES.get(pattern, pattern), REGION_ALIASES.get(region, region))

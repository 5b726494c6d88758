"""The resource element: six segments, matched segment by segment (cam-semantics 5, 11.3).

Rule 1: a request's resource is literal text, never a pattern (5.3).
Rule 2: where the documents disagree an allow does not reach and a deny is unknown (DEC-15).
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
# The first nine codes are documented, what they stand for is general knowledge (DEC-16).
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
    """The root account that owns everything here: its uin and its APPID, digits as text."""

    uin: str
    app_id: str

    def account(self, text: str) -> str:
        """Return the one spelling of an account segment (5.3)."""
        if text in _OWN_ACCOUNT or text == f"uid/{self.app_id}":
            return f"uin/{self.uin}"
        return text

    def owns(self, resource: str | None) -> bool:
        """Tell whether a call's resource is this account's own (10.3).

        What names no account - not bound, `*`, not six segments - is: camguard binds its own account's only.
        """
        place = Resource.of(resource) if resource else None
        return place is None or self.account(place.account) == f"uin/{self.uin}"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as a call names it, its project segment left out (5.2)."""

    service: str
    region: str
    account: str
    path: str

    @classmethod
    def of(cls, text: str) -> Resource | None:
        """Return the segments, or None for what is not six of them."""
        parts = text.split(":", SEGMENTS - 1)  # later colons belong to the last one (DEC-12)
        if len(parts) != SEGMENTS or parts[0] != "qcs":
            return None
        return cls(parts[2], parts[3], parts[4], parts[5])


def read_resource(text: str) -> ResourcePattern | tuple[str, str]:
    """Return the pattern, or the code and the words for what is wrong with it (cam-semantics 17)."""
    parts = text.split(":", SEGMENTS - 1)
    if len(parts) != SEGMENTS or parts[0] != "qcs":
        return (
            "ResourceQcsError",
            "is neither '*' nor six segments qcs:project:service:region:account:resource",
        )
    _, project, service, region, account, path = parts
    fixed = parts if service == "cos" else parts[:-1]  # object paths take no variable either (9)
    if any("${" in part for part in fixed):
        return "ResourceContentError", "holds a variable where none may stand"
    if project not in _PROJECTS:
        return "ResourceProjectError", f"fills the project segment with {project!r}; leave it empty"
    if not path:
        return "ResourceQcsError", "has an empty last segment"
    template = read_template(path)
    if template is None:
        return "ResourceContentError", "holds a variable that does not exist"
    return ResourcePattern(text, service, region, account, template)


def _path_match(pieces: tuple[str, ...], effect: Effect, path: str) -> Truth:
    """Compare the last segment: between the pieces is any run of characters, `/` included (5.3)."""
    if fits(pieces, path):
        return True
    if effect is Effect.ALLOW:
        return False
    last = pieces[-1]
    if not last and pieces[-2].endswith("/"):  # X/* against X; a piece that is alone is never empty
        bare = (*pieces[:-2], pieces[-2][:-1])
        return None if fits(bare, path) else False
    if last.endswith("/"):  # a trailing slash as a prefix
        return None if fits((*pieces, ""), path) else False
    return False


def _pieces(pattern: str | Template, bindings: Bindings) -> tuple[str, ...] | None:
    """Return the literal text between the stars, variables filled in, or None if one has no value."""
    if isinstance(pattern, str):
        return tuple(pattern.split(STAR))
    pieces = [""]
    for i, part in enumerate(pattern):
        if i % 2:
            value = bindings.get(part)
            if value is None:
                return None
            pieces[-1] += value  # literal, a star in it is no star (DEC-33)
        else:
            first, *more = part.split(STAR)
            pieces[-1] += first
            pieces += more
    return tuple(pieces)


def resource_match(
    pattern: ResourcePattern, effect: Effect, resource: Resource | None, owner: Owner, bindings: Bindings
) -> Truth:
    """Compare one pattern with one resource of a resource-level call (5.3).

    resource: None where the call's text is not six segments; that reaches no allow and leaves a deny unknown.
    """
    pieces = _pieces(pattern.path, bindings)
    if pieces is None:
        return None  # DEC-34
    off = False if effect is Effect.ALLOW else None
    if resource is None:
        return off
    return all_of(
        (
            pattern.service in ("", STAR) or pattern.service == resource.service,
            _region_match(pattern.region, resource.region, off),
            owner.account(pattern.account) == owner.account(resource.account),
            _path_match(pieces, effect, resource.path),
        ),
    )


def _region_match(pattern: str, region: str, off: Truth) -> Truth:
    if pattern in ("", STAR):
        return True
    if not region:
        return off
    return star_match(REGION_ALIASES.get(pattern, pattern), REGION_ALIASES.get(region, region))

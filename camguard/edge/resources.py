"""The resources of a call: an action's templates, filled from the call's parameters (CAM 5.5).

Rule 1: what cannot be bound is None, which only the literal `*` matches; it never becomes `*`.
Rule 2: a template is cut once, when its action is first called; a call only fills it.
Rule 3: every parameter that could be the one is taken: a decoy beside the real one adds a resource that
        must be allowed too, it never replaces one.
Rule 4: where a name beside it is one that some reader takes for the parameter (`?InstanceIds`,
        `InstanceIds_0`, `[InstanceIds]`), nothing is bound: the call needs permission for every resource.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from camguard.catalog.model import Action
from camguard.edge.params import folded, look_alike
from camguard.engine.decision import Decision
from camguard.grammar import placeholders
from camguard.policy.resources import SEGMENTS, Owner
from camguard.strict_json import Number

MOST = 1000  # resources of one call; more are not judged
_LONGEST = 2048  # characters of a value in a resource: each stands in as many as all others make together
_DEEPEST = 16  # levels of a flat parameter name
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]*")

Parameters: TypeAlias = Mapping[str, Any]  # as JSON holds them: text, lists, objects
Said: TypeAlias = Parameters | Sequence[Parameters]  # in one place or in several
Path: TypeAlias = tuple[str, ...]  # of a parameter: ("Namespace", "Name")


class Template(NamedTuple):
    """One template, cut. `literals` stand around `paths`: one more of them."""

    head: str  # the first five segments with their colons; `{region}` stands for the call's region
    literals: tuple[str, ...]
    paths: tuple[Path, ...]


class Templates(NamedTuple):
    """What a resource-level action needs to name its resources.

    names: the parameters that are looked for, in every spelling and in lower case. alike: finds what lenient
    readers take for one of them (see `params.look_alike`); None where no parameter is looked for.
    """

    templates: tuple[Template, ...]
    any_one: bool
    names: frozenset[str]
    alike: re.Pattern[str] | None

    @property
    def needs_parameters(self) -> bool:
        """Whether a call's parameters must be read at all."""
        return any(template.paths for template in self.templates)


def cut_templates(entry: Action, owner: Owner) -> Templates:
    """Return the templates of an action, ready to be filled. Raises nothing: the catalog was checked."""
    templates = tuple(_cut(text, entry, owner) for text in entry.resources)
    first = {path[0] for template in templates for path in template.paths}
    names = frozenset(spelling for name in first for spelling in _spellings(name))
    # Some readers fold `.` into `_` (`InstanceIds_0`, `Instance_Id`), others `_` into `.`.
    spelled = sorted({spelling.replace("_", sign) for spelling in names for sign in "._"})
    alike = look_alike(spelled, behind="_[^&]*+")
    return Templates(templates, entry.match == "any", names, alike if names else None)


def _cut(text: str, entry: Action, owner: Owner) -> Template:
    parts = text.split(":", SEGMENTS - 1)
    if len(parts) != SEGMENTS:
        return Template("", (text,), ())  # a resource-level action may be printed with `*`
    _, _, service, region, account, path = parts
    service = entry.service if any(placeholders(service)) else service
    region = "{region}" if any(placeholders(region)) else region
    literals, names, at = [], [], 0
    for found in placeholders(path, entry.bind):
        literals.append(path[at : found.start])
        names.append(found.name)
        at = found.end
    return Template(
        f"qcs::{service}:{region}:{_account(account, owner)}:",
        (*literals, path[at:]),
        tuple(tuple(entry.bind.get(name, name).split(".")) for name in names),
    )


def _account(account: str, owner: Owner) -> str:
    """Return the account segment: the owner's, by APPID where the service writes `uid/` (CAM 5.2)."""
    if account.removeprefix("uid/").isdigit() or account.removeprefix("uin/").isdigit():
        return account
    return f"uid/{owner.app_id}" if account.startswith("uid/") else f"uin/{owner.uin}"


def fill_templates(templates: Templates, parameters: Said | None, region: str) -> tuple[str | None, ...]:
    """Return the resources that a call names, None for each that could not be bound.

    parameters: of each place that has some; None where they could not be read. region: the call's, empty
    where it names none.
    """
    if parameters is not None and _misread(templates, parameters):
        parameters = None
    found: list[str | None] = []
    for template in templates.templates:
        head = template.head.replace("{region}", region)
        values = [_values(path, parameters) for path in template.paths]
        filled = list(_filled(head, template.literals, values)) if all(values) else [None]
        if templates.any_one and len(filled) > 1:
            filled = [None]  # which of several alternatives they belong to cannot be told
        found += filled
    return tuple(dict.fromkeys(found)) if len(found) <= MOST else (None,)


def _misread(templates: Templates, parameters: Said) -> bool:
    """Tell whether a parameter may be read as one that names resources and is not spelled as one."""
    if templates.alike is None:
        return False
    places = (parameters,) if isinstance(parameters, Mapping) else parameters
    names = [name for place in places for name in place if name.casefold() not in templates.names]
    text = folded(names)
    return isinstance(text, Decision) or templates.alike.search(text) is not None


def _filled(head: str, literals: Sequence[str], values: Sequence[Sequence[str]]) -> Iterator[str | None]:
    size = 1
    for each in values:
        size *= len(each)
    # A slash before the last placeholder would shift what the following ones mean.
    if (
        size > MOST
        or any(len(value) > _LONGEST for each in values for value in each)
        or any("/" in value for each in values[:-1] for value in each)
    ):
        yield None
        return
    for combination in product(*values):
        pieces = [head]
        for literal, value in zip(literals, combination, strict=False):
            pieces += (literal, value)
        yield "".join((*pieces, literals[-1]))


def _values(path: Path, parameters: Said | None) -> list[str]:
    """Return the texts that a placeholder may stand for, none where they cannot be told."""
    level: list[Any] = [parameters]
    for name in path:
        level = [value for node in level for value in _members(node, name)]
    texts = [item for value in level for item in (value if isinstance(value, list) else [value])]
    if len(texts) > MOST or not all(isinstance(text, str) and text for text in texts):
        return []
    if any(isinstance(text, Number) and not _WHOLE_NUMBER.fullmatch(text) for text in texts):
        return []  # 7.0 and 7e0 are 7 to some readers and not to others
    return list(dict.fromkeys(map(str, texts)))


def _members(node: Any, name: str) -> Iterator[Any]:
    """Yield the members of an object, or of the objects of a list, that may carry a name."""
    if isinstance(node, list | tuple):
        for item in node:
            yield from _members(item, name)
    elif isinstance(node, Mapping):
        wanted = _spellings(name)
        # Folded, not lowered: to Go's reader of JSON a long s is an s.
        yield from (value for key, value in node.items() if key.casefold() in wanted)


@cache
def _spellings(name: str) -> frozenset[str]:
    """Return a name, its plurals and its singulars, in lower case: as `-s`, `-es` and `-ies` are written.

    A spelling too many adds a resource that must be allowed too. A spelling that lacks would leave out the
    parameter that the service reads, beside a decoy that is allowed.
    """
    low = name.lower()
    stems = {low.removesuffix("s"), low.removesuffix("es")}
    if low.endswith("ies"):
        stems.add(low[:-3] + "y")
    plurals = {stem + ending for stem in stems for ending in ("s", "es")}
    plurals.update(stem[:-1] + "ies" for stem in stems if stem.endswith("y"))
    return frozenset(stems | plurals)


def both(body: Parameters | None, query: Sequence[tuple[str, str]]) -> Said | None:
    """Return what body and query say beside each other: which of the two an upstream reads is not known."""
    if body is None or not query:
        return body
    beside = nest(query)
    return None if beside is None else (beside, body)


def nest(pairs: Sequence[tuple[str, Any]]) -> Parameters | None:
    """Return flat parameters (`Filters.0.Values.1=x`) as JSON would hold them (CAM 14.1).

    Returns None where two of them cannot both be meant: `A` beside `A.0`, or the same name twice; and where
    one is written as only others nest (`A[0]`), or has a level without a name (`.A`).
    """
    top: dict[str, Any] = {}
    for name, value in pairs:
        if "[" in name:
            return None
        *path, last = name.split(".")
        if len(path) > _DEEPEST or (path and not all((*path, last))):
            return None
        node = top
        for step in path:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                return None
        if last in node:
            return None
        node[last] = value
    return {key: _listed(value) for key, value in top.items()}


def _listed(node: Any) -> Any:
    """Turn objects whose keys are all numbers into lists."""
    if not isinstance(node, dict):
        return node
    values = [_listed(value) for value in node.values()]
    return values if all(map(str.isdecimal, node)) else dict(zip(node, values, strict=True))

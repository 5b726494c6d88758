"""The resources of a call: an action's templates, filled from the call's parameters (CAM 5.5).

Rule 1: what cannot be bound is None, which only the literal `*` matches; it never becomes `*`.
Rule 2: a template is cut once, when its action is first called; a call only fills it.
Rule 3: every parameter that could be the one is taken: a decoy beside the real one adds a resource that
        must be allowed too, it never replaces one.
Rule 4: of templates that exclude each other, the form of a value tells which one it belongs to; where it does
        not, the value belongs to all of them.
Rule 5: a call is rejected where another name is one that some reader takes for the parameter (`?InstanceIds`,
        `InstanceIds_0`, `[InstanceIds]`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from camguard.catalog.alternatives import forms_of
from camguard.catalog.model import Action
from camguard.grammar import placeholders
from camguard.policy.patterns import star_match
from camguard.policy.resources import SEGMENTS, Owner
from camguard.request.params import Lookalikes, ParameterSources, look_alike
from camguard.strict_json import Number

MOST = 1000  # resources of one call; more are not judged
_LONGEST = 2048  # characters of a value in a resource: each stands in as many as all others make together
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]*")

Path: TypeAlias = tuple[str, ...]  # of a parameter: ("Namespace", "Name")


class Template(NamedTuple):
    """One template, cut. `literals` stand around `paths`: one more of them.

    forms: the form of its values, then those of the templates that it excludes (DEC-61); empty where it
    excludes none.
    """

    head: str  # the first five segments with their colons; `{region}` stands for the call's region
    literals: tuple[str, ...]
    paths: tuple[Path, ...]
    forms: tuple[str, ...] = ()


class ResourceTemplates(NamedTuple):
    """What a resource-level action needs to name its resources.

    lookalikes: the parameters that are looked for, and what lenient readers take for one of them; None where
    no parameter is looked for.
    """

    templates: tuple[Template, ...]
    match_any: bool
    lookalikes: Lookalikes | None


def cut_templates(entry: Action, owner: Owner) -> ResourceTemplates:
    """Return the templates of an action, ready to be filled. Raises nothing: the catalog was checked."""
    forms = forms_of(entry)
    templates = tuple(
        _cut(text, entry, owner)._replace(forms=forms.get(text, ())) for text in entry.resources
    )
    return _ready(templates, match_any=entry.match == "any")


def _ready(templates: tuple[Template, ...], *, match_any: bool) -> ResourceTemplates:
    """Return cut templates with the parameters that they look for."""
    first = {path[0] for template in templates for path in template.paths}
    names = frozenset(spelling for name in first for spelling in _spellings(name))
    # Some readers fold `.` into `_` (`InstanceIds_0`, `Instance_Id`), others `_` into `.`.
    spelled = sorted({spelling.replace("_", sign) for spelling in names for sign in "._"})
    alike = look_alike(spelled, suffix="_[^&]*+")
    return ResourceTemplates(templates, match_any, Lookalikes(names, alike) if names else None)


def join_templates(cut: Sequence[ResourceTemplates], *, whole: bool) -> ResourceTemplates:
    """Return the templates of several names together.

    whole: whether all names of the action have resources; only then may one of several resources be enough.
    """
    if len(cut) == 1 and whole:
        return cut[0]
    templates = tuple(dict.fromkeys(template for each in cut for template in each.templates))
    return _ready(templates, match_any=whole and all(each.match_any for each in cut))


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


def bind_resources(
    templates: ResourceTemplates, parameters: ParameterSources | None, region: str
) -> tuple[str | None, ...]:
    """Return the resources that a call names, None for each that could not be bound.

    parameters: of each place that has some; None where they could not be read. region: the call's, empty
    where it names none.
    """
    found: list[str | None] = []
    for template in templates.templates:
        head = template.head.replace("{region}", region)
        values = [_values(path, parameters) for path in template.paths]
        if not all(values):
            found.append(None)
        elif templates.match_any and any(len(each) > 1 for each in values):
            found.append(None)  # which of several alternatives they belong to is not known
        else:
            if template.forms:
                values = [[value for value in each if _belongs(value, template.forms)] for each in values]
            found += _filled(head, template.literals, values)
    return tuple(dict.fromkeys(found)) if len(found) <= MOST else (None,)


def _belongs(value: str, forms: Sequence[str]) -> bool:
    """Tell whether a value is judged as the template whose forms these are (DEC-61).

    A value that fits none of the forms, or several, belongs to every template of the group.
    """
    fitting = [star_match(form, value) for form in forms]
    return sum(fitting) != 1 or fitting[0]


def _filled(head: str, literals: Sequence[str], values: Sequence[Sequence[str]]) -> Iterator[str | None]:
    size = 1
    for each in values:
        size *= len(each)
    # A slash before the last placeholder would shift the following ones.
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


def _values(path: Path, parameters: ParameterSources | None) -> list[str]:
    """Return the texts that a placeholder may stand for, none where they are not known."""
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

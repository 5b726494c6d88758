"""The tags in a request, from the parameters that the action's catalog entry names (DEC-65).

A policy may ask that the creator of a resource tags it. Such a condition is worth something only if camguard
finds exactly the tags that the service will find.

Rule 1: tags come from the named parameters alone. A further parameter whose name contains "tag" may be read
        by the service too, so the tags are then not supplied.
Rule 2: a tag is an object of exactly a text `Key` and a text `Value`, or `TagKey` and `TagValue`. Any other
        shape, and a key twice, make the tags of the whole request not supplied.
Rule 3: parameters that were read and that contain no tag supply the tags, empty.
Rule 4: flat parameters (`Tags.0.Key`) count only with the plain numbers 0, 1, 2 and so on: some readers skip
        or rename what others take.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from camguard.request.params import ParameterSources, Params, folded
from camguard.strict_json import is_text

TagPath: TypeAlias = tuple[
    tuple[str, bool], ...
]  # the names of a path, and whether a list of objects stands there

_PAIRS: Final = (("Key", "Value"), ("TagKey", "TagValue"))
_TAG: Final = "tag"


def cut_tag_paths(texts: Iterable[str]) -> tuple[TagPath, ...]:
    """Return the paths of an entry's `request_tags`, cut. Raises nothing: the catalog was checked.

    >>> cut_tag_paths(["TagSpecification[].Tags"])
    ((('TagSpecification', True), ('Tags', False)),)
    """
    return tuple(
        tuple((name.removesuffix("[]"), name.endswith("[]")) for name in text.split(".")) for text in texts
    )


def read_request_tags(
    paths: Sequence[TagPath], parameters: ParameterSources | None
) -> Mapping[str, str] | None:
    """Return the tags of a request by key, or None if they are not supplied.

    parameters: of each place that has some; None where they could not be read.
    """
    if parameters is None:
        return None
    found: dict[str, str] = {}
    sources = (parameters,) if isinstance(parameters, Mapping) else parameters
    carrying = 0  # places with tags: with two, a service may read either
    for source in sources:
        others: list[str] = []
        tags = list(_walk(source, paths, others))
        if None in tags or _named_tag(others):
            return None
        carrying += bool(tags)
        for key, value in filter(None, tags):
            if key in found:
                return None
            found[key] = value
    return found if carrying <= 1 else None


def _walk(node: Any, paths: Sequence[TagPath], others: list[str]) -> Iterator[tuple[str, str] | None]:
    """Yield each tag below an object, None for another shape. others: takes the names that no path has."""
    if not isinstance(node, Mapping):
        yield None
        return
    for name, value in node.items():
        below = [path[1:] for path in paths if path[0][0] == name]
        if not below:
            others.append(name)
            others += _names(value)
        elif () in below:
            yield from _tags(value)
        else:
            listed = any(path[0] == (name, True) for path in paths)
            if listed is not isinstance(value, list):
                yield None
                return
            for each in value if listed else [value]:
                yield from _walk(each, below, others)


def _tags(value: Any) -> Iterator[tuple[str, str] | None]:
    if not isinstance(value, list):
        yield None
        return
    for each in value:
        names = next(
            (pair for pair in _PAIRS if isinstance(each, Mapping) and set(pair) == each.keys()), None
        )
        pair = None if names is None else (each[names[0]], each[names[1]])
        yield pair if pair is not None and all(map(is_text, pair)) and pair[0] else None


def _names(value: Any) -> Iterator[str]:
    """Yield the name of every member below a value, without recursion."""
    level = [value]
    while level:
        following: list[Any] = []
        for each in level:
            if isinstance(each, Mapping):
                yield from each
                following += each.values()
            elif isinstance(each, list):
                following += each
        level = following


def _named_tag(names: list[str]) -> bool:
    """Tell whether a name contains "tag" to any reader; yes, where the names are no usual ones."""
    text = folded(names)
    return not isinstance(text, str) or _TAG in text


def plainly_numbered(params: Params) -> bool:
    """Tell whether the lists of all flat parameters that contain "tag" are numbered 0, 1, 2 (Rule 4)."""
    lists: dict[tuple[str, ...], set[str]] = {}
    for name, _ in params:
        if _TAG in name.lower():
            parts = tuple(name.split("."))
            for at, part in enumerate(parts):
                if part.isdecimal():
                    lists.setdefault(parts[:at], set()).add(part)
    return all(numbers == set(map(str, range(len(numbers)))) for numbers in lists.values())

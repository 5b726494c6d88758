"""The actions of a catalog that are nearest to a name that it does not have."""

from __future__ import annotations

from camguard.catalog.model import Catalog
from camguard.suggest import nearest_names

_LONGEST = 128  # comparing is quadratic in the length; a service and an action together are shorter


def nearest_actions(catalog: Catalog, action: str, most: int = 3) -> tuple[str, ...]:
    """Return up to `most` ids (`service:Name`) near `action`, best first, letter case aside.

    action: an id, with or without `name/`, or a bare name, which is looked for in every service. Where the
    service does not exist, the name is looked for in the services that read alike, then in all.
    """
    service, colon, name = action.removeprefix("name/")[:_LONGEST].rpartition(":")
    known = catalog.services
    if service in known:
        places = [service]
    else:
        places = (list(nearest_names(service, known)) if colon else []) or list(known)
    # One name may stand in several services, and names that differ by case only are two.
    ids: dict[str, list[str]] = {}
    for place in places:
        for listed in known[place].actions:
            ids.setdefault(listed.lower(), []).append(f"{place}:{listed}")
    near = nearest_names(name, ids, most)
    return tuple(found for match in near for found in ids[match])[:most]

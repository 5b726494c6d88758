"""Name-only entries: actions of which no page is known, from the vendor's client packages or a list (DEC-67).

A source is one of these, and nothing of it is imported or run:

* the package folder of an SDK: `tencentcloud/<module>/v<YYYYMMDD>/<module>_client.py`;
* the package folder of the command line client: `tccli/services/<module>/v<YYYYMMDD>/api.json`;
* a text file with one `service:Action` on each line; `#` begins a comment.

Rule 1: the service of an entry is the label of the API host, as calls name it (DEC-68).
Rule 2: access is guessed from the first word of the name and marked so; nothing else is known of the action.
Rule 3: an action that several versions of the API have is bound to none of them.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from camguard import grammar
from camguard.catalog.known_services import KnownServices
from camguard.catalog.model import ANY, Access, Action, Granularity, IpRestriction, Page, Service
from camguard.engine.attributes import FIRST_WORD, READING_WORDS
from camguard.errors import CatalogError, Problem
from camguard.files import DOCUMENT_BYTES, read_file

_CODE: Final = "NameSource"
_SOURCE_BYTES: Final = 4 * DOCUMENT_BYTES  # api.json of the largest product has some megabytes
_CLIENTS: Final = "*/v[0-9]*/*_client.py"
_COMMANDS: Final = "*/v[0-9]*/api.json"
_VERSION_FOLDER: Final = re.compile(r"v([0-9]{4})([0-9]{2})([0-9]{2})")


class Named(NamedTuple):
    """One action of a source. version: of the API, None where the source does not say it."""

    service: str
    name: str
    version: str | None


class NameSource(NamedTuple):
    """What one source names. title: for the provenance of the catalog file. digest: hex SHA-256."""

    title: str
    digest: str
    actions: tuple[Named, ...]
    problems: tuple[Problem, ...]


def read_names(source: Path) -> NameSource:
    """Return the actions that a source names. Raises CatalogError where it is no source, or names nothing."""
    if not source.is_dir():
        return _of_text(source)
    for folder in (source, source / "tencentcloud", source / "services", source / "tccli" / "services"):
        for pattern, read in ((_CLIENTS, _of_client), (_COMMANDS, _of_command_line)):
            files = sorted(file for file in folder.glob(pattern) if file.is_file())
            if files:
                return _of_files(source, files, read)
    message = (
        "holds neither the clients of an SDK (tencentcloud/<module>/v<YYYYMMDD>/<module>_client.py) nor "
        "those of the command line client (tccli/services/<module>/v<YYYYMMDD>/api.json)"
    )
    raise CatalogError(Problem(str(source), _CODE, message))


def name_services(sources: Iterable[NameSource], known: KnownServices) -> list[Service]:
    """Return a name-only service for each host label that the sources name, in the order of labels."""
    versions: dict[str, dict[str, set[str | None]]] = {}
    pages: dict[str, dict[Page, None]] = {}
    for source in sources:
        for action in source.actions:
            versions.setdefault(action.service, {}).setdefault(action.name, set()).add(action.version)
            pages.setdefault(action.service, {})[Page(source.title, "", source.digest)] = None
    return [_service(label, versions[label], tuple(pages[label]), known) for label in sorted(versions)]


def _service(
    label: str, names: Mapping[str, set[str | None]], pages: tuple[Page, ...], known: KnownServices
) -> Service:
    entry = known.services.get(label)
    actions = {
        name: Action(
            label,
            name,
            guess_access(name),
            Granularity.UNKNOWN,
            (ANY,),
            ip_restriction=False,
            version=next(iter(names[name])) if len(names[name]) == 1 else None,
            access_guessed=True,
        )
        for name in sorted(names)
    }
    return Service(
        name=label,
        title=entry.title if entry else label,
        console=False,
        tag_authorization=False,
        granularity=Granularity.UNKNOWN,
        ip_restriction=IpRestriction.UNSUPPORTED,
        actions=MappingProxyType(actions),
        pages=pages,
    )


def guess_access(name: str) -> Access:
    """Return the access that the first word of an action's name suggests; write where it suggests nothing.

    >>> guess_access("DescribeTopics"), guess_access("ListTopics"), guess_access("Describer")
    (<Access.READ: 'read'>, <Access.LIST: 'list'>, <Access.WRITE: 'write'>)
    """
    word = FIRST_WORD.match(name)
    first = word[0] if word else ""
    if first == "List":
        return Access.LIST
    return Access.READ if first in READING_WORDS else Access.WRITE


# sources


def _of_files(source: Path, files: list[Path], read: Any) -> NameSource:
    digest = sha256()
    actions: list[Named] = []
    problems: list[Problem] = []
    for file in files:
        where = str(file)
        try:
            raw = read_file(file, _SOURCE_BYTES)
            digest.update(raw)
            found = read(raw, file)
        except OSError as error:
            problems.append(Problem(where, _CODE, f"cannot be read: {error.strerror}"))
        except (SyntaxError, ValueError) as error:
            problems.append(Problem(where, _CODE, f"names no actions: {error}"))
        else:
            actions += found
    return _checked(source, digest.hexdigest(), actions, problems)


def _of_client(raw: bytes, file: Path) -> list[Named]:
    """Return the actions of one client of the SDK. Raises ValueError where the file is no such client."""
    for node in ast.parse(raw, str(file)).body:
        facts = dict(_constants(node)) if isinstance(node, ast.ClassDef) else {}
        endpoint = facts.get("_endpoint")
        if isinstance(node, ast.ClassDef) and isinstance(endpoint, str):
            methods = [each.name for each in node.body if isinstance(each, ast.FunctionDef)]
            label, version = endpoint.partition(".")[0], facts.get("_apiVersion")
            found = version if isinstance(version, str) else _version_of(file)
            return [Named(label, name, found) for name in methods if name[0].isupper()]
    raise ValueError("it has no class with an _endpoint")


def _constants(node: ast.ClassDef) -> Iterator[tuple[str, object]]:
    for each in node.body:
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant):
            for target in each.targets:
                if isinstance(target, ast.Name):
                    yield target.id, each.value.value


def _of_command_line(raw: bytes, file: Path) -> list[Named]:
    """Return the actions of one api.json. Raises ValueError when the file is not an api.json."""
    tree = json.loads(raw)
    facts, actions = (tree.get(key) if isinstance(tree, dict) else None for key in ("metadata", "actions"))
    if not isinstance(facts, dict) or not isinstance(actions, dict):
        raise ValueError("it has no metadata or no actions")  # noqa: TRY004 - of the content, not of a caller
    label, version = facts.get("serviceShortName"), facts.get("apiVersion")
    if not isinstance(label, str):
        raise ValueError("it has no serviceShortName")  # noqa: TRY004 - as above
    found = version if isinstance(version, str) else _version_of(file)
    return [Named(label, name, found) for name in actions]


def _version_of(file: Path) -> str | None:
    match = _VERSION_FOLDER.fullmatch(file.parent.name)
    return "-".join(match.groups()) if match else None


def _of_text(source: Path) -> NameSource:
    raw = read_file(source, DOCUMENT_BYTES)
    actions: list[Named] = []
    problems: list[Problem] = []
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise CatalogError(Problem(str(source), _CODE, f"not UTF-8 at byte {error.start}")) from None
    for number, line in enumerate(lines, 1):
        written = line.partition("#")[0].strip().removeprefix("name/")
        service, colon, name = written.partition(":")
        if colon:
            actions.append(Named(service, name, None))
        elif written:
            message = f"{written[:80]!r} is not one action, such as cvm:RunInstances"
            problems.append(Problem(f"{source}:{number}", _CODE, message))
    return _checked(source, sha256(raw).hexdigest(), actions, problems)


def _checked(source: Path, digest: str, actions: list[Named], problems: list[Problem]) -> NameSource:
    """Return a source with the names that a request can carry, and a problem for each other one."""
    good: list[Named] = []
    for action in dict.fromkeys(actions):
        wrong = None
        if not grammar.SERVICE.fullmatch(action.service):
            wrong = f"{action.service!r} is not {grammar.SERVICE_RULE}"
        elif not grammar.ACTION_NAME.fullmatch(action.name):
            wrong = f"{action.name!r} is not {grammar.ACTION_NAME_RULE}"
        elif action.version is not None and not grammar.VERSION.fullmatch(action.version):
            wrong = f"{action.version!r} is not {grammar.VERSION_RULE}"
        if wrong is None:
            good.append(action)
        else:
            problems.append(Problem(str(source), _CODE, f"{action.service}:{action.name}: {wrong}"))
    if not good and not problems:
        problems.append(Problem(str(source), _CODE, "names no action"))
    return NameSource(f"names only, from {source.name}", digest, tuple(good), tuple(problems))

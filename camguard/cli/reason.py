"""`camguard reason` and `camguard rule`: what a reason, a detail or a code of lint says, and what to look at.

Rule 1: the texts stand in `camguard.request.causes`, `camguard.lint.codes` and `camguard.lint.advice`; this
        module only arranges them. `camguard/REASONS.md` is what `camguard reason --format markdown` prints.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping

from camguard.cli.output import Document, add_format, paint, show
from camguard.cli.parser import UsageError
from camguard.cli.phrases import rows
from camguard.engine.decision import Reason
from camguard.exit_codes import Exit
from camguard.lint.advice import ADVICE
from camguard.lint.codes import CODES, Code
from camguard.request.causes import CAUSES_EXPLAINED, Cause
from camguard.request.rejection import REJECTIONS
from camguard.suggest import nearest


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `reason`."""
    parser = verbs.add_parser("reason", help="explain a reason or detail of the decision log")
    parser.add_argument("name", nargs="?", metavar="NAME", help="such as no_allow (default: list all)")
    add_format(parser, "markdown")
    parser.set_defaults(run=run)


def add_rule(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `rule`."""
    parser = verbs.add_parser("rule", help="explain a code of lint")
    parser.add_argument("code", nargs="?", metavar="CODE", help="such as CG201 (default: list all)")
    add_format(parser)
    parser.set_defaults(run=run_rule)


def run(args: argparse.Namespace) -> Exit:
    """Print what one reason or detail says, or all of them."""
    if args.format == "markdown":
        show("text", {}, lambda _: page())
        return Exit.OK
    documents = {name: describe(cause) for name, cause in CAUSES_EXPLAINED.items()}
    name = args.name and args.name.lower()
    return _explain(args.format, "reasons", documents, name, f"no reason or detail is called {args.name!r}")


def run_rule(args: argparse.Namespace) -> Exit:
    """Print what one code of lint says, or all of them."""
    documents = {name: describe_rule(code) for name, code in CODES.items()}
    code = args.code and args.code.upper()
    return _explain(args.format, "rules", documents, code, f"no finding has the code {args.code!r}")


def _explain(
    form: str, plural: str, documents: Mapping[str, Document], name: str | None, unknown: str
) -> Exit:
    """Print one of the documents, or all of them where no name is given.

    plural: the key of the list in JSON. unknown: what is wrong where no document has the name.
    """
    if name is None:
        show(form, {plural: [*documents.values()]}, lambda document: _list(document[plural]))
        return Exit.OK
    if name not in documents:
        raise UsageError(f"{unknown}{nearest(name, documents)}")
    show(form, documents[name], render)
    return Exit.OK


def describe(cause: Cause) -> dict[str, object]:
    """Return the document of one word.

    details: of a reason. reason, code, status: of a detail; code and status are those of the refusal, the
    status that of the style `http`.
    """
    row = REJECTIONS.get(cause.name)
    is_reason = cause.name in [*Reason]
    details = [each.detail for each in REJECTIONS.values() if is_reason and each.reason == cause.name]
    return {
        "name": cause.name,
        "kind": "reason" if row is None else "reason and detail" if is_reason else "detail",
        "reason": cause.name if row is None else row.reason.value,
        "details": details,
        "code": None if row is None else row.code,
        "status": None if row is None else row.status,
        "meaning": cause.meaning,
        "likely": cause.likely,
        "look": cause.look,
    }


def describe_rule(code: Code) -> dict[str, object]:
    """Return the document of one code of lint."""
    return {
        "name": code.id,
        "kind": code.severity.value,
        "title": code.title,
        "meaning": code.help,
        **ADVICE[code.id]._asdict(),
    }


def render(document: Document) -> Iterator[str]:
    """Yield one word or code as text."""
    title = f": {document['title']}" if "title" in document else ""
    yield f"{paint(document['name'], 'strong')}  {document['kind']}{title}"
    cells = [
        ("means", document["meaning"]),
        ("likely", document["likely"]),
        ("look at", document["look"]),
        ("details", ", ".join(document.get("details", ()))),
    ]
    if document.get("code"):
        cells.append(("answer", f"{document['code']}, HTTP {document['status']} in style http"))
        if document["reason"] != document["name"]:
            cells.append(("reason", document["reason"]))
    yield from rows(cells)


def _list(documents: Iterable[Document]) -> Iterator[str]:
    """Yield one line for each document."""
    rows = [(each["name"], each.get("title") or each["meaning"]) for each in documents]
    width = max((len(name) for name, _ in rows), default=0)
    yield from (f"{name:<{width}}  {text}" for name, text in rows)


def page() -> Iterator[str]:
    """Yield the lines of `camguard/REASONS.md`."""
    yield from (
        "# Why a request was refused, and what lint found",
        "",
        "camguard names the cause of a refusal in `reason` and `detail` of its decision log, in the metrics",
        "`camguard_decisions_total` and `camguard_denials_by_detail_total`, and in the answer of",
        "`camguard check`.",
        "`camguard reason NAME` and `camguard rule CODE` print the text of one entry of this page, which",
        "`camguard reason --format markdown` writes.",
        "",
        "## Reasons and details",
        "",
        "A detail is the exact cause within a reason. The answer is the code of the error envelope, and the",
        "status in style `http`.",
    )
    for cause in CAUSES_EXPLAINED.values():
        document = describe(cause)
        of = "" if document["reason"] == cause.name else f" of `{document['reason']}`"
        answer = f"; answer `{document['code']}`, {document['status']}" if document["code"] else ""
        yield from ("", f"### {cause.name}", "", f"*{document['kind']}{of}{answer}*", "", cause.meaning, "")
        yield from (f"* Likely cause: {cause.likely}", f"* Look at: {cause.look}")
    yield from (
        "",
        "## Findings of lint",
        "",
        "| code | severity | finding | why it matters | likely cause | look at |",
    )
    yield "|---|---|---|---|---|---|"
    for code in CODES.values():
        likely, look = ADVICE[code.id]
        cells = (code.id, code.severity.value, code.title, code.help, likely, look)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

"""`camguard reduce`: a policy that means the same with fewer statements. Changes nothing without `--write`.

Rule 1: a policy is printed, or written, only after its equality was proved (`camguard.analysis.reduce`).
Rule 2: `--write` replaces a file as a whole, by a rename, and no file where one of the policies is wrong.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from stat import S_IMODE

from camguard.analysis.reduce import Reduction, reduce_policy
from camguard.bundle.load import POLICIES
from camguard.cli.inputs import add_inputs, find_inputs, read_bundle
from camguard.cli.output import Document, add_format, paint, progress, show
from camguard.cli.parser import UsageError
from camguard.exit_codes import Exit
from camguard.files import replace_files
from camguard.policy.model import Policy
from camguard.suggest import nearest


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `reduce`."""
    parser = verbs.add_parser(
        "reduce",
        help="a policy that means the same with fewer statements; writes nothing without --write",
        description="Leave out what other statements cover, and merge statements and ranges. Each step is "
        "proved: no principal gains or loses a call by it.",
    )
    parser.add_argument("policies", nargs="*", metavar="POLICY", help="ids of policies (default: all)")
    add_inputs(parser)
    parser.add_argument(
        "--write", action="store_true", help="replace the files of the policies that got smaller"
    )
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    """Print what became of each policy."""
    inputs = find_inputs(args)
    bundle = read_bundle(inputs._replace(strict=False))
    unknown = [name for name in args.policies if name not in bundle.policies]
    if unknown:
        raise UsageError(
            *(f"the bundle has no policy {name!r}{nearest(name, bundle.policies)}" for name in unknown)
        )
    listed = [bundle.policies[name] for name in args.policies] or list(bundle.policies.values())
    found = [reduce_policy(each, bundle.catalog, bundle.owner) for each in progress(listed, "policies")]
    smaller = [each for each in found if each.steps]
    if args.write:
        for each in smaller:
            file = inputs.bundle / POLICIES / f"{each.before.id}.json"
            replace_files({file: text_of(each).encode()}, S_IMODE(file.stat().st_mode))
    document = {
        "written": bool(args.write and smaller),
        "policies": [
            {
                "policy": each.before.id,
                "statements": {"before": len(each.before.statements), "after": len(each.after.statements)},
                "entries": {"before": entries_of(each.before), "after": entries_of(each.after)},
                "steps": list(each.steps),
                "document": each.document if each.steps else None,
            }
            for each in found
        ],
    }
    show(args.format, document, render)
    return Exit.OK


def entries_of(policy: Policy) -> int:
    """Return how many actions, resources and values of conditions a policy lists."""
    return sum(
        len(each.actions)
        + each.any_resource
        + len(each.patterns)
        + sum(len(c.values) for c in each.condition)
        for each in policy.statements
    )


def text_of(reduction: Reduction) -> str:
    """Return the document as a file has it."""
    return f"{json.dumps(reduction.document, indent=2, ensure_ascii=False)}\n"


def render(document: Document) -> Iterator[str]:
    """Yield the steps of each policy that can be smaller, and its new text unless that was written."""
    for each in document["policies"]:
        if not each["steps"]:
            yield f"{each['policy']}: cannot be smaller"
            continue
        counts = [f"{each[key]['before']} -> {each[key]['after']} {key}" for key in ("statements", "entries")]
        yield paint(f"{each['policy']}: {', '.join(counts)}; the same decisions, proved", "strong")
        yield from (f"  {step}" for step in each["steps"])
        if not document["written"]:
            yield from json.dumps(each["document"], indent=2, ensure_ascii=False).splitlines()
    if document["written"]:
        yield "the files were replaced"

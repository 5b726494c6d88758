"""Decisions that stand whatever a part of the call is that nobody has shown (T141).

A proxy may ask about a call without showing its body, which can name the resources of the call and its tags.
`settled` decides such a call with these parts unknown. In three values an allow that is TRUE and a deny that
is TRUE stay so, whatever the unknown parts turn out to be. A missing allow, or a deny that is unknown, may
have come from the unknown parts alone; it stands only where it is the same when every pattern of a resource
matches, and when none does.
"""

from __future__ import annotations

from camguard.engine.call import Call
from camguard.engine.decision import Decision, Reason
from camguard.engine.evaluator import Evaluator
from camguard.engine.row import ActionRules
from camguard.policy.keys import REQUEST_TAG


def settled(evaluator: Evaluator, call: Call, *, tags: bool) -> Decision | None:
    """Return the decision of a call whatever its hidden parts are; None where they matter. Raises nothing.

    call: its resources are `(None,)` where the body names them; its tags are not supplied where the body
    names them. tags: whether it does.
    """
    decision = evaluator.decide(call)
    table, traits = evaluator.table(call.principal, call.session), evaluator.traits(call.action)
    row = None if table is None else table.row(call.action)
    if decision.reason is Reason.EXPLICIT_DENY or traits is None or not isinstance(row, ActionRules):
        return decision  # of an unknown name, of every call, or by a deny that nothing can take back
    hidden = None in call.resources
    if hidden and row.checks_owner:  # root owns some resources and not others (CAM 10.3)
        return None
    if decision.reason is Reason.ALLOWED:
        return decision
    keys = {clause.key.partition("/")[0] for rule in row.rules for clause in rule.residual}
    if (tags and REQUEST_TAG in keys) or (hidden and row.reads_tags):
        return None
    for matches in (True, False):
        assumed = _assuming(row, matches=matches).judge(call, traits, evaluator.owner, evaluator.inventory)
        if assumed.reason is not decision.reason:
            return None
    return decision


def _assuming(row: ActionRules, *, matches: bool) -> ActionRules:
    """Return the rules of a row as they are where every pattern of a resource matches, or where none does."""
    rules = tuple(rule._replace(patterns=()) for rule in row.rules if matches or not rule.patterns)
    return ActionRules(
        row.layers, rules, match_any=row.match_any, resource_level=True, listed_tags=row.reads_tags
    )

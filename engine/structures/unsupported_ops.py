"""Notes on operators without a rule: the share of the parameters that each keeps fixed."""

import math

import numpy as np

from ..errors import Message
from ..messages import module_named
from .rules import Context
from .solver.labels import Labels
from .solver.solve import Solution


def unruled(context: Context, solution: Solution) -> tuple[Message, ...]:
    """A note for each operator and module that has fixed parameters for want of a rule, the dearest first."""
    statements = _without_rule(context.labels)
    total = sum(math.prod(s.shape) for s in context.record.sources if s.parameter)
    lost: dict[tuple[str, str], int] = {}
    for source in context.record.sources if statements else ():
        if source.parameter:
            whys = [
                np.zeros(1, np.int64) if dim is None else solution.reason[solution.component[dim]]
                for dim in context.dims[source.value]
            ]
            present = {int(r) for why in whys for r in np.unique(why)} & statements.keys()
            for key in {statements[r] for r in present}:
                mine = [r for r, owner in statements.items() if owner == key]
                fixed = math.prod(int((why >= 0).sum()) for why in whys)
                anyway = math.prod(int(((why >= 0) & ~np.isin(why, mine)).sum()) for why in whys)
                lost[key] = lost.get(key, 0) + fixed - anyway
    ranked = sorted(lost.items(), key=lambda entry: -entry[1])
    return tuple(_note(op, module, elements / total) for (op, module), elements in ranked if elements)


def _without_rule(labels: Labels) -> dict[int, tuple[str, str]]:
    """Statement number to (operator, module)."""
    return {
        number: (str(statement.reason.arguments["op"]), statement.module)
        for number, statement in enumerate(labels.fixed)
        if statement.reason.code == "fixed.no_rule"
    }


def _note(op: str, module: str, share: float) -> Message:
    return Message(
        "analysis.no_rule",
        "{op} in {place} has no rule, so {percent} of the parameters cannot be removed. Add a rule with register_rule.",
        {"op": op, "place": module_named(module), "percent": f"{share:.1%}", "share": share},
    )

"""Look-ups: rows belong to input values, columns are channels."""

from .. import reasons
from .context import Context


def embedding(context: Context) -> None:
    """Weight [V, C], indices [...] -> [..., C]."""
    rows, columns = context.of("weight")
    context.labels.fix(rows, reasons.vocabulary(), context.call.module)
    context.producers.append(("channel", columns))
    context.give([*context.of("indices"), columns])


RULES = {"aten.embedding": embedding}

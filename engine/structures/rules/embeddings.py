"""Look-ups: rows belong to input values, columns are channels."""

from .. import reasons
from .context import Context


def embedding(context: Context) -> None:
    """Weight [V, C], indices [...] -> [..., C]."""
    rows, columns = context.of("weight")
    context.labels.fix(rows, reasons.vocabulary(), context.call.module)
    context.producers.append(("channel", columns))
    context.give([*context.of("indices"), columns])


def embedding_bag(context: Context) -> None:
    """Weight [V, C], bags of indices -> [bags, C]."""
    rows, columns = context.of("weight")
    context.labels.fix(rows, reasons.vocabulary(), context.call.module)
    context.producers.append(("channel", columns))
    context.give([None, columns])
    context.give_untracked(1)


RULES = {
    "aten.embedding": embedding,
    "aten._embedding_bag": embedding_bag,
    "aten._embedding_bag_forward_only": embedding_bag,
}

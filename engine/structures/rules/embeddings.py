"""Look-ups: rows belong to input values, columns are channels."""

from .. import reasons
from .context import Context


def embedding(context: Context) -> None:
    """Weight [V, C], indices [...] -> [..., C]."""
    rows, columns = context.of("weight")
    context.fix(rows, reasons.vocabulary())
    context.producers.append(("channel", columns))
    context.give([*context.of("indices"), columns])


def embedding_bag(context: Context) -> None:
    """Weight [V, C], bags of indices -> [bags, C]."""
    rows, columns = context.of("weight")
    context.fix(rows, reasons.vocabulary())
    context.producers.append(("channel", columns))
    context.give([None, columns])
    context.give_untracked(1)


def embedding_renorm(context: Context) -> None:
    """Rows of a weight [V, C] are scaled in place to a length that the columns that remain have."""
    rows, _ = context.of("self")
    context.fix(rows, reasons.vocabulary())
    context.give(context.of("self"))


RULES = {
    "aten.embedding": embedding,
    "aten.embedding_renorm_": embedding_renorm,
    "aten._embedding_bag": embedding_bag,
    "aten._embedding_bag_forward_only": embedding_bag,
}

"""One rule an operator family: it says which labels are equal. The table below is the whole registry.

To add a rule, write `def rule(context: Context) -> None` in the file of its family and list its operators there.
"""

from . import convolution, elementwise, embeddings, joining, norms, pooling, products, reductions, slicing, views
from .context import Context, Rule

RULES: dict[str, Rule] = {
    **views.RULES,
    **slicing.RULES,
    **joining.RULES,
    **products.RULES,
    **convolution.RULES,
    **norms.RULES,
    **pooling.RULES,
    **reductions.RULES,
    **embeddings.RULES,
    **elementwise.RULES,
}
"""Operator ("aten.view") to rule."""

__all__ = ["RULES", "Context", "Rule", "elementwise"]

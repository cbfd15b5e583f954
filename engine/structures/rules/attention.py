"""Attention as one operator, in all its spellings."""

from .. import reasons
from ..analysis import Kind
from ..solver.labels import Dim
from .context import Context
from .products import contract


def attention(context: Context) -> None:
    """[N, H, L, E], [N, G, S, E] twice -> [N, H, L, E]; each of the G key/value heads serves H / G queries."""
    *batch, heads, length, inner = context.of("query")
    *_, groups, _, inner2 = context.of("key")
    *_, groups2, _, outer = context.of("value")
    op, module, labels = context.call.op, context.call.module, context.labels
    joined = contract(context, inner, inner2)
    pairs = labels.meet([groups, groups2], reasons.combined(op), module)
    count = context.shape("query")[-3] // max(1, context.shape("key")[-3])
    queries = labels.spread(count)
    spread = labels.merge([pairs, queries], (context.shape("key")[-3], count))
    heads = labels.meet([heads, spread], reasons.combined(op), module)
    mask = "attn_mask" if context.value("attn_mask") is not None else "attn_bias"
    if context.value(mask) is not None:
        _meet_mask(context, mask, heads)
    for dim in (heads, spread):
        labels.hint(Kind.HEAD, dim)
    labels.hint(Kind.HEAD_DIM, joined)
    context.sizes.append((module, "heads", heads))
    if queries is not None:
        context.sizes.append((module, "repeats", queries))
    joined = labels.meet([joined, outer], reasons.combined(op), module)  # one kernel for both products: one width
    context.cost(heads, joined)
    context.give([*batch, heads, length, joined])
    context.give_untracked(1)


def _meet_mask(context: Context, name: str, heads: Dim) -> None:
    dims, shape = context.of(name), context.shape(name)
    for behind, dim in enumerate(reversed(dims), 1):
        if shape[-behind] > 1:
            other = heads if behind == 3 else None
            context.labels.meet([dim, other], reasons.combined(context.call.op), context.call.module)


RULES = {
    f"aten.{name}": attention
    for name in ("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
                 "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
                 "_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math")
}  # fmt: skip

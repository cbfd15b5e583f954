"""Attention as one operator, in all its spellings."""

from ..analysis import Kind
from .context import Context
from .products import contract


def attention(context: Context) -> None:
    """[N, H, L, E], [N, G, S, E] twice -> [N, H, L, E]; each of the G key/value heads serves H / G queries."""
    *batch, heads, length, inner = context.of("query")
    *_, groups, _, inner2 = context.of("key")
    *_, groups2, _, outer = context.of("value")
    module, labels = context.call.module, context.labels
    joined = contract(context, inner, inner2)
    pairs = context.meet([groups, groups2])
    count = context.shape("query")[-3] // max(1, context.shape("key")[-3])
    queries = labels.spread(count)
    spread = labels.merge([pairs, queries], (context.shape("key")[-3], count))
    heads = context.meet([heads, spread])
    mask = "attn_mask" if context.value("attn_mask") is not None else "attn_bias"
    if context.value(mask) is not None:
        for behind, (dim, size) in enumerate(zip(context.of(mask)[::-1], context.shape(mask)[::-1], strict=True), 1):
            # A mask may be the same for all heads, queries or samples.
            if size > 1:
                context.meet([dim, heads if behind == 3 else None])
    for dim in (heads, spread):
        labels.hint(Kind.HEAD, dim)
    labels.hint(Kind.HEAD_DIM, joined)
    context.sizes.append((module, "heads", heads))
    if queries is not None:
        context.sizes.append((module, "repeats", queries))
    # The kernel takes one width for both products, though queries and keys could have another than values.
    joined = context.meet([joined, outer])
    context.cost(heads, joined)
    context.give([*batch, heads, length, joined])
    context.give_untracked(1)


RULES = {
    f"aten.{name}": attention
    for name in ("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
                 "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
                 "_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math")
}  # fmt: skip

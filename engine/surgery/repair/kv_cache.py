"""The key/value cache of a decoder of transformers, counted from its configuration."""

from typing import Any

from ...planning.isomorphic_classes import with_block_contents
from ...structures.analysis import Analysis, Kind, Mask
from ..cut.cut import shapes
from .config_fields import fields_of
from .config_fit import layers_of

OTHERWISE = ("kv_lora_rank", "num_kv_shared_layers", "global_head_dim")
"""Fields of models that cache something smaller in place of keys and values, or not the same in all layers."""
CACHING = frozenset({"full_attention", "sliding_attention", "chunked_attention", "window_attention"})
"""Types of layers that cache keys and values, all of one size."""


def cached_numbers(model: Any, analysis: Analysis, removed: Mask) -> int | None:
    """Numbers that the cache holds for each token: keys and values of all layers, 2 L H D.

    L layers, H key/value heads of D channels, as `transformers.StaticCache` allocates them. Sliding windows bound the
    tokens, not this.

    Args:
        model: The original, of transformers.
        analysis: Of it.
        removed: [S] a plan that one configuration describes.

    Returns:
        None where the model does not generate, or its configuration does not say it: encoder-decoders (two kinds of
        caches), layers of several kinds (convolutions, linear attention), and latent or shared caches.
    """
    if not model.can_generate() or model.config.is_encoder_decoder:
        return None
    fields = fields_of(model)
    found = {name: tuple(shape) for name, shape in shapes(analysis, removed).items() if name in fields.shapes}
    document, names = layers_of(fields, found)
    target = {names[name]: shape for name, shape in found.items()}
    solution = next(fields.solutions(document, target), None)
    if solution is None:
        return None
    config: Any = fields.config(solution).get_text_config(decoder=True)
    layers, heads = getattr(config, "num_hidden_layers", None), getattr(config, "num_attention_heads", None)
    width = getattr(config, "hidden_size", None)
    others = set(getattr(config, "layer_types", None) or ()) - CACHING
    if not (layers and heads and width) or others or any(getattr(config, name, None) for name in OTHERWISE):
        return None
    kept = getattr(config, "num_key_value_heads", None) or heads
    return 2 * layers * kept * (getattr(config, "head_dim", None) or width // heads)


def cached_by_heads(model: Any, analysis: Analysis, removed: Mask) -> tuple[int, int] | None:
    """The same for the original and for any plan, also one that no configuration describes: heads that stay count.

    Args:
        model: The original, of transformers.
        analysis: Of it.
        removed: [S] a plan.

    Returns:
        Numbers for each token, before and after; None where `cached_numbers` is, where heads of some layers cannot be
        removed, so that they are not known, and where dimensions of heads go.
    """
    whole = cached_numbers(model, analysis, analysis.empty())
    kinds = {one.kind for one in analysis.sets}
    holder = Kind.KV_GROUP if Kind.KV_GROUP in kinds else Kind.HEAD
    heads, gone = analysis.empty(), with_block_contents(analysis, removed)
    for one in analysis.sets:
        heads[one.structures] = one.kind is holder
        if one.kind is Kind.HEAD_DIM and removed[one.structures].any():
            return None
    total = int(heads.sum())
    if whole is None or not total or whole % (2 * total):  # keys and values of a head have as many numbers
        return None
    return whole, whole * int((heads & ~gone).sum()) // total

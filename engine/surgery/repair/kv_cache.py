"""The key/value cache of a decoder of transformers, counted from its configuration."""

from typing import Any

from ...structures.analysis import Analysis, Mask
from ..cut.cut import shapes
from .config_fields import ConfigFields
from .config_fit import layers_of

LATENT = "kv_lora_rank"
"""Field of models that cache something smaller in place of keys and values."""


def cached_numbers(model: Any, analysis: Analysis, removed: Mask) -> int | None:
    """Numbers that the cache holds for each token: keys and values of all layers, 2 L H D.

    L layers, H key/value heads of D channels, as `transformers.StaticCache` allocates them. Sliding windows bound the
    tokens, not this.

    Args:
        model: The original, of transformers.
        analysis: Of it.
        removed: [S] a plan that one configuration describes.

    Returns:
        None where the model does not generate, or its configuration does not say it.
    """
    if not model.can_generate():
        return None
    fields = ConfigFields(model)
    found = {name: tuple(shape) for name, shape in shapes(analysis, removed).items() if name in fields.shapes}
    document, names = layers_of(fields, found)
    target = {names[name]: shape for name, shape in found.items()}
    solution = next(fields.solutions(document, target), None)
    if solution is None:
        return None
    config: Any = fields.config(solution).get_text_config(decoder=True)
    layers, heads = getattr(config, "num_hidden_layers", None), getattr(config, "num_attention_heads", None)
    width = getattr(config, "hidden_size", None)
    if not (layers and heads and width) or hasattr(config, LATENT):
        return None
    kept = getattr(config, "num_key_value_heads", None) or heads
    return 2 * layers * kept * (getattr(config, "head_dim", None) or width // heads)

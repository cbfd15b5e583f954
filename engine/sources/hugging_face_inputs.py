"""Example inputs of a transformers model, made from its class and configuration."""

import inspect
import re
from importlib import import_module
from typing import Any, cast

import torch

from ..model_inputs import MASK

SAMPLES = 2
TOKENS, TARGETS = 16, 9
"""Tokens of a sample, and of what a decoder has said so far; fewer where a model takes fewer."""
SIGNAL = 16000
"""Samples of a second of speech."""
SPECIAL = re.compile(r"token_id$|token_index$")
SEED = 0


def example_inputs(kind: Any, config: Any) -> dict[str, Any]:
    """Inputs by name, two samples: the model's main input, and what must come beside it.

    Args:
        kind: The model's class.
        config: Its configuration.

    Returns:
        Inputs by name; {} where the configuration does not say what they look like.
    """
    taken = list(inspect.signature(kind.forward).parameters) if hasattr(kind, "forward") else []
    main = getattr(kind, "main_input_name", "input_ids")
    generator = torch.Generator().manual_seed(SEED)
    found: dict[str, Any] = {}
    text, vision = getattr(config, "text_config", None), getattr(config, "vision_config", None)
    if text is not None and vision is not None:
        found["input_ids"] = _with_images(_ids(text, TOKENS, generator), config)
        found["pixel_values"] = _pixels(vision, generator)
    elif main == "input_ids" and hasattr(config, "vocab_size"):
        found["input_ids"] = _ids(config, TOKENS, generator)
        if not config.is_encoder_decoder and not _is_causal(kind):
            found[MASK] = torch.ones_like(found["input_ids"])
    elif main == "pixel_values":
        found[main] = _pixels(config if vision is None else vision, generator)
    elif main == "input_values" and not hasattr(config, "num_mel_bins"):
        found[main] = torch.randn(SAMPLES, SIGNAL, generator=generator)
    elif main == "input_values":
        found[main] = torch.randn(SAMPLES, config.max_length, config.num_mel_bins, generator=generator)
    elif main == "input_features" and hasattr(config, "max_source_positions"):
        frames = 2 * config.max_source_positions
        found[main] = torch.randn(SAMPLES, config.num_mel_bins, frames, generator=generator)
    if not found:
        return {}
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in taken:
        found["decoder_input_ids"] = _ids(config, TARGETS, generator)
    if "use_cache" in taken:
        found["use_cache"] = False
    return {name: found[name] for name in taken if name in found}


def _is_causal(kind: Any) -> bool:
    """Whether a class is of a family of decoders, whose tokens look back only."""
    auto: Any = import_module("transformers.models.auto.modeling_auto")
    family = kind.config_class.model_type
    return family in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and family not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES


def _ids(config: Any, length: int, generator: torch.Generator) -> torch.Tensor:
    """[2, length] tokens that have no meaning of their own; the last one is the end of the text."""
    fields = cast("dict[str, Any]", vars(config))
    special = {v for name, v in fields.items() if SPECIAL.search(name) and isinstance(v, int)}
    most = getattr(config, "max_position_embeddings", None) or length
    plain = torch.tensor([v for v in range(min(config.vocab_size, 1000)) if v not in special] or [0])
    found = plain[torch.randint(len(plain), (SAMPLES, min(length, most)), generator=generator)]
    end = getattr(config, "eos_token_id", None)
    if isinstance(end, int) and 0 <= end < config.vocab_size:
        found[:, -1] = end
    return found


def _with_images(ids: torch.Tensor, config: Any) -> torch.Tensor:
    """As many image tokens before the text as the images have patches, where the text has places for them."""
    place = getattr(config, "image_token_id", None)
    if not isinstance(place, int):
        return ids
    vision = config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    return torch.cat([torch.full((SAMPLES, patches), place), ids], dim=1)


def _pixels(config: Any, generator: torch.Generator) -> torch.Tensor:
    side = getattr(config, "image_size", None) or 224
    height, width = (side, side) if isinstance(side, int) else side
    return torch.randn(SAMPLES, getattr(config, "num_channels", 3) or 3, height, width, generator=generator)

"""A cut Llama in the DeciLM form, where no configuration of Llama's own describes it: layers of different sizes.

`runtime/modeling_decilm.py` builds it; the file is saved with an export's weights.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...errors import Message
from ...tracing.tree import Inputs
from .config_fit import FittedModel, compare_models, fit_config

LAYER = re.compile(r"model\.layers\.(\d+)\.(.*)")
NATIVE_MULTIPLE = 256
"""Of feed-forward widths, to which those that read `ffn_mult` alone round up."""


def is_llama(model: Any) -> bool:
    """Whether a model is the library's Llama with a language head, whose layers the DeciLM form describes."""
    return f"{type(model).__module__}.{type(model).__name__}" == (
        "transformers.models.llama.modeling_llama.LlamaForCausalLM"
    )


def decilm_config(model: Any) -> Any:
    """The configuration with a section for each layer; None where these do not describe the model. Nothing is copied.

    Args:
        model: A live Llama, cut.
    """
    from ...runtime.modeling_decilm import DeciLMConfig, DeciLMForCausalLM  # brings transformers

    weights, head_dim = model.state_dict(), int(model.config.head_dim)
    layers = _layers(weights)
    if not layers:
        return None
    hidden = int(weights["model.embed_tokens.weight"].shape[1])
    sections: list[dict[str, Any]] = []
    for number in layers:
        layer = f"model.layers.{number}."
        query, key = (weights.get(f"{layer}self_attn.{name}.weight") for name in ("q_proj", "k_proj"))
        gate = weights.get(f"{layer}mlp.gate_proj.weight")
        attention: dict[str, Any] = {"no_op": query is None, "replace_with_linear": False, "n_heads_in_group": None}
        if query is not None and key is not None:
            heads, groups = len(query) // head_dim, len(key) // head_dim
            if not groups or heads % groups or len(query) % head_dim or len(key) % head_dim:
                return None  # its heads are no whole ones
            attention |= {"n_heads_in_group": heads // groups, "num_attention_heads": heads}
        ffn: dict[str, Any] = {"no_op": gate is None, "replace_with_linear": False, "ffn_mult": None}
        if gate is not None:
            ffn |= {"intermediate_size": len(gate), "ffn_mult": 1.5 * len(gate) / hidden}
        sections.append({"attention": attention, "ffn": ffn})
    # Sizes of the configuration as a whole, for code that knows no sections: the largest of all layers.
    present = [one["attention"] for one in sections if not one["attention"]["no_op"]]
    widths = [one["ffn"]["intermediate_size"] for one in sections if not one["ffn"]["no_op"]]
    groups = [one["num_attention_heads"] // one["n_heads_in_group"] for one in present]
    most = max((one["num_attention_heads"] for one in present), default=model.config.num_attention_heads)
    document = model.config.to_dict() | {
        "hidden_size": hidden,
        "head_dim": head_dim,
        "num_hidden_layers": len(layers),
        "num_attention_heads": most,
        "num_key_value_heads": max(
            (one["num_attention_heads"] // one["n_heads_in_group"] for one in present), default=most
        ),
        "intermediate_size": max(widths, default=model.config.intermediate_size),
    }
    for name in ("architectures", "model_type", "auto_map"):
        document.pop(name, None)
    config = DeciLMConfig(block_configs=sections, **document)
    config._attn_implementation = model.config._attn_implementation  # pyright: ignore[reportPrivateUsage]
    config.dtype, config.architectures = model.config.dtype, [DeciLMForCausalLM.__name__]
    with torch.device("meta"):
        target = DeciLMForCausalLM(config).state_dict()
    kept = {name: one for name, one in _renumber_layers(weights, layers).items() if name in target}
    same = {name: one.shape for name, one in kept.items()} == {name: one.shape for name, one in target.items()}
    return config if same else None


def in_decilm_form(model: Any, inputs: Inputs) -> FittedModel | None:
    """The same model with a section for each layer in its configuration; None where these do not describe it.

    Args:
        model: A live Llama, cut; it is left as it is.
        inputs: Example inputs, on which both are compared.
    """
    from ...runtime.modeling_decilm import DeciLMForCausalLM  # brings transformers

    if (config := decilm_config(model)) is None:
        return None
    with torch.random.fork_rng(devices=[]):
        made: Any = DeciLMForCausalLM(config)
    weights, target = model.state_dict(), made.state_dict()
    kept = {name: one for name, one in _renumber_layers(weights, _layers(weights)).items() if name in target}
    for name, one in (*made.named_parameters(), *made.named_buffers()):
        one.data = one.data.to(kept[name].dtype if name in kept else one.dtype)
    made.load_state_dict(kept, strict=True)
    made.generation_config = model.generation_config
    found = compare_models(model, made.eval(), inputs)
    return found if found.equal else None


def fitted_or_decilm(model: Any, inputs: Inputs) -> FittedModel | Message:
    """`fit_config`, or else, of a Llama whose layers have different sizes, the DeciLM form; why neither describes it.

    Args:
        model: A live model of transformers, cut or not; it is left as it is.
        inputs: Example inputs, on which both are compared.
    """
    found = fit_config(model, inputs)
    if not isinstance(found, FittedModel) and is_llama(model):
        return in_decilm_form(model, inputs) or found
    return found


def read_elsewhere(config: Any) -> bool:
    """Whether programs that read DeciLM's own fields alone build the same sizes: equal heads, widths of whole 256s."""
    attention = [one["attention"] for one in config.block_configs if not one["attention"]["no_op"]]
    widths = [one["ffn"]["intermediate_size"] for one in config.block_configs if not one["ffn"]["no_op"]]
    heads = {one["num_attention_heads"] for one in attention}
    return heads <= {config.num_attention_heads} and not any(width % NATIVE_MULTIPLE for width in widths)


def written_as(config: Any) -> Message:
    """What a folder in this form is, in words."""
    if read_elsewhere(config):
        template = (
            "No configuration of a Llama has these sizes, so the folder is in the DeciLM form: trust_remote_code loads "
            "it. Programs that know DeciLM read it themselves."
        )
        return Message("export.deci", template)
    template = (
        "No configuration of a Llama has these sizes, so the folder is in the DeciLM form: trust_remote_code loads it. "
        "Programs that know DeciLM need equal query heads and feed-forward widths in multiples of {multiple}."
    )
    return Message("export.deci_sizes", template, {"multiple": NATIVE_MULTIPLE})


def _layers(weights: Mapping[str, Tensor]) -> list[int]:
    """Numbers of the layers that are left."""
    return sorted({int(found[1]) for name in weights if (found := LAYER.match(name))})


def _renumber_layers(weights: Mapping[str, Tensor], layers: list[int]) -> dict[str, Tensor]:
    """The weights with the layers that are left numbered anew."""
    found = {name: LAYER.match(name) for name in weights}
    return {
        name if layer is None else f"model.layers.{layers.index(int(layer[1]))}.{layer[2]}": weights[name]
        for name, layer in found.items()
    }

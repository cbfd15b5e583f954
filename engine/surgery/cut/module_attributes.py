"""Sizes stored in torch's own modules (`in_channels` ...), computed from the weights after a cut."""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

from torch import nn

from ...structures.rules.recurrent import GATES


def module_attributes(module: nn.Module, groups: int | None) -> dict[str, Any]:
    """The attributes that a module of torch should have for the tensors that it has now.

    Args:
        module: Any module.
        groups: New number of groups, of a convolution or a norm, where the analysis knows one.
    """
    rule = _rule_of(type(module))
    return {} if rule is None else rule(module, groups)


@cache
def _rule_of(kind: type[nn.Module]) -> Callable[[Any, int | None], dict[str, Any]] | None:
    return next((rule for base, rule in RULES if issubclass(kind, base)), None)


def _sizes(*names: str) -> Callable[[Any, int | None], dict[str, Any]]:
    """A rule for a layer that remembers the sizes of its weight under these names."""
    return lambda module, _groups: dict(zip(names, module.weight.shape, strict=False))


def _convolution(module: Any, groups: int | None) -> dict[str, Any]:
    groups = int(module.groups) if groups is None else groups
    first, second = int(module.weight.shape[0]), int(module.weight.shape[1])
    out, into = (second * groups, first) if module.transposed else (first, second * groups)
    return {"out_channels": out, "in_channels": into, "groups": groups}


def _batch_norm(module: Any, _groups: int | None) -> dict[str, Any]:
    tensor = module.weight if module.weight is not None else module.running_mean
    return {} if tensor is None else {"num_features": tensor.shape[0]}


def _layer_norm(module: Any, _groups: int | None) -> dict[str, Any]:
    return {} if module.weight is None else {"normalized_shape": tuple(module.weight.shape)}


def _group_norm(module: Any, groups: int | None) -> dict[str, Any]:
    channels = {} if module.weight is None else {"num_channels": module.weight.shape[0]}
    return channels if groups is None else {**channels, "num_groups": groups}


def _recurrent(module: Any, _groups: int | None) -> dict[str, Any]:
    """All layers have one hidden size; where the results are projected, the recurrent weight reads those."""
    rows, reads = module.weight_hh_l0.shape
    sizes = {"input_size": module.weight_ih_l0.shape[1], "hidden_size": rows // GATES.get(module.mode, 1)}
    return {**sizes, **({"proj_size": reads} if module.proj_size else {})}


def _attention(module: Any, _groups: int | None) -> dict[str, Any]:
    width = int((module.q_proj_weight if module.in_proj_weight is None else module.in_proj_weight).shape[1])
    return {"embed_dim": width, **({"kdim": width, "vdim": width} if module.in_proj_weight is not None else {})}


def has_usual_sizes(module: nn.MultiheadAttention, heads: int) -> bool:
    """Heads times head dimensions are still the width of the queries, as torch's own forward takes for granted.

    Args:
        module: With the tensors that it has now; `head_dim` still as it was.
        heads: How many it has now.
    """
    width = heads * cast("int", module.head_dim)
    packed = cast("Any", module.in_proj_weight) is not None
    inner = [module.in_proj_weight.shape[0] / 3 if packed else module.q_proj_weight.shape[0]]
    inner += [] if packed else [module.k_proj_weight.shape[0], module.v_proj_weight.shape[0]]
    reads = module.in_proj_weight if packed else module.q_proj_weight
    return {*inner, reads.shape[1], module.out_proj.weight.shape[1]} == {width}


RULES: tuple[tuple[Any, Callable[[Any, int | None], dict[str, Any]]], ...] = (
    (nn.Linear, _sizes("out_features", "in_features")),
    (nn.modules.conv._ConvNd, _convolution),  # pyright: ignore[reportPrivateUsage] - the common class of six
    (nn.modules.batchnorm._NormBase, _batch_norm),  # pyright: ignore[reportPrivateUsage]
    (nn.GroupNorm, _group_norm),
    ((nn.LayerNorm, nn.RMSNorm), _layer_norm),
    ((nn.Embedding, nn.EmbeddingBag), _sizes("num_embeddings", "embedding_dim")),
    (nn.Bilinear, _sizes("out_features", "in1_features", "in2_features")),
    (nn.ChannelShuffle, lambda module, groups: {"groups": module.groups if groups is None else groups}),
    (nn.RNNBase, _recurrent),
    (
        nn.RNNCellBase,
        lambda module, _: {"input_size": module.weight_ih.shape[1], "hidden_size": module.weight_hh.shape[1]},
    ),
    (nn.MultiheadAttention, _attention),
)

"""Formulas of operators that `torch.utils.flop_counter` does not count: two flops a multiply-accumulate, as there."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch


def _grouped(rows: torch.Tensor, stack: torch.Tensor, *_: Any, **__: Any) -> int:
    """Each row [k] meets the one [k, n] of its expert."""
    return 2 * rows.numel() * stack.shape[-1] if rows.dim() == 2 and stack.dim() == 3 else 0


def _recurrent(steps: torch.Tensor, inner: torch.Tensor, recurrent: torch.Tensor, *_: Any, **__: Any) -> int:
    """One layer, one direction: T steps of N samples [T, N, I] by [4 H, I], states by [4 H, H]: T N 4 H (I + H)."""
    return 2 * prod(steps.shape[:-1]) * (inner.numel() + recurrent.numel())


def _deformed(_input: torch.Tensor, weight: torch.Tensor, *_: Any, out_val: torch.Tensor, **__: Any) -> int:
    """As a convolution: N H W places of the result by [O, C / groups, kernel]; the moving of samples not counted."""
    return 2 * out_val.shape[0] * prod(out_val.shape[2:]) * weight.numel()


def _trilinear(
    i1: torch.Tensor, i2: torch.Tensor, i3: torch.Tensor, expand1: list[int], expand2: list[int], expand3: list[int],
    *_: Any, **__: Any,
) -> int:  # fmt: skip
    """One product of three a combination of indices; of `nn.Bilinear` N O I J, each weight met once a row."""
    shapes: list[list[int]] = []
    for tensor, absent in ((i1, expand1), (i2, expand2), (i3, expand3)):
        shape = list(tensor.shape)
        for axis in sorted(absent):
            shape.insert(axis, 1)
        shapes.append(shape)
    return 2 * prod(max(sizes) for sizes in zip(*shapes, strict=True))


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> int:
    """[N, H, L, E] by [N, G, S, E] and the result by [N, G, S, F]: N H L S (E + F)."""
    return 2 * prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


FORMULAS: dict[str, Callable[..., int]] = {
    "aten._grouped_mm": _grouped,
    "aten.mkldnn_rnn_layer": _recurrent,
    "aten._trilinear": _trilinear,
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten._scaled_dot_product_fused_attention_overrideable": _attention,
    "torchvision.deform_conv2d": _deformed,
}
"""Operator ("aten.mm") to its formula, which is given the operator's arguments and its result as `out_val`."""

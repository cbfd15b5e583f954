"""What layers give for tensors without values (`shape_rules.py`): convolutions, pools, norms, products, reductions."""

from collections.abc import Sequence
from typing import Any

import torch

from .strides import alike, empty


def convolution(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: list[int], padding: list[int],
    dilation: list[int], transposed: bool, _output_padding: list[int], groups: int,
) -> torch.Tensor | None:  # fmt: skip
    """[N, C, ...] -> [N, O, ...]; torch's kernel gives a contiguous result whatever the input's strides are."""
    given, kernel = x.shape, weight.shape
    space = len(given) - 2
    fits = (
        not transposed and space > 0 and len(kernel) == len(given) and given[1] == kernel[1] * groups
        and kernel[0] % groups == 0 and (bias is None or bias.shape == kernel[:1])
        and len(stride) == len(padding) == len(dilation) == space
        and (bias is None or bias.dtype == x.dtype) and weight.dtype == x.dtype
    )  # fmt: skip
    if not fits:
        return None
    sizes = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(given[2:], kernel[2:], stride, padding, dilation, strict=True)
    ]
    return empty(x, (given[0], kernel[0], *sizes)) if min(sizes) > 0 else None


def _pooled(
    x: torch.Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
    ceil: bool,
) -> torch.Tensor | None:  # fmt: skip
    """[N, C, H, W] -> [N, C, H', W']; a window that begins behind the end does not count."""
    two = [list(v) * 2 if len(v) == 1 else v for v in (kernel, stride or kernel, padding, dilation)]
    if x.dim() != 4 or not x.is_contiguous() or any(len(v) != 2 for v in two):
        return None
    sizes: list[int] = []
    for n, k, s, p, d in zip(x.shape[2:], *two, strict=True):
        reach = d * (k - 1) + 1
        size = (n + 2 * p - reach + (s - 1 if ceil else 0)) // s + 1
        sizes.append(size - 1 if ceil and (size - 1) * s >= n + p else size)
        if p > reach // 2 or sizes[-1] < 1:
            return None
    return empty(x, (*x.shape[:2], *sizes))


def max_pool(
    x: torch.Tensor, kernel: list[int], stride: Any = (), padding: Any = (0,), dilation: Any = (1,), ceil: bool = False
) -> Any:
    """(largest values, where they were)."""
    made = _pooled(x, kernel, stride, padding, dilation, ceil)
    return None if made is None else (made, torch.empty(made.shape, dtype=torch.int64, device="meta"))


def avg_pool(
    x: torch.Tensor, kernel: list[int], stride: Any = (), padding: Any = (0,), ceil: bool = False, *_: Any
) -> torch.Tensor | None:
    """Means of windows."""
    return _pooled(x, kernel, stride, padding, (1,), ceil)


def reduced(x: torch.Tensor, dim: list[int] | None = None, keepdim: bool = False, **kwargs: Any) -> torch.Tensor | None:
    """Sum or mean over the dimensions `dim`."""
    if not dim or kwargs or not x.is_floating_point():
        return None
    axes = {d % x.dim() for d in dim} if all(-x.dim() <= d < x.dim() for d in dim) else set[int]()
    if len(axes) != len(dim):
        return None
    return empty(x, [1 if n in axes else s for n, s in enumerate(x.shape) if keepdim or n not in axes])


def norm(x: torch.Tensor, _order: float = 2, *args: Any, **kwargs: Any) -> torch.Tensor | None:
    """Vector norm over some dimensions."""
    return reduced(x, *args, **kwargs)


def batch_norm(x: torch.Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, *_: Any) -> Any:
    """(result, mean and deviation of the batch, which are empty where stored ones are used)."""
    channels = x.shape[1:2]
    if not channels or any(t is not None and t.shape != channels for t in (weight, bias, mean, var)):
        return None
    kept = channels if training else (0,)
    return alike(x), empty(x, kept), empty(x, kept)


def layer_norm(x: torch.Tensor, shape: list[int], weight: Any, bias: Any, _eps: float) -> Any:
    """(result, mean, deviation) over the last dimensions."""
    rank = len(shape)
    sizes = torch.Size(shape)
    if x.shape[-rank:] != sizes or any(t is not None and t.shape != sizes for t in (weight, bias)):
        return None
    stats = (*x.shape[:-rank], *[1] * rank)
    return empty(x, x.shape), empty(x, stats), empty(x, stats)


def mm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor | None:
    """[N, K] @ [K, M]."""
    fits = a.dim() == b.dim() == 2 and a.shape[1] == b.shape[0] and a.dtype == b.dtype
    return empty(a, (a.shape[0], b.shape[1])) if fits else None


def bmm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor | None:
    """[B, N, K] @ [B, K, M]."""
    fits = a.dim() == b.dim() == 3 and a.shape[0] == b.shape[0] and a.shape[2] == b.shape[1] and a.dtype == b.dtype
    return empty(a, (*a.shape[:2], b.shape[2])) if fits else None


def addmm(bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, **_: Any) -> torch.Tensor | None:
    """[M] + [N, K] @ [K, M]."""
    return mm(a, b) if bias.shape == b.shape[1:] and bias.dtype == a.dtype else None

"""Finds weights that are NaN or infinite when they are loaded. Loads torch."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

SHOWN = 3
"""Tensors that are named."""


def no_numbers(model: nn.Module) -> str:
    """Which weights of a model are NaN or infinite, in words; "" where all are numbers.

    Of buffers NaN alone counts: masks of attention hold infinities.
    """
    found = list(_found(model))
    more = [f"{len(found) - SHOWN} more tensors"] if len(found) > SHOWN else []
    return ", ".join([*found[:SHOWN], *more])


def _found(model: nn.Module) -> Iterator[str]:
    named = [(name, one, False) for name, one in model.named_parameters()]
    named += [(name, one, True) for name, one in model.named_buffers()]
    for name, tensor, infinite in named:
        if tensor.is_floating_point() and tensor.numel() and not tensor.is_meta:
            values = tensor.detach()
            values = values if values.element_size() > 1 else values.float()
            ends = torch.stack(values.aminmax())  # one pass and no copy; NaN is passed on
            if bool(ends.isnan().any() if infinite else ~ends.isfinite().all()):
                yield f"{name} ({_counted(values, infinite)} of {tensor.numel():,})"


def _counted(values: Tensor, infinite: bool) -> str:
    nan, rest = int(values.isnan().sum()), 0 if infinite else int(values.isinf().sum())
    return " and ".join(f"{count:,} {word}" for count, word in ((nan, "NaN"), (rest, "infinite")) if count)

"""Finds weights that are NaN or infinite when they are loaded. Loads torch."""

import torch
from torch import nn

SHOWN = 3
"""Tensors that are named."""


def no_numbers(model: nn.Module) -> str:
    """Which weights of a model are NaN or infinite, in words; "" where all are numbers.

    Of buffers NaN alone counts: masks of attention hold infinities.
    """
    found: list[str] = []
    named = [(name, one, False) for name, one in model.named_parameters()]
    named += [(name, one, True) for name, one in model.named_buffers()]
    for name, tensor, infinite in named:
        if not tensor.is_floating_point() or not tensor.numel() or tensor.is_meta:
            continue
        values = tensor.detach()
        values = values if values.element_size() > 1 else values.float()
        ends = torch.stack(values.aminmax())  # one pass and no copy; NaN is passed on
        if bool(ends.isnan().any() if infinite else ~ends.isfinite().all()):
            counts = [(int(values.isnan().sum()), "NaN"), (0 if infinite else int(values.isinf().sum()), "infinite")]
            words = " and ".join(f"{count:,} {word}" for count, word in counts if count)
            found.append(f"{name} ({words} of {tensor.numel():,})")
    more = [f"{len(found) - SHOWN} more tensors"] if len(found) > SHOWN else []
    return ", ".join([*found[:SHOWN], *more])

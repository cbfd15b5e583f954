"""Other weights for a verification, on which shows what trained ones hide: a layer scale near zero, a norm of zeros."""

import torch
from torch import nn

ANEW, NEAR, NEARER = "anew", "near", "nearer"
LEVELS = (ANEW, NEAR, NEARER)
"""From what shows most to what every model survives: drawn afresh, its own by half, its own by a twentieth."""


def randomise(model: nn.Module, level: str) -> None:
    """Change every parameter and every floating buffer, in place.

    Args:
        model: A private copy.
        level: One of `LEVELS`.
    """
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.named_parameters():
        if tensor.is_floating_point() or tensor.is_complex():
            draw = _fresh(name, tensor, generator) if level == ANEW else _near(tensor, level, generator)
            tensor.data = draw.to(tensor.device, tensor.dtype)
    for name, tensor in model.named_buffers():
        if tensor.is_floating_point():
            # What a buffer holds (a variance, a frequency) keeps its sign; a mean of zeros becomes one that counts.
            factor = 1.0 + _reach(level) * _uniform(tensor, -1.0, 1.0, generator)
            draw = tensor.data.cpu() * factor  # sparse where the buffer is
            draw = draw + factor - 1.0 if name.endswith("running_mean") else draw
            tensor.data = draw.to(tensor.device, tensor.dtype)


def _reach(level: str) -> float:
    return 0.05 if level == NEARER else 0.5


def _fresh(name: str, tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """By its shape alone: scales around one, shifts around zero, tables below one half, products with gain."""
    if tensor.dim() == 1 and name.endswith("weight"):
        return _uniform(tensor, 0.5, 1.5, generator)
    if tensor.dim() <= 1:
        return _uniform(tensor, -0.3, 0.3, generator)
    if tensor.shape[0] == 1:  # a table of positions or a token
        return _uniform(tensor, -0.5, 0.5, generator)
    fan_in = max(1, tensor.numel() // max(1, len(tensor)))
    spread = min(1.0, (6.0 / fan_in) ** 0.5)  # variance 2 / fan-in (He et al. 2015)
    return _uniform(tensor, -spread, spread, generator)


def _near(tensor: torch.Tensor, level: str, generator: torch.Generator) -> torch.Tensor:
    """Of the same sign and size; what is all zeros becomes small."""
    reach, own = _reach(level), tensor.data.cpu()
    if not own.abs().any():
        return _uniform(tensor, -0.1 * reach, 0.1 * reach, generator)
    return own * (1.0 + reach * _uniform(tensor, -1.0, 1.0, generator))


def _uniform(like: torch.Tensor, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """On the CPU, so that the numbers are the same for every device."""
    return low + (high - low) * torch.rand(like.shape, generator=generator, dtype=like.dtype)

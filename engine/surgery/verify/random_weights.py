"""Random weights for a verification: they show what trained ones hide, such as a layer scale near zero.

Each number follows from the weight's name and its place alone, so that any part of a weight can be made without the
others, and again. The numbers come from one table, which is read round and round.
"""

import zlib
from functools import cache

import torch
from torch.utils._python_dispatch import _disable_current_modes  # pyright: ignore[reportPrivateUsage]

ANEW, NEAR, NEARER = "anew", "near", "nearer"
LEVELS = (ANEW, NEAR, NEARER)
"""From what shows most to what every model survives: drawn afresh, its own by half, its own by a twentieth."""
LENGTH = 1_000_003
"""Numbers of the table. It is prime, so that no two rows of a matrix begin at the same place before it is used up."""


def randomise(name: str, tensor: torch.Tensor, level: str, parameter: bool) -> torch.Tensor:
    """Another weight of the same shape, type and device.

    Args:
        name: Of the weight; says which numbers it gets.
        tensor: Its own values; not changed.
        level: One of `LEVELS`.
        parameter: It is one; what a buffer holds (a variance, a frequency) keeps its sign.
    """
    limits = _range(name, tensor.shape)
    if tensor.is_complex():
        return torch.view_as_complex(_draw(name, torch.view_as_real(tensor), level, parameter, limits))
    return _draw(name, tensor, level, parameter, limits)


def fresh_rows(
    name: str, tensor: torch.Tensor, rows: torch.Tensor, level: str, dtype: torch.dtype
) -> torch.Tensor | None:
    """Rows [R, ...] of a parameter that is drawn afresh, without the others; None where they depend on its values.

    Args:
        name: Of the parameter [N, ...].
        tensor: Its own values.
        rows: [R] which rows.
        level: One of `LEVELS`.
        dtype: Floating type of the result.
    """
    if level != ANEW or tensor.is_complex() or tensor.dim() < 2:
        return None
    width = tensor.numel() // max(1, tensor.shape[0])
    places = (rows.cpu().unsqueeze(1) * width + torch.arange(width) + _start(name)) % LENGTH
    low, high = _range(name, tensor.shape)
    drawn = _table(dtype)[places].mul_((high - low) / 2).add_((high + low) / 2)
    return drawn.reshape(len(rows), *tensor.shape[1:]).to(tensor.device)


def _draw(name: str, tensor: torch.Tensor, level: str, parameter: bool, limits: tuple[float, float]) -> torch.Tensor:
    if parameter and level == ANEW:
        return uniform(name, tensor, *limits)
    reach = 0.05 if level == NEARER else 0.5
    if not parameter:  # a mean of zeros becomes one that counts
        change = uniform(name, tensor, -reach, reach)
        own = tensor * (1.0 + change)
        return own + change if name.endswith("running_mean") else own
    if not tensor.any():
        return uniform(name, tensor, -0.1 * reach, 0.1 * reach)
    return uniform(name, tensor, 1.0 - reach, 1.0 + reach).mul_(tensor)


def _range(name: str, shape: torch.Size) -> tuple[float, float]:
    """By its shape alone: scales around one, shifts around zero, tables below one half, products with gain."""
    if len(shape) == 1 and name.endswith("weight"):
        return 0.5, 1.5
    if len(shape) <= 1:
        return -0.3, 0.3
    if shape[0] == 1:  # a table of positions or a token
        return -0.5, 0.5
    fan_in = max(1, shape.numel() // max(1, shape[0]))
    spread = min(1.0, (6.0 / fan_in) ** 0.5)  # variance 2 / fan-in (He et al. 2015)
    return -spread, spread


def uniform(name: str, like: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Numbers between two others, of a tensor's shape, type and device, which follow from a name.

    They are read from the table on the CPU, so that they are the same for every device.
    """
    table, count, start = _table(like.dtype), like.numel(), _start(name)
    flat = torch.empty(count, dtype=like.dtype)
    done = 0
    while done < count:
        piece = min(count - done, LENGTH - start)
        torch.mul(table[start : start + piece], (high - low) / 2, out=flat[done : done + piece])
        done, start = done + piece, 0
    flat = flat if low == -high else flat.add_((high + low) / 2)
    return flat.reshape(like.shape).to(like.device)


def _start(name: str) -> int:
    return zlib.crc32(name.encode()) % LENGTH


@cache
def _table(dtype: torch.dtype) -> torch.Tensor:
    """[LENGTH] numbers between -1 and 1, the same in every type but for their rounding.

    What is kept must not be made by the dispatch mode that first asks for it, such as one of fake tensors.
    """
    with _disable_current_modes():
        generator = torch.Generator().manual_seed(0)
        drawn = torch.rand(LENGTH, generator=generator, dtype=torch.float64, device="cpu")
        return (2 * drawn - 1).to(dtype)

"""Other inputs for a verification: other batch and input sizes, scales and precisions."""

from collections.abc import Callable, Iterator

import torch
from torch.utils._pytree import tree_map_only

from ...inference.model_inputs import Inputs, batch_size
from ...tracing.tree import tensors_of

COMPLEX = {torch.float64: torch.complex128, torch.float32: torch.complex64, torch.bfloat16: torch.complex64}
"""The complex type of a floating one, or the nearest."""


def is_continuous(tensor: torch.Tensor) -> bool:
    """Its numbers are floating or complex."""
    return tensor.is_floating_point() or tensor.is_complex()


def cast_inputs(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    """Inputs in another floating type."""
    return tree_map_only(torch.Tensor, lambda t: as_type(t, dtype), inputs)


def type_in(dtype: torch.dtype, tensor: torch.Tensor) -> torch.dtype:
    """The type of a tensor in a run in a floating type: complex stays complex, and whole numbers as they are."""
    return COMPLEX[dtype] if tensor.is_complex() else dtype if tensor.is_floating_point() else tensor.dtype


def as_type(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A tensor as a run in a floating type has it."""
    return tensor.to(type_in(dtype, tensor))


def with_batch(inputs: Inputs, count: int) -> Inputs:
    """Inputs of `count` samples: fresh noise for the largest of them, the others are repeated.

    Those may be places, sizes or masks, which noise would make meaningless.
    """
    generator = torch.Generator().manual_seed(2)
    given, main = batch_size(inputs), _largest(inputs)

    def resize(one: torch.Tensor) -> torch.Tensor:
        if not one.dim():
            return one
        shape = [count if one.shape[0] == given else one.shape[0], *one.shape[1:]]
        if one is main:
            return noise_like(one, shape, generator)
        return one.index_select(0, torch.arange(shape[0], device=one.device) % one.shape[0])

    return tree_map_only(torch.Tensor, resize, inputs)


def rescale(inputs: Inputs, factor: float) -> Inputs:
    """Inputs of which the largest one with floating numbers is multiplied."""
    main = _largest(inputs)
    return tree_map_only(torch.Tensor, lambda t: t * factor if t is main else t, inputs)


def _largest(inputs: Inputs) -> torch.Tensor | None:
    floating = [t for t in tensors_of(inputs) if t.is_floating_point()]
    return max(floating, key=torch.Tensor.numel, default=None)


def other_sizes(inputs: Inputs) -> Iterator[Inputs]:
    """Inputs that are smaller in space where there is space, or shorter sequences: the smallest first.

    A model may not run on the smallest ones; one that runs at any size most likely runs on the last.
    """
    tensors = tensors_of(inputs)
    if any(t.is_floating_point() and t.dim() >= 4 for t in tensors):
        sides = [s for t in tensors if t.is_floating_point() and t.dim() >= 4 for s in t.shape[2:]]
        for side in (64, 128):
            if max(sides) >= 2 * side:
                yield _in_space(inputs, lambda s, side=side: min(s, side) if s >= side else s)
        if max(sides) >= 16:
            yield _in_space(inputs, lambda s: max(1, round(s * 0.75 / 8) * 8 if s >= 16 else s))
        return
    lengths = {t.shape[1] for t in tensors if t.dim() >= 2}
    if len(lengths) != 1 or (length := lengths.pop()) < 4:
        return
    for kept in (16, length - max(1, length // 4)):
        if kept < length and (kept != 16 or length >= 32):
            yield tree_map_only(
                torch.Tensor, lambda t, kept=kept: t[:, :kept].contiguous() if t.dim() >= 2 else t, inputs
            )


def _in_space(inputs: Inputs, size: Callable[[int], int]) -> Inputs:
    generator = torch.Generator().manual_seed(2)

    def resize(one: torch.Tensor) -> torch.Tensor:
        if not one.is_floating_point() or one.dim() < 4:
            return one
        return noise_like(one, [*one.shape[:2], *map(size, one.shape[2:])], generator)

    return tree_map_only(torch.Tensor, resize, inputs)


def noise_like(example: torch.Tensor, shape: list[int], generator: torch.Generator) -> torch.Tensor:
    """Noise with the mean, the spread and within the range of an example: a model of images from 0 to 1 refuses more.

    Args:
        example: A floating tensor.
        shape: Of the noise.
        generator: Draws it, on the CPU.
    """
    drawn = torch.randn(shape, generator=generator, dtype=example.dtype).to(example.device)
    known = example.detach().nan_to_num(0.0, 0.0, 0.0)
    if known.numel() < 2:
        return drawn
    low, high = known.aminmax()
    scaled = (drawn * known.std() + known.mean()).clamp(low, high)
    return torch.where(low == high, drawn, scaled)  # an example of zeros says nothing of the range


def perturb(inputs: Inputs, share: float) -> Inputs:
    """Inputs of which every floating number is larger by up to a share of itself."""
    generator = torch.Generator().manual_seed(3)

    def larger(one: torch.Tensor) -> torch.Tensor:
        if not one.is_floating_point():
            return one
        noise = torch.rand(one.shape, generator=generator, dtype=one.dtype)
        return one * (1 + share * noise.to(one.device))

    return tree_map_only(torch.Tensor, larger, inputs)

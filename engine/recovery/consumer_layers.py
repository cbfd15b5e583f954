"""Finds the layers of a cut model that lost inputs, and their inputs in the original. Loads torch."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..model_inputs import rows_of
from ..structures.transition import KeptIndices
from ..tracing.tree import modules_of

ALIKE = 1e-5
"""Relative difference below which a weight counts as a slice of the original's."""


@dataclass(frozen=True, slots=True)
class ConsumerLayer:
    """A linear layer or convolution that lost some of its inputs.

    n inputs of the original's layer (channels times places in the kernel), m of them left, r outputs left.

    Attributes:
        path: Where it stands in both models.
        teacher: The original's.
        student: The cut one.
        left: [m] inputs that are left.
        gone: [n - m] inputs that are not.
        rows: [r] outputs that are left.
        factor: [r] what a repair of the cut multiplied each output with.
    """

    path: str
    teacher: nn.Module
    student: nn.Module
    left: Tensor
    gone: Tensor
    rows: Tensor
    factor: Tensor

    @property
    def inputs(self) -> int:
        """N."""
        return len(self.left) + len(self.gone)


def consumer_layers(student: nn.Module, teacher: nn.Module, kept: KeptIndices) -> Iterator[ConsumerLayer]:
    """Layers whose weight is the original's without some inputs.

    Left out are layers that share their weight, grouped convolutions, and layers that were trained since the cut:
    their weight is no slice any more.
    """
    names = {id(p): name for name, p in reversed([*teacher.named_parameters(remove_duplicate=False)])}
    modules, whole = modules_of(student), modules_of(teacher)
    users = Counter(id(getattr(m, "weight", None)) for m in whole.values())
    for path, module in whole.items():
        weight = getattr(module, "weight", None)
        if not _is_plain(module) or users[id(weight)] > 1 or path not in modules:
            continue
        dims = kept.get(names.get(id(weight), "")) or ()
        own = modules[path]
        if len(dims) > 1 and dims[1] is not None and isinstance(getattr(own, "weight", None), Tensor):
            layer = _layer(path, module, own, dims[0], dims[1])
            if layer is not None:
                yield layer


def drawn_columns(
    module: nn.Module, given: Tensor, share: int, random: torch.Generator, present: Tensor | None = None
) -> Tensor:
    """[about share, n]: rows of `columns_of` drawn at random; of convolutions sample by sample, to spare memory.

    Of a linear layer that reads a row a token, only tokens that count, where `present` [N, T] says which do.
    """
    if isinstance(module, nn.Linear):
        rows, flags = columns_of(module, given), None
        if present is not None and given.ndim == 3:
            flags = rows_of(present, tuple(given.shape[:2]))
        return _some(rows if flags is None else rows[flags], share, random)
    samples = cast("Sequence[Tensor]", given.split(1)) if given.ndim == cast("Tensor", module.weight).ndim else [given]
    return torch.cat([_some(columns_of(module, one), -(-share // len(samples)), random) for one in samples])


def _some(rows: Tensor, count: int, random: torch.Generator) -> Tensor:
    if len(rows) <= count:
        return rows
    return rows[torch.randperm(len(rows), generator=random)[:count].to(rows.device)]


def columns_of(module: nn.Module, given: Tensor) -> Tensor:
    """[*, n]: what each output of a layer is a sum over, one row a place and sample."""
    if isinstance(module, nn.Linear):
        return given.reshape(-1, given.shape[-1])
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    around: list[int] = module._reversed_padding_repeated_twice  # pyright: ignore[reportPrivateUsage]
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    space = 1 if isinstance(module, nn.Conv1d) else 2
    given = given if given.ndim == space + 2 else given[None]
    given = F.pad(given, around, mode)
    if space == 1:
        kernel, dilation, stride = ((1, int(v[0])) for v in (module.kernel_size, module.dilation, module.stride))
        found = F.unfold(given[:, :, None], kernel, dilation, 0, stride)
    else:
        kernel, dilation, stride = ((int(v[0]), int(v[1])) for v in _pairs(module))
        found = F.unfold(given, kernel, dilation, 0, stride)
    return found.transpose(1, 2).reshape(-1, found.shape[1])


def _pairs(module: Any) -> tuple[Any, Any, Any]:
    return module.kernel_size, module.dilation, module.stride


def _is_plain(module: nn.Module) -> bool:
    """The forward is that of torch, on one group of channels."""
    return type(module) is nn.Linear or (type(module) in (nn.Conv1d, nn.Conv2d) and getattr(module, "groups", 0) == 1)


def _layer(
    path: str, teacher: Any, student: Any, rows: NDArray[np.int64] | None, columns: NDArray[np.int64]
) -> ConsumerLayer | None:
    weight: Tensor = teacher.weight.detach()
    each = weight[0, 0].numel()  # places in the kernel
    stay = torch.zeros(weight.shape[1], dtype=torch.bool)
    stay[torch.from_numpy(columns)] = True
    inputs = stay.repeat_interleave(each)
    chosen = torch.arange(len(weight)) if rows is None else torch.from_numpy(rows)
    left, gone = (torch.nonzero(one).flatten() for one in (inputs, ~inputs))
    factor = _factor(student.weight.detach(), weight.flatten(1).cpu()[chosen][:, left])
    return None if factor is None else ConsumerLayer(path, teacher, student, left, gone, chosen, factor)


def _factor(own: Tensor, sliced: Tensor) -> Tensor | None:
    """[r] the number with which each row of the slice was multiplied, None where it is not that."""
    own = own.flatten(1).to(sliced)
    if own.shape != sliced.shape:
        return None
    size = sliced.square().sum(1)
    factor = torch.where(size > 0, (own * sliced).sum(1) / size.clamp_min(1e-30), torch.ones_like(size))
    if bool((own - factor[:, None] * sliced).abs().max() > ALIKE * sliced.abs().max()):
        return None
    return factor

"""Feature distillation: a loss between the results of blocks, on the channels that both models have. Loads torch.

Blocks are the members of `nn.Sequential` and `nn.ModuleList` that hold layers themselves; where a model has none, its
layers. A cut block gives fewer channels: they are compared with the same channels of the teacher's (feature
distillation, Romero et al. 2015, without a projection, because the cut says which channel is which).
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..structures.transition import KeptIndices
from ..tasks.distillation_loss import at, variance_of
from ..tracing.tree import modules_of, tensors_of


@dataclass(slots=True)
class Features:
    """The results of blocks in the last forward of student and teacher.

    Attributes:
        student: The copy that learns.
        teacher: The original.
        kept: What the student keeps of each of the teacher's tensors.
        paths: Blocks to compare.
        heard: Results of the student's and of the teacher's blocks, by path.
    """

    student: nn.Module
    teacher: nn.Module
    kept: KeptIndices
    paths: list[str] = field(default_factory=list[str])
    heard: tuple[dict[str, Tensor], dict[str, Tensor]] = field(default_factory=lambda: ({}, {}))

    def __post_init__(self) -> None:
        """Find the blocks."""
        own = modules_of(self.student)
        self.paths = [path for path in blocks_of(self.teacher) if path in own]

    @contextmanager
    def record(self) -> Generator[None]:
        """Record forwards of both models inside."""
        handles: list[Any] = []

        def hear(heard: dict[str, Tensor], path: str, _module: nn.Module, _given: Any, result: Any) -> None:
            tensors = [t for t in tensors_of(result) if t.is_floating_point()]
            if tensors:
                heard[path] = tensors[0]

        for heard, model in zip(self.heard, (self.student, self.teacher), strict=True):
            heard.clear()
            for path in self.paths:
                handles.append(model.get_submodule(path).register_forward_hook(partial(hear, heard, path)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def distance(self, present: Tensor | None = None) -> Tensor | None:
        """Mean squared error over the teacher's variance, averaged over blocks; None where none can be compared.

        Args:
            present: [N, T] flags of the tokens that count, None where all do.
        """
        pairs = [self._pair(path) for path in self.paths]
        # Student and teacher may give different types: a half-precision student trains in float32.
        alike = [(at(s, present), at(t.to(s.dtype), present)) for s, t in filter(None, pairs)]
        found = [F.mse_loss(s, t) / variance_of(t) for s, t in alike]
        return torch.stack(found).mean() if found else None

    def _pair(self, path: str) -> tuple[Tensor, Tensor] | None:
        """A block's result in both models, on the channels that both have; None where that is not known."""
        own, other = (heard.get(path) for heard in self.heard)
        if own is None or other is None or own.ndim != other.ndim:
            return None
        different = [d for d, (a, b) in enumerate(zip(own.shape, other.shape, strict=True)) if a != b]
        if not different:
            return own, other.detach()
        if len(different) > 1:
            return None
        # The layers of the block say which of its channels are left, as far as they have as many and agree.
        sizes = other.shape[different[0]], own.shape[different[0]]
        found: list[Any] = []
        for name, weight in self.teacher.get_submodule(path).named_parameters():
            dims = self.kept.get(f"{path}.{name}")
            if dims and dims[0] is not None and (weight.shape[0], len(dims[0])) == sizes:
                found.append(dims[0])
        if not found or not all((one == found[0]).all() for one in found):
            return None
        return own, other.detach().index_select(different[0], torch.from_numpy(found[0]).to(other.device))


def blocks_of(model: nn.Module) -> list[str]:
    """Paths of the outermost blocks; of layers where there is no block."""
    members = [
        f"{path}.{name}" if path else name
        for path, module in modules_of(model).items()
        if isinstance(module, nn.Sequential | nn.ModuleList)
        for name, member in module.named_children()
        if _layers(member) and (_layers(member) > 1 or any(member.children()))
    ]
    outer = [one for one in members if not any(one.startswith(f"{other}.") for other in members)]
    # A list of stages holds lists of blocks: the blocks count.
    inner = [one for one in members if one not in outer]
    chosen = outer if len(outer) >= len(inner) else inner
    return chosen or [path for path, module in modules_of(model).items() if path and not any(module.children())]


def _layers(module: nn.Module) -> int:
    """Layers with weights in a module."""
    return sum(1 for one in module.modules() if any(True for _ in one.parameters(recurse=False)))

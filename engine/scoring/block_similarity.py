"""Cosine similarity between the input and output of each block, measured during forward passes. Loads torch.

What a block is given is copied before it runs, because it may be changed in place. The result of a residual branch is
followed through operators that keep zero (as in `structures.branches`) to the addition that takes it in.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from ..inference.model_inputs import rows_of
from ..structures.analysis import StandInSpec
from ..structures.removable_blocks import ADDS, KEEPS_ZERO
from ..surgery.cut.skip_block import argument
from ..tracing.operator_mode import OperatorMode
from ..tracing.tree import tensors_of


class BlockSimilarity(OperatorMode):
    """Context manager that measures the watched blocks in forward passes.

    Attributes:
        sums: Block -> (sum of 1 - cos, number of vectors).
        present: [N, T] flags of the tokens of this pass that count, None where all do.
    """

    def __init__(self, channels: dict[int, tuple[int, bool]]) -> None:
        """Take for each block how many features a vector has, and whether they lie on dimension 1."""
        super().__init__()
        self.sums: dict[int, tuple[float, int]] = {}
        self.present: Any | None = None
        self._channels = channels
        self._branches: dict[int, tuple[int, Any]] = {}

    def watch(self, model: nn.Module, one: StandInSpec) -> list[RemovableHandle]:
        """Hooks that tell of a block's passes; none where the module is gone with another block."""
        try:
            module = model.get_submodule(one.path)
        except AttributeError:
            return []
        before: dict[str, Any] = {}

        def enter(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = {str(place): value for place, value in enumerate(args)} | kwargs
            before.update((place, argument(place, given).clone()) for place in _passed_places(one.result))

        def leave(_module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
            """Add how far this pass has turned what the block was given; a branch's result waits for its addition."""
            turned: list[tuple[float, int]] = []
            for part, value in _results(one.result, result):
                if "zeros" in part:
                    self._branches[_memory(value)] = one.structure, value
                elif value.is_floating_point():
                    turned.append(self._turn(one.structure, before[part["copy" if "copy" in part else "input"]], value))
            # What was handed through unchanged turns by nothing.
            if turned:
                self._add(one.structure, *max(turned))
            before.clear()

        return [
            module.register_forward_pre_hook(enter, with_kwargs=True),
            module.register_forward_hook(leave),
        ]

    def forget(self) -> None:
        """Let go of the results of branches that no addition took in."""
        self._branches.clear()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator; measure at additions, follow what keeps zero."""
        name = str(func.overloadpacket)
        found = [self._branches.get(_memory(one)) for one in tensors_of(args)] if self._branches else []
        if name in ADDS and sum(one is not None for one in found) == 1 and len(found) == 2:
            # Before the addition runs, which may be in place.
            stream, branch = args[:2] if found[0] is None else args[1::-1]
            block = next(one[0] for one in found if one is not None)
            if stream.shape == branch.shape:
                self._add(block, *self._turn(block, stream, torch.add(*args[:2], **(kwargs or {}))))
            self._branches = {memory: one for memory, one in self._branches.items() if one[0] != block}
            return func(*args, **(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        branch = next((one for one in found if one is not None), None)
        if branch is not None and name in KEEPS_ZERO:
            self._branches.update((_memory(one), (branch[0], one)) for one in tensors_of(result))
        return result

    def _turn(self, block: int, before: Any, after: Any) -> tuple[float, int]:
        """(sum of 1 - cos, number of vectors) of values [N, ...] of equal shape."""
        # Features are on the axis of their number; of several the first for images, else the last.
        features, image = self._channels[block]
        places = [d for d in range(1, after.ndim) if after.shape[d] == features]
        first = image or after.ndim < 2
        dim = places[0 if image else -1] if places else 1 if first else after.ndim - 1
        apart = 1.0 - F.cosine_similarity(before.float(), after.float(), dim=dim)
        flags = None if self.present is None else rows_of(self.present, tuple(apart.shape))
        if flags is not None:
            apart = apart.flatten()[flags]
        # On the CPU, as not every device has float64.
        return float(apart.cpu().sum(dtype=torch.float64)), apart.numel()

    def _add(self, block: int, total: float, count: int) -> None:
        before = self.sums.get(block, (0.0, 0))
        self.sums[block] = before[0] + total, before[1] + count


def _passed_places(part: Any) -> Iterator[str]:
    """Places whose value stands in for a result."""
    if isinstance(part, dict):
        for key, value in cast("dict[str, Any]", part).items():
            if key in ("input", "copy"):
                yield value
            else:
                yield from _passed_places(value)
    elif isinstance(part, list):
        for one in cast("list[Any]", part):
            yield from _passed_places(one)


def _results(part: Any, result: Any) -> Iterator[tuple[dict[str, Any], torch.Tensor]]:
    """What stands in for each tensor of a module's result, and the tensor."""
    if part is None:
        return
    if isinstance(result, torch.Tensor):
        yield part, result
    elif type(result) in (tuple, list):
        for one, value in zip(part[type(result).__name__], cast("Sequence[Any]", result), strict=True):
            yield from _results(one, value)
    elif type(result) is dict:
        for key, value in cast("dict[str, Any]", result).items():
            yield from _results(part["dict"][key], value)
    else:
        for name, one in part.get("fields", {}).items():
            yield from _results(one, getattr(result, name))


def _memory(tensor: Any) -> int:
    return int(tensor.untyped_storage().data_ptr())

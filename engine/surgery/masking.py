"""The masked original: what a cut model must equal. Made from the analysis's slices alone, independent of surgery.

Every slice of a removed structure is zero in every parameter; a removed block is skipped by a hook; a normalisation
over channels computes its statistics over the channels that remain.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..structures.analysis import Analysis, Kind, Mask

Gone = dict[str, dict[int, NDArray[np.int64]]]


def gone_slices(analysis: Analysis, before: Mask, after: Mask) -> Gone:
    """For each tensor and dimension the places (in the numbering of `before`) that go between two states."""
    had = analysis.kept_indices(before)
    places: dict[tuple[str, int], list[NDArray[np.int64]]] = {}
    new = np.flatnonzero(after & ~before)
    axis_of = np.repeat(np.arange(len(analysis.axis_start) - 1), np.diff(analysis.axis_start))
    member = np.concatenate(
        [analysis.member_position[analysis.member_start[s] : analysis.member_start[s + 1]] for s in new]
        or [np.zeros(0, dtype=np.int64)]
    )
    for axis in np.unique(axis_of[member]):
        index = np.unique(member[axis_of[member] == axis]) - analysis.axis_start[axis]
        for tensor in analysis.tensors:
            for dim, own in enumerate(tensor.axes):
                if own == axis:
                    places.setdefault((tensor.name, dim), []).append(index)
    gone: Gone = {}
    for (name, dim), indices in places.items():
        index = np.concatenate(indices)
        kept = had.get(name, ())
        if kept is None:
            continue
        old = kept[dim] if kept else None
        if old is not None:
            index = np.searchsorted(old, index[np.isin(index, old)])
        gone.setdefault(name, {})[dim] = index
    return gone


def masked_state(model: nn.Module, gone: Gone) -> dict[str, torch.Tensor]:
    """Copies of the parameters with zeros where a structure goes."""
    masked: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if name in gone:
            copy = parameter.detach().clone()
            for dim, index in gone[name].items():
                copy.index_fill_(dim, torch.from_numpy(index), 0)
            masked[name] = copy
    return masked


@contextmanager
def masked(model: nn.Module, analysis: Analysis, before: Mask, after: Mask) -> Generator[None]:
    """Within this, the model computes what it would without the structures; afterwards it is as before.

    The model is a private copy of the caller's: its parameters are exchanged in place.
    """
    gone = gone_slices(analysis, before, after)
    zeros = masked_state(model, gone)
    own = {name: p.data for name, p in model.named_parameters() if name in zeros}
    handles = [
        model.get_submodule(s.name).register_forward_hook(_skip)
        for s in analysis.sets
        if s.kind is Kind.BLOCK and after[s.first] and not before[s.first]
        if _exists(model, s.name)
    ]
    parameters = dict(model.named_parameters())
    keep: dict[int, torch.Tensor] = {}
    try:
        for name, tensor in zeros.items():
            parameters[name].data = tensor
            if set(gone[name]) == {0} and tensor.dim() == 1:
                stay = torch.ones(len(tensor), dtype=torch.bool)
                stay[torch.from_numpy(gone[name][0])] = False
                keep[id(parameters[name])] = stay
        with _MaskedNorms(keep):
            yield
    finally:
        for name, tensor in own.items():
            parameters[name].data = tensor
        for handle in handles:
            handle.remove()


class _MaskedNorms(TorchDispatchMode):
    """Layer norms whose weight lacks channels take mean and variance over the others (biased, as layer norm does)."""

    def __init__(self, keep: Mapping[int, torch.Tensor]) -> None:
        super().__init__()
        self._keep = keep

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.native_layer_norm.default and len(args) >= 5 and id(args[2]) in self._keep:
            source, _, weight, bias, eps = args[:5]
            stay = self._keep[id(weight)].to(source.dtype)
            mean = (source * stay).sum(-1, keepdim=True) / stay.sum()
            variance = ((source - mean) ** 2 * stay).sum(-1, keepdim=True) / stay.sum()
            result = (source - mean) / torch.sqrt(variance + eps) * weight
            return (result if bias is None else result + bias), mean, 1 / torch.sqrt(variance + eps)
        return func(*args, **(kwargs or {}))


def _skip(_module: nn.Module, args: tuple[Any, ...], _result: Any) -> Any:
    return args[0]


def _exists(model: nn.Module, path: str) -> bool:
    try:
        return not isinstance(model.get_submodule(path), nn.Identity)
    except AttributeError:
        return False

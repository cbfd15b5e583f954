"""Cuts a model: slices tensors, drops blocks, repairs the code, and checks that it runs as predicted."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn

from ...errors import PlanError, VerificationError
from ...machine.operating_system import uncollected
from ...messages import listed
from ...planning.count_balance import check_counts
from ...runtime import load_pruned
from ...storage.file_limits import foreign_reader
from ...structures.analysis import Analysis, KnownRepairs, Mask
from ...structures.costs import kept_sizes
from ...structures.transition import KeptIndices, Transition
from ...tracing.shadow_model import of_same_kind, shadow_copy, stand_in_tensor, whole_copy
from ...tracing.tree import Inputs, modules_of
from ..repair.audit import Auditor
from ..repair.candidates import AxisSizes, ancestor_paths
from ..repair.search import RepairSearch, merge_attributes
from ..repair.unread_attributes import kv_repeats, layer_indices, merging_numbers, variant_numbers
from ..repair.weight_folding import Factors, Folding, relative_factors, scale_weights
from .edits import Edits
from .module_attributes import has_usual_sizes, module_attributes
from .slice_tensors import slice_tensor, sliced_constants


@dataclass(frozen=True, slots=True)
class CutModel:
    """A smaller model and all repairs since the original; by what its weights are multiplied besides being cut."""

    model: nn.Module
    edits: Edits
    factors: Factors = ()


@uncollected()
def cut(
    model: nn.Module,
    analysis: Analysis,
    removed: Mask,
    inputs: Inputs,
    *,
    before: Mask | None = None,
    edits: Edits | None = None,
    hollow: bool = False,
) -> CutModel:
    """A new, smaller model; the given one is not touched.

    Args:
        model: The original, or a model that was cut from it before: without `before`, with `edits` applied.
        analysis: Of the original.
        removed: [S] everything that is to be gone afterwards, all of `before` included.
        inputs: The example inputs that the analysis was made with.
        before: [S] what the model lacks already; None for the original.
        edits: Repairs of the cuts before (`Cut.edits`); None for the original.
        hollow: Leave the parameters on the meta device: the caller cuts and loads them elsewhere. For an analysis
            that knew shapes only.

    Raises:
        PlanError: The plan is empty, empties a coupled set, breaks a constraint or brings something back.
        VerificationError: The smaller model could not be made to run as predicted.
    """
    before, edits = analysis.empty() if before is None else before, edits or Edits()
    earlier = edits.weights
    transition = Transition(analysis, before, removed)
    smaller, edits, _ = try_cut(model, transition, edits, inputs, lasting=True)
    if analysis.weightless:
        smaller = _slice_model(model, transition.kept_of_before, hollow=hollow)
        # Buffers that no file holds are sliced already, as all others.
        load_pruned.apply_edits(smaller, asdict(replace(edits, slices=())))
    factors = relative_factors(earlier, edits.weights)
    if not hollow:
        scale_weights(smaller, analysis, removed, factors)
    return CutModel(smaller, edits, factors)


class TrialCut(NamedTuple):
    """A cut on trial: the smaller model (without weights if the analysis was), its repairs, what they show."""

    model: nn.Module
    edits: Edits
    known: KnownRepairs


def try_cut(model: nn.Module, transition: Transition, edits: Edits, inputs: Inputs, lasting: bool = False) -> TrialCut:
    """Make sure that a cut is possible; one that is to last also gets the numbers that other runs than this one need.

    Args:
        model: The model at the state before, with `edits` applied.
        transition: What the cut changes.
        edits: Repairs so far.
        inputs: The example inputs that the analysis was made with.
        lasting: Find the numbers that no run with these inputs needs, too.

    Raises:
        PlanError: As `cut`.
        VerificationError: As `cut`.
    """
    analysis = transition.analysis
    check_transition(transition)
    smaller = _slice_model(model, transition.kept_of_before, analysis.weightless)
    edits = _apply_known_repairs(smaller, analysis, transition.after, edits)
    folding = Folding(model, transition, inputs)
    run = Auditor(smaller, analysis, transition.after, inputs, folding)
    repair = RepairSearch(smaller, AxisSizes(transition), edits, run, known=analysis.known, trial=not lasting)
    edits = repair.until_it_runs()
    # The last audit may have been of a repair that was undone, and the weights with it.
    if folding.asked:
        run()
    edits = replace(edits, weights=folding.weights)
    if lasting:
        weights = edits.weights
        counted = kv_repeats(smaller, transition, inputs)
        variants = [] if analysis.weightless else variant_numbers(smaller, repair.sizes, inputs)
        for numbers in (counted, layer_indices(model, smaller), merging_numbers(smaller, repair.sizes), variants):
            if not numbers:
                continue
            # No audit asked for these: they are right as long as the model still runs as predicted with them.
            old = [(path, name, getattr(smaller.get_submodule(path), name)) for path, name, _ in numbers]
            load_pruned.apply_edits(smaller, {"attributes": numbers})
            if run().passed and folding.weights == weights:
                edits = replace(edits, attributes=merge_attributes(edits.attributes, tuple(numbers)))
            else:
                load_pruned.apply_edits(smaller, {"attributes": old})
    return TrialCut(smaller, edits, repair.known)


def check_transition(transition: Transition) -> None:
    """Refuse a step that cannot be cut; raises PlanError."""
    analysis, after = transition.analysis, transition.after
    if (transition.before & ~after).any():
        raise PlanError(
            "plan.restores", "A cut cannot restore removed structures. Go back to an earlier state instead."
        )
    if not transition.removed.any():
        raise PlanError("plan.nothing", "Nothing is marked for removal. Mark structures, or plan for a goal.")
    kept = transition.sizes_after
    vanished = set(analysis.block_tensor[after[analysis.block_tensor[:, 0]], 1].tolist())
    for number, tensor in enumerate(analysis.tensors):
        if tensor.parameter and number not in vanished:
            for dim, axis in enumerate(tensor.axes):
                if axis >= 0 and kept[axis] == 0:
                    raise PlanError(
                        "plan.empties",
                        "The plan removes all {count} indices of {name} (dimension {dim}). Keep at least one.",
                        count=tensor.shape[dim],
                        name=tensor.name,
                        dim=dim,
                    )
    check_counts(analysis, after, kept)


def copy_model(model: nn.Module) -> nn.Module:
    """A deep copy that shares nothing with the model.

    Raises:
        VerificationError: The model cannot be copied.
    """
    try:
        return whole_copy(model)
    except Exception as error:
        raise _copy_error(error) from error


def _copy_error(error: Exception) -> VerificationError:
    return VerificationError(
        "cut.copy",
        "The model cannot be copied ({text}), so it cannot be cut without changing the original.",
        text=f"{type(error).__name__}: {error}",
    )


def rebuild(
    factory: Callable[[], nn.Module],
    analysis: Analysis,
    removed: Mask,
    edits: Edits,
    state_dict: Mapping[str, torch.Tensor],
) -> nn.Module:
    """A state's model again, from a fresh module of the original's class and shape.

    Args:
        factory: Makes the original network.
        analysis: Of the original.
        removed: All that is gone in the state.
        edits: The state's repairs.
        state_dict: The state's weights; {} where they come later.
    """
    model = factory()
    with foreign_reader("the state"):  # of a project, which may be a stranger's
        load_pruned.apply_edits(model, asdict(edits))
        load_pruned.resize(model, shapes(analysis, removed))
        found = model.load_state_dict(dict(state_dict), strict=False)
    unexpected, missing = cast("list[str]", found.unexpected_keys), cast("list[str]", found.missing_keys)
    if unexpected:
        raise VerificationError(
            "rebuild.unexpected",
            "The stored weights contain {names}, which the model lacks.",
            names=listed(unexpected[:5]),
        )
    held = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    if state_dict and not held.isdisjoint(missing):
        template = "The stored weights lack {names}, which would be zero. Open another state."
        names = listed([one for one in missing if one in held][:5])
        raise VerificationError("rebuild.missing", template, names=names)
    return model.eval()


def shapes(analysis: Analysis, removed: Mask) -> dict[str, list[int]]:
    """Shape of every tensor, under each of its names, in a state; those of removed blocks are left out."""
    kept = analysis.kept_indices(removed)
    found: dict[str, list[int]] = {}
    for tensor in analysis.tensors:
        dims = kept.get(tensor.name, ())
        if dims is not None:
            shape = [
                s if k is None else len(k)
                for s, k in zip(tensor.shape, dims or [None] * len(tensor.shape), strict=True)
            ]
            found.update(dict.fromkeys((tensor.name, *tensor.aliases), shape))
    return found


@uncollected()
def _slice_model(model: nn.Module, keeps: KeptIndices, weightless: bool = False, hollow: bool = False) -> nn.Module:
    """A copy of which each tensor is cut while it is copied, so that nothing is copied that goes.

    Args:
        model: What is copied.
        keeps: What stays of its tensors.
        weightless: Of the tensors only shapes are copied.
        hollow: Of the parameters only shapes are.

    Raises:
        VerificationError: The model cannot be copied.
    """
    named: dict[int, str] = {}
    modules = modules_of(model).items()
    for store in ("_parameters", "_buffers"):
        for path, module in modules:
            for name, tensor in vars(module)[store].items():
                named.setdefault(id(tensor), f"{path}.{name}" if path else name)

    def make(tensor: torch.Tensor) -> torch.Tensor:
        """The tensor of the copy."""
        kept = keeps.get(named.get(id(tensor), ""), ())
        if weightless and not kept:
            return stand_in_tensor(tensor)
        if kept is None:
            return tensor
        blank = weightless or (hollow and isinstance(tensor, nn.Parameter))
        made = of_same_kind(tensor, slice_tensor(tensor.data, kept, blank))
        # `copy.deepcopy` loses them, and with them what they do to gradients.
        hooks: dict[int, Any] | None = cast("Any", tensor)._backward_hooks
        for hook in (hooks or {}).values() if made.requires_grad else ():
            made.register_hook(hook)
        return made

    try:
        made = shadow_copy(model, make)
    except Exception as error:
        raise _copy_error(error) from error
    # Modules that say themselves how they are copied (graphs) may come back in another mode; outer ones first.
    copies = modules_of(made)
    for path, module in modules:
        if path in copies and copies[path].training != module.training:
            copies[path].train(module.training)
    return made


def _apply_known_repairs(model: nn.Module, analysis: Analysis, removed: Mask, edits: Edits) -> Edits:
    """Apply the repairs that need no search: blocks, constants, buffers, and what the modules of torch remember."""
    start, stays = analysis.axis_start, ~analysis.removed_positions(removed)
    kept = kept_sizes(analysis, removed)
    # Buffers that the state dict leaves out come from a fresh model in the original's size.
    saved = model.state_dict(keep_vars=True).keys()
    unsaved = [tensor.name for tensor in analysis.tensors if not tensor.parameter and tensor.name not in saved]
    indices = analysis.kept_indices(removed) if unsaved else {}
    edits = replace(
        edits,
        blocks=tuple((s.path, s.result) for s in analysis.stand_ins if removed[s.structure]),
        slices=tuple(
            (name, dim, tuple(own.tolist()))
            for name in unsaved
            for dim, own in enumerate(indices.get(name) or ())
            if own is not None
        ),
        constants=tuple(sliced_constants(analysis, [np.flatnonzero(stays[a:b]) for a, b in pairwise(start)])),
    )
    load_pruned.apply_edits(model, {"blocks": edits.blocks, "constants": edits.constants})

    counts = {(m, what): int(kept[axis]) for m, what, axis, _ in analysis.sizes if axis >= 0}
    cut_axes = kept[:-1] != np.diff(start)
    # A module is cut with any module inside it: attention reads the weight of its last projection itself.
    is_cut = {
        path
        for tensor in analysis.tensors
        if any(axis >= 0 and cut_axes[axis] for axis in tensor.axes)
        for path in ancestor_paths(tensor.module)
    }
    attention = {a[0]: a for a in edits.attention}
    attributes: list[tuple[str, str, Any]] = []
    for path, module in modules_of(model).items():
        own = module_attributes(module, counts.get((path, "groups")))
        if load_pruned.takes_sizes(module) and (path in attention or path in is_cut):
            assert isinstance(module, nn.MultiheadAttention)
            heads: int = counts.get((path, "heads"), cast("int", module.num_heads))
            if path not in attention and has_usual_sizes(module, heads):
                own["num_heads"] = heads
            else:
                head_dim = attention[path][2] if path in attention else cast("int", module.head_dim)
                attention[path] = (path, heads, head_dim)
        for name, value in own.items():
            if getattr(module, name, value) != value:
                attributes.append((path, name, value))
                load_pruned.set_remembered(module, name, value)
    edits = replace(
        edits, attention=tuple(attention.values()), attributes=merge_attributes(edits.attributes, tuple(attributes))
    )
    load_pruned.apply_edits(model, {"attention": edits.attention})
    return edits

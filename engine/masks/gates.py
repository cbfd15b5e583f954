"""Runs a model with a gate on every structure: 1 leaves it, 0 computes what the model without it computes.

Gates multiply weights, not activations, so no class or operator needs to be known: structures are gated at the weights
that read them. Where a norm takes statistics over them (the residual width), the weights that write them are gated
instead, and the norm's mean and variance are weighted by the squared gates: at 0 and 1 they run over what is left. An
expert is gated at its router: its logit becomes minus infinity, and so does what is added to its score for the choice
alone (DeepSeek-V3's `e_score_correction_bias`). A block is gated by its result r and what replaces it, r':
r' + z (r - r').
"""

from collections.abc import Callable, Generator, Iterable, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakTensorKeyDictionary

from ..scoring.weight_slices import owned_indices, roles_of
from ..structures.analysis import Analysis, CoupledSet, Kind, StandInSpec
from ..structures.reasons import at_least
from ..surgery.cut.skip_block import without
from ..tracing.tree import modules_of

NORMS = frozenset({"aten.native_layer_norm", "aten._fused_rms_norm"})
"""Operators that normalise the channels on the last dimension of their result."""
STATISTICS = frozenset({"aten.native_group_norm", "aten.mean", "aten.var", "aten.var_mean"})
"""Operators that take statistics over the channels that the weight of their module has, if they have one."""
CLOSED = 1e-30
"""A gate that counts as closed where its logarithm is taken."""
ADDITIONS = frozenset(
    {torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__},
)
"""Functions that may add a number for each expert to the experts' scores."""
CARRIED = frozenset(
    {Tensor.to, Tensor.type, Tensor.float, Tensor.double, Tensor.half, Tensor.bfloat16, Tensor.contiguous}
    | {Tensor.view, Tensor.reshape, Tensor.unsqueeze, torch.unsqueeze, torch.reshape, Tensor.__getitem__}
)
"""Functions that give the same numbers in another type, or with dimensions of size one."""


@dataclass(frozen=True, slots=True)
class GatedDimension:
    """A dimension of a weight, and which gates of one coupled set multiply its indices.

    Attributes:
        name: Of the tensor.
        dim: The dimension.
        structures: [n] numbers of structures.
        indices: [n] the index that each owns; the others are not gated.
        size: Of the dimension.
    """

    name: str
    dim: int
    structures: Tensor
    indices: Tensor
    size: int

    def factors(self, gates: Tensor) -> Tensor:
        """[size] what the indices are multiplied by, for gates [S]."""
        return gates.new_ones(self.size).index_put((self.indices,), gates[self.structures])


class StructureGates:
    """The places of a model where gates act.

    Attributes:
        count: S, the number of structures.
    """

    def __init__(self, model: nn.Module, analysis: Analysis) -> None:
        """Find the places.

        Args:
            model: The original, or a copy of it; it is not changed.
            analysis: Of it.
        """
        self.count = analysis.count
        self._model = model
        self._weights, self._routers = dict[str, list[GatedDimension]](), dict[str, list[GatedDimension]]()
        self._norms, self._biases = dict[str, list[GatedDimension]](), dict[str, list[GatedDimension]]()
        roles = roles_of(analysis)
        # A constraint of this kind is that of a router, which chooses some of them.
        chosen = at_least("", 0).code
        routed = {n for one in analysis.constraints if one.reason.code == chosen for n in one.sets}
        for number, one in enumerate(analysis.sets):
            spots = [(t, d) for t, d in one.touches if analysis.tensors[t].parameter]
            reads = [(t, d) for t, d in spots if d in roles.inputs[t]]
            if one.kind is Kind.BLOCK:
                continue
            if one.kind is Kind.EXPERT or number in routed:
                routers = [(t, d) for t, d in spots if d == 0 and len(analysis.tensors[t].shape) == 2]
                self._add(self._routers, analysis, one, routers)
                # Buffers are vectors of their layer too.
                vectors = [(t, d) for t, d in one.touches if len(analysis.tensors[t].shape) == 1]
                self._add(self._biases, analysis, one, vectors)
            elif (norms := _norms(analysis, one)) or one.kind is Kind.HEAD_DIM:
                # Gated where they are written: a norm takes statistics over them, or queries meet keys in them without
                # a weight that reads them. A position embedding is no product, but added: it writes too.
                writes: list[tuple[int, int]] = []
                for t, d in spots:
                    tensor = analysis.tensors[t]
                    product = len(tensor.shape) > 1 and "weight" in tensor.name.rpartition(".")[2]
                    if (t, d) not in reads or not product:
                        writes.append((t, d))
                self._add(self._weights, analysis, one, writes)
                for path, axis in norms:
                    place = _place(path, analysis, one, axis, -1)
                    self._norms.setdefault(path, []).append(place)
            else:
                self._add(self._weights, analysis, one, reads or spots)
        first: dict[int, StandInSpec] = {}
        for spec in analysis.stand_ins:
            first.setdefault(spec.structure, spec)
        self._blocks = tuple(first.values())

    @contextmanager
    def applied(self, gates: Tensor) -> Generator[None]:
        """Context in which the model runs with gates [S] from 0 to 1; gradients reach gates and weights."""
        own = dict(self._model.named_parameters(remove_duplicate=False))
        made = {name: _gate_weight(own[name], places, gates) for name, places in self._weights.items()}
        read = dict(self._model.named_buffers(remove_duplicate=False)) | own | made
        routers = [(read[name], _factors(places, gates)) for name, places in self._routers.items()]
        biases = [(read[name], _factors(places, gates)) for name, places in self._biases.items()]
        mode = _GatedOperators(routers, biases)
        with ExitStack() as stack:
            stack.enter_context(_replace_parameters(self._model, {id(own[name]): one for name, one in made.items()}))
            modules = modules_of(self._model)
            for path, places in self._norms.items():
                mode.watch(modules[path], _factors(places, gates), stack)
            for spec in self._blocks:
                handle = _gate_block(self._model, spec, gates[spec.structure])
                stack.callback(handle.remove)
            stack.enter_context(mode)
            yield

    @property
    def foldable(self) -> Tensor:
        """[S] bool, the structures whose gates are in weights alone: in no norm, router or block."""
        found = torch.ones(self.count, dtype=torch.bool)
        for places in (*self._norms.values(), *self._routers.values(), *self._biases.values()):
            for one in places:
                found[one.structures] = False
        found[[spec.structure for spec in self._blocks]] = False
        return found

    def fold(self, gates: Tensor) -> None:
        """Multiply the weights with gates [S] for good; norms, routers and blocks have none in them."""
        own = dict(self._model.named_parameters(remove_duplicate=False))
        with torch.no_grad():
            for name, places in self._weights.items():
                own[name].copy_(_gate_weight(own[name], places, gates))

    def _add(
        self,
        found: dict[str, list[GatedDimension]],
        analysis: Analysis,
        one: CoupledSet,
        spots: Iterable[tuple[int, int]],
    ) -> None:
        for number, dim in spots:
            tensor = analysis.tensors[number]
            found.setdefault(tensor.name, []).append(_place(tensor.name, analysis, one, tensor.axes[dim], dim))


class _GatedOperators(TorchFunctionMode):
    """Weights the statistics of norms by the squared gates of their channels, and closes experts at their routers."""

    def __init__(self, routers: Iterable[tuple[Tensor, Tensor]], biases: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set up.

        Args:
            routers: Weights [E, C] of routers, each with the gates [E] of its experts.
            biases: Numbers [E] of experts, which may be added to their scores, with the same.
        """
        super().__init__()
        self._routers: MutableMapping[Tensor, Tensor] = WeakTensorKeyDictionary()
        self._biases: MutableMapping[Tensor, Tensor] = WeakTensorKeyDictionary()
        self._routers.update(routers)
        self._biases.update(biases)
        self._inside: list[Tensor] = []

    def watch(self, module: nn.Module, factors: Tensor, stack: ExitStack) -> None:
        """Weight the statistics that a module takes by the gates [C] of its channels, until the stack is left."""

        def enter(_module: nn.Module, _given: Any) -> None:
            self._inside.append(factors.square())

        def leave(_module: nn.Module, _given: Any, _result: Any) -> None:
            self._inside.pop()

        stack.callback(module.register_forward_pre_hook(enter).remove)
        stack.callback(module.register_forward_hook(leave, always_call=True).remove)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch, gated where that is asked for."""
        kwargs = kwargs or {}
        if func is functional.linear and (weight := _linear_weight(*args, **kwargs)) in self._routers:
            result = func(*args, **kwargs)
            return result + _logarithm(self._routers[weight], result)
        if func in CARRIED:
            # The model's code may read a router, or numbers for experts, in another type or shape: known there too.
            source, result = args[0] if args else kwargs.get("input"), func(*args, **kwargs)
            if isinstance(source, Tensor) and isinstance(result, Tensor):
                if source in self._routers and result.shape == source.shape:
                    self._routers[result] = self._routers[source]
                if source in self._biases and result.ndim and result.numel() == result.shape[-1] == source.numel():
                    self._biases[result] = self._biases[source]
            return result
        if func in ADDITIONS:
            args = [self._close(one) for one in args]
            kwargs = {name: self._close(one) for name, one in kwargs.items()}
        rule = RULES.get(func) if self._inside else None
        found = None if rule is None else rule(self._inside[-1], *args, **kwargs)
        return func(*args, **kwargs) if found is None else found

    def _close(self, given: Any) -> Any:
        """Add the logarithm of its gate to a number for each expert; everything else stays as it is."""
        known = isinstance(given, Tensor) and given in self._biases
        return given + _logarithm(self._biases[given], given) if known else given


def _linear_weight(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The weight among the arguments of `functional.linear`, by place or by name."""
    return weight


def _logarithm(factors: Tensor, scores: Tensor) -> Tensor:
    """[E] what is added to scores of experts with these gates, in the type of what it is added to."""
    return factors.clamp_min(CLOSED).log().to(scores.dtype)


def _in_single(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """What statistics are taken of, and the weights of its channels, in float32 at least."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return x.to(dtype), weights.to(dtype)


def _layer_norm(
    weights: Tensor,
    /,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor | None:
    if len(normalized_shape) != 1 or normalized_shape[0] != len(weights):
        return None
    x, weights = _in_single(input, weights)
    share = weights / weights.sum()
    centred = x - (x * share).sum(-1, keepdim=True)
    normal = centred * ((centred.square() * share).sum(-1, keepdim=True) + eps).rsqrt()
    scaled = normal if weight is None else normal * weight
    return (scaled if bias is None else scaled + bias).to(input.dtype)


def _rms_norm(
    weights: Tensor,
    /,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor | None:
    if len(normalized_shape) != 1 or normalized_shape[0] != len(weights):
        return None
    x, weights = _in_single(input, weights)
    eps = torch.finfo(input.dtype).eps if eps is None else eps
    normal = x * ((x.square() * weights).sum(-1, keepdim=True) / weights.sum() + eps).rsqrt()
    return (normal if weight is None else normal * weight).to(input.dtype)


def _group_norm(
    weights: Tensor,
    /,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor | None:
    if input.shape[1] != len(weights):
        return None
    x, weights = _in_single(input, weights)
    parts = x.reshape(x.shape[0], num_groups, len(weights) // num_groups, -1)
    share = weights.view(1, num_groups, -1, 1)
    share = share / (share.sum(2, keepdim=True).clamp_min(CLOSED) * parts.shape[-1])
    centred = parts - (parts * share).sum((2, 3), keepdim=True)
    normal = centred * ((centred.square() * share).sum((2, 3), keepdim=True) + eps).rsqrt()
    vector = [1, -1] + [1] * (x.ndim - 2)
    normal = normal.view_as(x)
    scaled = normal if weight is None else normal * weight.view(vector)
    return (scaled if bias is None else scaled + bias.view(vector)).to(input.dtype)


def _mean(
    weights: Tensor,
    /,
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor | None:
    x, weights = _in_single(input, weights)
    share = _share(weights, x, dim)
    return None if share is None else (x * share).sum(dim, keepdim=keepdim).to(dtype or input.dtype)


def _var(
    weights: Tensor,
    /,
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor | None:
    x, weights = _in_single(input, weights)
    share = _share(weights, x, dim)
    if share is None:
        return None
    less = correction if correction is not None else float(unbiased)
    found = ((x - (x * share).sum(dim, keepdim=True)).square() * share).sum(dim, keepdim=keepdim)
    return (found * weights.sum() / (weights.sum() - less)).to(input.dtype)


def _share(weights: Tensor, x: Tensor, dim: int | Sequence[int] | None) -> Tensor | None:
    """What each channel counts for in a mean over a dimension; None where that is not the one of the channels."""
    dims = [dim] if isinstance(dim, int) else list(dim or ())
    if len(dims) != 1 or x.shape[dims[0]] != len(weights):
        return None
    shape = [1] * x.ndim
    shape[dims[0]] = -1
    return (weights / weights.sum()).view(shape)


RULES: Mapping[Any, Callable[..., Tensor | None]] = {
    functional.layer_norm: _layer_norm,
    functional.rms_norm: _rms_norm,
    functional.group_norm: _group_norm,
    torch.mean: _mean,
    torch.Tensor.mean: _mean,
    torch.var: _var,
    torch.Tensor.var: _var,
}
"""Functions that take statistics over channels; a rule returns None where these are others than the gated ones."""


def _norms(analysis: Analysis, one: CoupledSet) -> list[tuple[str, int]]:
    """(path of a module, axis) where statistics are taken over the structures of a set."""
    axes = {analysis.tensors[t].axes[d] for t, d in one.touches}
    vectors = {
        analysis.tensors[t].module: analysis.tensors[t].axes[0]
        for t, _ in one.touches
        if analysis.tensors[t].parameter and len(analysis.tensors[t].shape) == 1
    }
    found: dict[tuple[str, int], None] = {}
    for step in analysis.steps:
        if step.op in NORMS:
            if step.axes[-1] in axes:
                found[step.module, step.axes[-1]] = None
        elif step.op in STATISTICS and step.module in vectors:
            found[step.module, vectors[step.module]] = None
    return list(found)


def _place(name: str, analysis: Analysis, one: CoupledSet, axis: int, dim: int) -> GatedDimension:
    structures, indices = owned_indices(analysis, one, axis)
    size = int(analysis.axis_start[axis + 1] - analysis.axis_start[axis])
    return GatedDimension(name, dim, torch.from_numpy(structures), torch.from_numpy(indices), size)


def _factors(places: Sequence[GatedDimension], gates: Tensor) -> Tensor:
    """[size] the product of all gates on a dimension."""
    return reduce(torch.mul, (one.factors(gates) for one in places))


def _gate_weight(weight: Tensor, places: Sequence[GatedDimension], gates: Tensor) -> Tensor:
    for one in places:
        shape = [1] * weight.ndim
        shape[one.dim] = one.size
        weight = weight * one.factors(gates).to(weight.dtype).view(shape)
    return weight


@contextmanager
def _replace_parameters(model: nn.Module, made: Mapping[int, Tensor]) -> Generator[None]:
    """Context in which modules read other tensors in place of their parameters, by `id`, under each of their names."""
    places: list[tuple[dict[str, Any], str, Any]] = []
    flat: list[tuple[Any, list[Any]]] = []
    try:
        for module in model.modules():
            own = cast("dict[str, Any]", vars(module)["_parameters"])
            for name, one in own.items():
                if id(one) in made:
                    places.append((own, name, one))
                    own[name] = made[id(one)]
            if isinstance(module, nn.RNNBase):
                weights: list[Any] = vars(module)["_flat_weights"]
                flat.append((module, weights))
                vars(module)["_flat_weights"] = [made.get(id(one), one) for one in weights]
        yield
    finally:
        for own, name, one in places:
            own[name] = one
        for module, weights in flat:
            vars(module)["_flat_weights"] = weights


def _gate_block(model: nn.Module, spec: StandInSpec, gate: Tensor) -> RemovableHandle:
    """Mix a block's result with what replaces it when it is gone."""

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        given = {str(place): value for place, value in enumerate(args)} | kwargs
        return tree_map(mix, result, without(spec.result, result, given))

    def mix(result: Any, other: Any) -> Any:
        if not isinstance(result, Tensor) or not result.is_floating_point() or result is other:
            return result
        return other + gate.to(result.dtype) * (result - other)

    return model.get_submodule(spec.path).register_forward_hook(hook, with_kwargs=True)

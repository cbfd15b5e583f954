"""The roles of a weight's dimensions: outputs and inputs.

A tied tensor may be both: an embedding computes the width that the output head reads by the same numbers.
"""

from dataclasses import dataclass, field
from math import prod

from ..structures.analysis import Analysis, TensorInfo

REVERSED = frozenset({"ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Conv1D", "Embedding"})
"""Module types whose weight has its inputs on dimension 0 and its outputs on dimension 1."""

PARAMETRISED = ".parametrizations."
"""Between the path of a module and the name of its weight, in the path of what holds the weight's factors."""


@dataclass(frozen=True, slots=True)
class TiedUse:
    """A further use of a tied tensor, in which its dimensions are for something else.

    Attributes:
        tensor: Canonical name of the tensor.
        names: Its names in this use; the first one stands for the use.
        outputs: Dimensions that it computes there.
        inputs: Dimensions that it reads there.
    """

    tensor: str
    names: tuple[str, ...]
    outputs: tuple[int, ...]
    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WeightRoles:
    """What the dimensions of the weights are for; T tensors.

    Attributes:
        outputs: [T] dimensions whose indices a weight computes, the last one its features; () for what is no weight.
        inputs: [T] dimensions that it reads.
        tied: Number of a tied tensor -> its other use; `outputs` and `inputs` are those of its canonical name.
        grouped: Number of the weight of a grouped transposed convolution -> axis of its groups. Its inputs lie group by
            group, and a group of outputs is computed by the same indices: along groups, they are outputs.
    """

    outputs: tuple[tuple[int, ...], ...]
    inputs: tuple[tuple[int, ...], ...]
    tied: dict[int, TiedUse] = field(default_factory=dict[int, TiedUse])
    grouped: dict[int, int] = field(default_factory=dict[int, int])


def roles_of(analysis: Analysis) -> WeightRoles:
    """Outputs on dimension 0 and inputs on dimension 1, or the other way round; in stacks behind the expert's number.

    Which way round a stack lies shows at the set that begins on it: its first parameter computes it.
    """
    types = {module.path: module.type_name for module in analysis.modules}
    stacks = {n for n, one in enumerate(analysis.tensors) if _is_stack(one, types.get(one.module, ""))}
    begins = (one.touches[0] for one in analysis.sets if one.touches)
    computed = {analysis.tensors[t].module: d for t, d in begins if t in stacks and d > 0}
    scales = {n for group in factors_of(analysis.tensors).values() for n in group[:-1]}
    pairs = [
        ((), ()) if n in scales else _roles(one, types, computed if n in stacks else {})
        for n, one in enumerate(analysis.tensors)
    ]
    tied = {n: _tied(one, types) for n, one in enumerate(analysis.tensors) if one.aliases and n not in stacks}
    others = {n: use for n, use in tied.items() if use is not None}
    groups = {module: axis for module, what, axis, _ in analysis.sizes if what == "groups"}
    owners = [owner_of(one.module) if inputs == (0,) else "" for one, (_, inputs) in zip(analysis.tensors, pairs)]
    grouped = {n: groups[owner] for n, owner in enumerate(owners) if owner in groups}
    return WeightRoles(tuple(outputs for outputs, _ in pairs), tuple(inputs for _, inputs in pairs), others, grouped)


def _roles(
    tensor: TensorInfo, types: dict[str, str], computed: dict[str, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if not tensor.parameter or len(tensor.shape) < 2:
        return (), ()
    if tensor.module in computed:
        made = computed[tensor.module]
        return (0, made), (3 - made,)
    made = _made(tensor, types.get(owner_of(tensor.module), "").removeprefix("Parametrized"))
    return (made,), (1 - made,)


def owner_of(module: str) -> str:
    """Path of the module that runs the weight whose factors a module holds; any other module's own path."""
    return module.partition(PARAMETRISED)[0]


def factors_of(tensors: tuple[TensorInfo, ...]) -> dict[str, list[int]]:
    """Name of a weight that is made of parameters -> numbers of these, the one that has the weight's shape last.

    Factors are what a parametrisation holds, and the directions and lengths of weight norm.
    """
    found: dict[str, list[int]] = {}
    for number, one in enumerate(tensors):
        owner, parametrised, weight = one.module.partition(PARAMETRISED)
        if one.parameter and parametrised:
            found.setdefault(f"{owner}.{weight}", []).append(number)
    numbers = {one.name: number for number, one in enumerate(tensors) if one.parameter}
    for name, number in numbers.items():
        lengths = numbers.get(f"{name[:-2]}_g") if name.endswith("_v") else None
        if lengths is not None and _are_lengths(tensors[lengths].shape, tensors[number].shape):
            found[name[:-2]] = [lengths, number]
    return {
        name: sorted(group, key=lambda n: (prod(tensors[n].shape), tensors[n].name)) for name, group in found.items()
    }


def _are_lengths(shape: tuple[int, ...], directions: tuple[int, ...]) -> bool:
    """One number for each index of a dimension, or one for all."""
    same = [n for n, size in zip(shape, directions, strict=False) if n == size and n > 1]
    return not shape or (len(shape) == len(directions) and len(same) <= 1 and prod(shape) == prod(same))


def _tied(tensor: TensorInfo, types: dict[str, str]) -> TiedUse | None:
    """The use of a tensor under those of its names whose modules have it the other way round; None without any."""
    if not tensor.parameter or len(tensor.shape) < 2:
        return None
    modules = {name: types.get(name.rpartition(".")[0]) for name in (tensor.name, *tensor.aliases)}
    made = {name: _made(tensor, type_name) for name, type_name in modules.items() if type_name is not None}
    names = tuple(name for name in made if made[name] != made.get(tensor.name, 0))
    return TiedUse(tensor.name, names, (made[names[0]],), (1 - made[names[0]],)) if names else None


def _made(tensor: TensorInfo, type_name: str) -> int:
    """The dimension that a module computes; of tied tensors also an embedding of another class is told by its name."""
    return int(type_name in REVERSED or (bool(tensor.aliases) and type_name.endswith("Embedding")))


def _is_stack(tensor: TensorInfo, type_name: str) -> bool:
    """One matrix for each expert."""
    return tensor.parameter and len(tensor.shape) == 3 and tensor.shape[0] > 1 and "Conv" not in type_name

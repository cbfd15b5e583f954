"""What the dimensions of a weight are for: which it computes, and which it reads."""

from dataclasses import dataclass

from ..structures.analysis import Analysis, TensorInfo

REVERSED = frozenset({"ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Conv1D", "Embedding"})
"""Module types whose weight has its inputs on dimension 0 and its outputs on dimension 1."""


@dataclass(frozen=True, slots=True)
class Roles:
    """What the dimensions of the weights are for; T tensors.

    Attributes:
        outputs: [T] dimensions whose indices a weight computes, the last one its features; () for what is no weight.
        inputs: [T] dimensions that it reads.
    """

    outputs: tuple[tuple[int, ...], ...]
    inputs: tuple[tuple[int, ...], ...]


def roles_of(analysis: Analysis) -> Roles:
    """Outputs on dimension 0 and inputs on dimension 1, or the other way round; in stacks behind the expert's number.

    Which way round a stack lies shows at the set that begins on it: its first parameter computes it.
    """
    types = {module.path: module.type_name for module in analysis.modules}
    stacks = {n for n, one in enumerate(analysis.tensors) if _is_stack(one, types.get(one.module, ""))}
    begins = (one.touches[0] for one in analysis.sets if one.touches)
    computed = {analysis.tensors[t].module: d for t, d in begins if t in stacks and d > 0}
    pairs = [_roles(one, types, computed if n in stacks else {}) for n, one in enumerate(analysis.tensors)]
    return Roles(tuple(outputs for outputs, _ in pairs), tuple(inputs for _, inputs in pairs))


def _roles(
    tensor: TensorInfo, types: dict[str, str], computed: dict[str, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if not tensor.parameter or len(tensor.shape) < 2:
        return (), ()
    if tensor.module in computed:
        made = computed[tensor.module]
        return (0, made), (3 - made,)
    made = int(types.get(tensor.module) in REVERSED)
    return (made,), (1 - made,)


def _is_stack(tensor: TensorInfo, type_name: str) -> bool:
    """One matrix for each expert."""
    return tensor.parameter and len(tensor.shape) == 3 and tensor.shape[0] > 1 and "Conv" not in type_name

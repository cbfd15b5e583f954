"""What a forward computes from a number before any weight comes in: a root of a size as a tensor, rounded as it is."""

import torch

from ....tracing.record import OperatorCall, Ref

Pair = tuple[torch.Tensor, torch.Tensor]
"""A constant as a cut model has it, and as it should be."""


def constant(numbers: tuple[float, float], dtype: str) -> Pair:
    """A constant that a forward makes of a number: as it is given, and as it should be."""
    made = tuple(torch.tensor(number, dtype=getattr(torch, dtype)) for number in numbers)
    return made[0], made[1]


def computed(call: OperatorCall, operands: dict[int, Pair], dtype: str) -> Pair | None:
    """The result of a pointwise operator on such constants alone; None for other operators."""
    if not call.pointwise or any(isinstance(a, (list, str)) for a in call.arguments.values()):
        return None
    operator = getattr(getattr(torch.ops.aten, call.op.removeprefix("aten.")), call.overload)

    def run(which: int) -> torch.Tensor:
        given = {n: operands[a.value][which] if isinstance(a, Ref) else a for n, a in call.arguments.items()}
        return operator(**given).to(getattr(torch, dtype))

    return run(0), run(1)

"""Degrees of homogeneity (`homogeneity.py`) as arrays, and what a rule for an operator sees."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....tracing.record import OperatorCall, Record, Ref

Degree: TypeAlias = NDArray[np.float64]
"""[2, ...] a and b of a value's entries: of its shape, but one long where a dimension makes no difference."""


class Uneven(Exception):
    """No one t makes everything right."""


@dataclass(frozen=True, slots=True)
class Operands:
    """What a rule sees of a call.

    Attributes:
        call: The call.
        record: The run.
        degree: Degree of a value.
        vanish: Says that what has this degree must be as it should be.
    """

    call: OperatorCall
    record: Record
    degree: Callable[[int], Degree]
    vanish: Callable[[Degree], None]

    @property
    def op(self) -> str:
        """The operator; see `plain`."""
        return plain(self.call)

    def of(self, name: str) -> Degree | None:
        """Degree of a tensor argument, None where it is absent or a number."""
        argument = self.call.arguments.get(name)
        return self.degree(argument.value) if isinstance(argument, Ref) else None

    def tensor(self, name: str) -> Degree:
        """Degree of an argument that is a tensor.

        Raises:
            Uneven: It is none, so the rule is not made for this call.
        """
        degree = self.of(name)
        if degree is None:
            raise Uneven
        return degree

    def get(self, name: str, default: Any = None) -> Any:
        """An argument."""
        return self.call.arguments.get(name, default)

    def rank(self, number: int = 0) -> int:
        """How many dimensions a result has."""
        return len(self.record.shapes[self.call.outputs[number]])

    def right(self) -> list[Degree]:
        """Results that are as they should be."""
        return [np.zeros((2, *[1] * self.rank(n))) for n in range(len(self.call.outputs))]


def plain(call: OperatorCall) -> str:
    """The operator; one that writes into its operand like the one that does not."""
    return call.op.removesuffix("_")


def fitting(degree: Degree, rank: int) -> Degree:
    """Of a value with so many dimensions, the last ones beside each other."""
    return degree.reshape(2, *[1] * (rank - degree.ndim + 1), *degree.shape[1:])

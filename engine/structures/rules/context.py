"""The context of a rule: labels of values, shapes of the record, and one operator call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...errors import Message
from ...tracing.record import OperatorCall, PassedConstant, Record, Ref
from .. import reasons
from ..solver.labels import Dim, Dims, LabelArray, Labels


@dataclass(frozen=True, slots=True)
class OperatorCost:
    """Multiply-accumulates of a call, as the product of these axes and what no axis expresses.

    Attributes:
        number: Number of the call.
        dims: At most four axes.
        macs: How many in the record's run.
    """

    number: int
    dims: tuple[Dim, ...]
    macs: int


@dataclass(slots=True)
class Context:
    """The state of the walk over a record.

    Attributes:
        record: The run.
        labels: Statements so far.
        dims: Labels of each value's dimensions.
        parameters: Values that are parameters or buffers, or plain views of them.
        producers: Label arrays of parameter dimensions that make an axis (a filter's own dimension).
        costs: What costs multiply-accumulates; one call may have several summands.
        sizes: (module path, "groups" or "heads", their labels): counts that modules remember.
        counts: For a call that takes a part of an axis, the labels before and behind it: what is left of them must
            be what the code leaves out.
        groups: The labels of the groups in which a value was normalised or shuffled.
        origins: For a value that was computed index by index, the values that it was computed from.
        points: For a value that holds numbers of an axis's indices, that axis's labels.
        used: Values that a live call reads or that are outputs.
        dead: Calls on which nothing depends.
        constants: Constants that may be cut where they are handed over, with labels of their own.
        number: Number of the call at hand.
    """

    record: Record
    labels: Labels
    dims: dict[int, Dims] = field(default_factory=dict[int, Dims])
    parameters: set[int] = field(default_factory=set[int])
    producers: list[tuple[str, Dim]] = field(default_factory=list[tuple[str, Dim]])
    costs: list[OperatorCost] = field(default_factory=list[OperatorCost])
    sizes: list[tuple[str, str, Dim]] = field(default_factory=list[tuple[str, str, Dim]])
    counts: dict[int, tuple[Dim, Dim]] = field(default_factory=dict[int, tuple[Dim, Dim]])
    groups: dict[int, Dim] = field(default_factory=dict[int, Dim])
    origins: dict[int, frozenset[int]] = field(default_factory=dict[int, frozenset[int]])
    points: dict[int, LabelArray] = field(default_factory=dict[int, LabelArray])
    used: frozenset[int] = frozenset()
    dead: frozenset[int] = frozenset()
    constants: list[tuple[PassedConstant, Dims]] = field(default_factory=list[tuple[PassedConstant, Dims]])
    number: int = 0

    @property
    def call(self) -> OperatorCall:
        """The call at hand."""
        return self.record.calls[self.number]

    def value(self, name: str) -> int | None:
        """Value number of a tensor argument, None where it is absent."""
        argument = self.call.arguments.get(name)
        return argument.value if isinstance(argument, Ref) else None

    def of(self, name: str) -> Dims:
        """Labels of a tensor argument."""
        argument = self.call.arguments[name]
        assert isinstance(argument, Ref)
        return self.dims[argument.value]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor argument."""
        argument = self.call.arguments[name]
        assert isinstance(argument, Ref)
        return self.record.shapes[argument.value]

    def get(self, name: str, default: Any = None) -> Any:
        """A literal argument."""
        return self.call.arguments.get(name, default)

    def out_shape(self, number: int = 0) -> tuple[int, ...]:
        """Shape of a result."""
        return self.record.shapes[self.call.outputs[number]]

    def fix(self, dim: Dim, reason: Message) -> None:
        """The labels of an axis must stay because of the call at hand; nothing to do for an untracked one."""
        self.labels.fix(dim, reason, self.call.module)

    def meet(self, dims: list[Dim], reason: Message | None = None) -> Dim:
        """Axes of equal length that the call at hand combines index by index: all tracked, or all must stay."""
        return self.labels.meet(dims, reason or reasons.combined(self.call.op), self.call.module)

    def cost(self, *dims: Dim, macs: int | None = None) -> None:
        """The call at hand costs a product of axes; `macs` where these are one summand of all that it costs."""
        self.costs.append(OperatorCost(self.number, dims, self.call.flops // 2 if macs is None else macs))

    def give(self, dims: Sequence[Dim], number: int = 0) -> None:
        """Set the labels of a result."""
        assert len(dims) == len(self.out_shape(number)), f"{self.call.op} has another number of axes"
        self.dims[self.call.outputs[number]] = list(dims)

    def give_all(self, dims: Sequence[Dim]) -> None:
        """Set the same labels for every result."""
        for number in range(len(self.call.outputs)):
            self.give(dims, number)

    def give_untracked(self, first: int = 0) -> None:
        """The results from `first` on are untracked."""
        for number in range(first, len(self.call.outputs)):
            self.give([None] * len(self.out_shape(number)), number)


Rule: TypeAlias = Callable[[Context], None]

"""Labels of constants in the code: tensors made in a forward, attributes of modules, globals.

Where one is combined index by index with a tensor that has labels it gets labels of its own, and is cut there, every
time that the code hands it over. Where it is read in another way, what it meets stays, with the constant as the reason.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ..tracing.record import PassedConstant
from . import reasons
from .rules import Context
from .solver.labels import Dim, Dims


@dataclass(frozen=True, slots=True)
class _Open:
    """A constant within the function that it is handed to: what labels it had before, and those that it got."""

    handed: PassedConstant
    before: Dims
    fresh: Dims


class Constants:
    """Labels for the constants of one run, as long as the functions run that these are handed to."""

    def __init__(self, context: Context) -> None:
        """Take the walk's state."""
        self._context = context
        self._begin: dict[int, list[PassedConstant]] = {}
        self._end: dict[int, list[_Open]] = {}
        for handed in context.record.handed:
            if handed.first < handed.last:
                self._begin.setdefault(handed.first, []).append(handed)

    def before(self, number: int) -> None:
        """A call is next: functions have ended before it, others begin with it."""
        for one in self._end.pop(number, ()):
            self._close(one)
        for handed in self._begin.get(number, ()):
            self._open(handed)

    def finish(self) -> None:
        """There is no further call."""
        for number in sorted(self._end):
            self.before(number)

    def _open(self, handed: PassedConstant) -> None:
        context, record = self._context, self._context.record
        sizes, calls = record.shapes[handed.value], record.calls[handed.first : handed.last]
        floating = record.dtypes[handed.value].startswith(("float", "bfloat", "complex"))
        if not floating or any(handed.value in call.outputs for call in calls):
            return
        before = context.dims.setdefault(handed.value, [None] * len(sizes))
        fresh = [context.labels.new(s) if d is None and s > 1 else None for d, s in zip(before, sizes, strict=True)]
        context.dims[handed.value] = [d if f is None else f for d, f in zip(before, fresh, strict=True)]
        self._end.setdefault(handed.last, []).append(_Open(handed, before, fresh))

    def _close(self, one: _Open) -> None:
        context, handed = self._context, one.handed
        met = {id(dim) for dim in self._met(handed)}
        context.dims[handed.value] = one.before
        context.constants.append((handed, one.fresh))
        for dim in (d for d in one.fresh if d is not None and id(d) not in met):
            context.labels.fix(dim, reasons.constant(self._reader(handed)), handed.module)

    def _met(self, handed: PassedConstant) -> Iterator[Dim]:
        """Dimensions of constants that lie beside labelled ones of the same size in an operator index by index."""
        dims, constants = self._context.dims, self._context.record.constants
        for call in self._context.record.calls[handed.first : handed.last]:
            own = [dims.get(v, ()) for v in call.refs() if v in constants]
            others = [dims.get(v, ()) for v in call.refs() if v not in constants]
            for first, second in ((f, s) for f in own for s in others if call.pointwise):
                pairs = zip(reversed(first), reversed(second), strict=False)
                yield from (a for a, b in pairs if a is not None and b is not None and len(a) == len(b))

    def _reader(self, handed: PassedConstant) -> str:
        """The operator that reads a constant together with something else."""
        constants, calls = self._context.record.constants, self._context.record.calls[handed.first : handed.last]
        return next((call.op for call in calls if not constants.issuperset(call.refs())), calls[0].op)

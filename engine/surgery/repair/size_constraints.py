"""Makes constraints from trial cuts: sizes that a model's code treats as one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ...errors import Message
from ...structures import reasons
from ...structures.analysis import Analysis, Constraint, CountRule, Kind, KnownRepairs, Literal, inside
from .candidates import ancestor_paths


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What a trial cut showed.

    Attributes:
        kept: Sizes of axes in it.
        known: What it and those before it showed about attributes.
        foreign: It needed more than the model's own code.
        given: By literal: what the code gave by itself, where that is not what was needed.
        attention: Modules whose forward was replaced.
    """

    kept: NDArray[np.int64]
    known: KnownRepairs
    foreign: bool = False
    given: dict[Literal, int | float] = field(default_factory=dict[Literal, int | float])
    attention: tuple[str, ...] = ()


def equal_sizes(analysis: Analysis, shown: Sequence[TrialOutcome]) -> list[Constraint]:
    """What trials told to be equal: where one told it, and in every other module of the same code."""
    places = _Places(analysis)
    found = list(_attention(analysis, shown))
    for one in _literals(shown):
        other = places.same(one, [each for each in shown if one in each.given]) if one.axis >= 0 else None
        for module, axis, twin in () if other is None else places.alike(one, other):
            if axis != twin:
                found.append(_equal(analysis, axis, twin, places.why(one), module))
    return found


def all_stay(analysis: Analysis, shown: Sequence[TrialOutcome]) -> list[Constraint]:
    """What stays where nothing is known to be equal: head dimensions first; all on an axis; all of a module."""
    places = _Places(analysis)
    still = {n for one in analysis.constraints if one.kind is CountRule.WHOLE for n in one.sets}
    free = [n for n, one in enumerate(analysis.sets) if n not in still and one.kind is not Kind.BLOCK]
    axes = {n: analysis.axes_of(analysis.sets[n]) for n in free}

    def on_axis(one: Literal) -> list[int]:
        return [n for n in free if one.axis in axes[n]]

    def dimensions(one: Literal) -> list[int]:
        return [n for n in on_axis(one) if analysis.sets[n].kind is Kind.HEAD_DIM]

    def beside(one: Literal) -> list[int]:
        owners = {n: [analysis.tensors[t].module for t, _ in analysis.sets[n].touches] for n in free if one.module}
        return [n for n, paths in owners.items() if any(inside(path, one.module) for path in paths)]

    choices: tuple[Callable[[Literal], list[int]], ...] = (dimensions, on_axis, beside)
    for choose in choices:
        found = {one: tuple(choose(one)) for one in _literals(shown)}
        if any(found.values()):
            return [_stay(sets, places.why(one), one.module) for one, sets in found.items() if sets]
    return []


class _Places:
    """Where the axes of an analysis occur: in the numbers of forwards and in parameters."""

    def __init__(self, analysis: Analysis) -> None:
        """Note them all."""
        self._length = np.diff(analysis.axis_start)
        self._kinds = {m.path: m.type_name for m in analysis.modules}
        self._roles: dict[str, dict[tuple[str, ...], int]] = {path: {} for path in self._kinds}
        for one in analysis.literals:
            if one.axis >= 0:
                self._roles[one.module][_role(one)] = one.axis
        for tensor in analysis.tensors:
            for path in ancestor_paths(tensor.module):
                name = tensor.name.removeprefix(f"{path}." if path else "")
                self._roles[path] |= {(name, str(d)): axis for d, axis in enumerate(tensor.axes) if axis >= 0}

    def same(self, one: Literal, seen: Sequence[TrialOutcome]) -> int | None:
        """The axis that had the given size in every trial: of the module itself, else of one around it."""
        for path in ancestor_paths(one.module):
            for axis in dict.fromkeys(self._roles[path].values()):
                if self._length[axis] == one.value and all(each.kept[axis] == each.given[one] for each in seen):
                    return axis
        return None

    def alike(self, one: Literal, other: int) -> Iterator[tuple[str, int, int]]:
        """(module, its axis of the number, its other axis) for the module itself and those of its class."""
        yield one.module, one.axis, other
        kind, own = self._kinds[one.module], self._roles[one.module]
        roles = [role for role, axis in own.items() if axis == other]
        for path, theirs in self._roles.items():
            twins = {theirs[role] for role in roles if role in theirs}
            if path != one.module and self._kinds[path] == kind and _role(one) in theirs and len(twins) == 1:
                yield path, theirs[_role(one)], twins.pop()

    def why(self, one: Literal) -> Message:
        """Whose code works a size out from another."""
        return reasons.own_code(self._kinds[one.module] or "the model")


def _literals(shown: Sequence[TrialOutcome]) -> list[Literal]:
    return list(dict.fromkeys(chain.from_iterable(one.given for one in shown)))


def _role(one: Literal) -> tuple[str, ...]:
    return one.site, str(one.number), one.where


def _attention(analysis: Analysis, shown: Sequence[TrialOutcome]) -> Iterator[Constraint]:
    """Torch's own attention takes heads times their dimensions for the width of its queries."""
    axes = {f"{t.name}.{dim}": axis for t in analysis.tensors for dim, axis in enumerate(t.axes)}
    why = reasons.own_attention()
    for path in dict.fromkeys(chain.from_iterable(one.attention for one in shown)):
        prefix = f"{path}." if path else ""
        packed = f"{prefix}in_proj_weight.0" in axes
        projections = ["in_proj_weight"] if packed else ["q_proj_weight", "k_proj_weight", "v_proj_weight"]
        rows = {axes[f"{prefix}{name}.0"] for name in projections}
        reads, inner = axes[f"{prefix}{projections[0]}.1"], axes[f"{prefix}out_proj.weight.1"]
        heads = [n for n, one in enumerate(analysis.sets) if one.kind is Kind.HEAD_DIM]
        dims = tuple(n for n in heads if rows & analysis.axes_of(analysis.sets[n]))
        if dims:
            yield _stay(dims, why, path)
        if reads != inner and min(reads, inner) >= 0:
            yield _equal(analysis, reads, inner, why, path)


def _equal(analysis: Analysis, axis: int, other: int, why: Message, module: str) -> Constraint:
    size = int(np.diff(analysis.axis_start)[axis])
    return Constraint(CountRule.EQUAL, (min(axis, other), max(axis, other)), size, (), why, module)


def _stay(sets: tuple[int, ...], why: Message, module: str) -> Constraint:
    return Constraint(CountRule.WHOLE, (), 0, sets, why, module)

"""Candidate values for attributes and literals that may make a cut model's code run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, TypeAlias, cast

from torch import nn

from ...structures.analysis import Literal
from ...structures.transition import Transition
from ...tracing.attribute_reads import DEPTH, is_plain
from ..cut.edits import merged_repairs
from ..cut.module_attributes import module_attributes

Site: TypeAlias = tuple[str, str, int, str, Any]
"""A replaced number: module path, call site, k-th call or -1, place among the arguments, value; see `Edits`."""
ORDINARY = frozenset(vars(nn.Module()))
"""What every module has."""


class AxisSizes:
    """Old and new sizes of the axes that each module has to do with."""

    def __init__(self, transition: Transition) -> None:
        """Take the state that is cut, and what it becomes."""
        analysis = transition.analysis
        self._old, self._new = transition.sizes_before, transition.sizes_after
        self._own: dict[str, dict[int, set[int]]] = {}
        self._all: dict[str, dict[int, set[int]]] = {}
        self._axes: dict[str, set[int]] = {}
        self._literals: dict[str, list[Literal]] = {}
        for literal in analysis.literals:
            self._literals.setdefault(literal.module, []).append(literal)
            self._note(literal.module, literal.axis, own=True)
            self._note(literal.module, literal.counted, own=True)
        for module, _, axis, _ in analysis.sizes:
            self._note(module, axis, own=True)
        for tensor in analysis.tensors:
            for axis in tensor.axes:
                self._note(tensor.module, axis, own=False)

    def _note(self, module: str, axis: int, own: bool) -> None:
        if axis < 0 or not self._changes(axis):
            return
        old, new = int(self._old[axis]), int(self._new[axis])
        if own:
            self._own.setdefault(module, {}).setdefault(old, set()).add(new)
        for path in ancestor_paths(module):
            self._all.setdefault(path, {}).setdefault(old, set()).add(new)
            self._axes.setdefault(path, set()).add(axis)

    def _changes(self, axis: int) -> bool:
        return bool(self._old[axis] != self._new[axis])

    def between(self, path: str, old: int, new: int) -> tuple[int, ...]:
        """Axes that a module has to do with and that had the one size and have the other; none where it stays."""
        axes = sorted(self._axes.get(path, ())) if old != new else ()
        return tuple(a for a in axes if self._old[a] == old and self._new[a] == new)

    def after(self, old: int, axes: Iterable[int]) -> int | None:
        """What a size is now that one of these axes has, None where they differ; the same where none has it."""
        new = {int(self._new[a]) for a in axes if self._old[a] == old}
        return old if not new else new.pop() if len(new) == 1 else None

    def before(self, axis: int) -> int:
        """How many indices an axis had before the cut."""
        return int(self._old[axis])

    def changes(self, path: str, old: int, every: bool = False) -> list[int]:
        """New sizes that an old one may have become, for a module: by its own code, else (or also) by any tensor."""
        own = self._own.get(path, {}).get(old)
        return sorted(own if own and len(own) == 1 and not every else self._all.get(path, {}).get(old, ()))

    def attributes(
        self, model: nn.Module, path: str, scope: str | None = None, every: bool = False
    ) -> dict[str, list[Any]]:
        """For each attribute of a module that holds changed sizes: the values that it may have now.

        Args:
            model: The cut model.
            path: The module.
            scope: The module whose sizes its own may be, by default itself.
            every: Any tensor's sizes count, also where the module's own code knows one.
        """
        module = model.get_submodule(path)
        scope = path if scope is None else scope
        if module_attributes(module, None):
            return {}
        found: dict[str, list[Any]] = {}
        for name, value in _numbers_in(vars(module), DEPTH):
            new = self.values(scope, value, every)
            if new:
                found[name] = new
        return found

    def values(self, path: str, value: int | Sequence[int], every: bool = False) -> list[Any]:
        """What a number, or a sequence of numbers, may have become for a module."""
        if isinstance(value, int):
            return list(self.changes(path, value, every))
        each = [self.changes(path, one) or [one] for one in value]
        changed = [one[0] for one in each]
        return [changed] if changed != list(value) and all(len(one) == 1 for one in each) else []

    def expected_value(self, literal: Literal) -> int | float:
        """What a number in a forward must be now."""
        return literal.value if literal.axis < 0 else int(self._new[literal.axis])

    def literals(self, path: str, factors: Iterable[tuple[str, str]] = ()) -> list[Site]:
        """What to replace in a module's forward: all sizes, and the numbers to compute with at (site, place)."""
        factors = set(factors)
        values: dict[tuple[str, str], dict[int, set[int | float]]] = {}
        for one in self._literals.get(path, ()):
            if one.axis >= 0 or (one.site, one.where) in factors:
                value = -1 if one.free else self.expected_value(one)
                values.setdefault((one.site, one.where), {}).setdefault(one.number, set()).add(value)
        return [
            (path, site, number, where, value)
            for (site, where), numbers in values.items()
            for number, value in _by_call(numbers)
        ]

    def size_numbers(self) -> Iterator[tuple[str, str, str]]:
        """(path, site, place) of numbers in forwards that change with a size, or may: those that compute with it."""
        for path, each in self._literals.items():
            for one in each:
                if self._changes(one.axis) if one.axis >= 0 else path in self._own:
                    yield path, one.site, one.where

    def batch_numbers(self) -> dict[tuple[str, str, str], set[int | float]]:
        """What numbers must be in which the batch, or another without an axis, is a factor: by (path, site, place)."""
        found: dict[tuple[str, str, str], set[int | float]] = {}
        for path, each in self._literals.items():
            for one in (one for one in each if one.repeats > 1):
                found.setdefault((path, one.site, one.where), set()).add(self.expected_value(one))
        return found

    def renew_literals(self, old: Sequence[Site]) -> list[Site]:
        """Replacements of an earlier cut with the values of this one."""
        places = {(path, site, where) for path, site, _, where, _ in old}
        factors = {(site, where) for _, site, where in places}
        new = [one for path in {one[0] for one in old} for one in self.literals(path, factors)]
        return merged_repairs("literals", old, (one for one in new if (one[0], one[1], one[3]) in places))


def _by_call(numbers: Mapping[int, set[int | float]]) -> Iterator[tuple[int, int | float]]:
    """(k-th call, value); one entry for all calls (-1) where their values agree, none where one call has several."""
    every = set[int | float]().union(*numbers.values())
    if len(every) == 1:
        yield -1, every.pop()
    else:
        yield from ((number, next(iter(values))) for number, values in numbers.items() if len(values) == 1)


def ancestor_paths(path: str) -> Iterator[str]:
    """The path and those above it, "" last."""
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def _numbers_in(held: Mapping[str, Any], depth: int) -> Iterator[tuple[str, int | Sequence[int]]]:
    """(name, whole number or sequence of such) of what an object holds, and of plain objects in it."""
    for name, value in held.items():
        if name in ORDINARY:
            continue
        if _is_size(value):
            yield name, value
        elif isinstance(value, (list, tuple)):
            if value and all(_is_size(one) for one in cast("Sequence[Any]", value)):
                yield name, cast("Sequence[int]", value)
        elif depth and is_plain(value):
            inside = cast("Mapping[str, Any]", vars(value))
            yield from ((f"{name}.{inner}", number) for inner, number in _numbers_in(inside, depth - 1))


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, (bool, Enum)) and value > 0

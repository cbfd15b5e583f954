"""Inputs on which a model's Python code takes a way that no run has taken yet, and words for the ways left untried.

`tracing/guards.py` says where the code branches on sizes and values and which way it went. Here inputs are made that
should lead the other way (a batch just above the bound, another length, larger numbers), and each is confirmed by a
watched run of the original. A side on which the original itself raises is no way through it.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeAlias

import torch
from torch.utils._pytree import tree_map_only

from ..errors import Message
from ..inputs import MASK, Inputs, batch_size
from ..phrases import Phrase, any_of, listed
from ..tracing.guards import COMPARISONS, Guard, GuardKind, Guards, Place, WatchedRun
from ..tracing.reading import named_tensors, tensors_of

LARGER = 16
"""How many times as many elements as the example an input may have."""
SEEDS = (1, 2, 3)
"""Seeds under which a forward that draws in Python or NumPy is run besides the usual one, 0."""
SCALES = (-1.0, 100.0, 0.01, 0.0, 10.0, 1000.0)
SHIFTS = (10.0, -10.0, 3.0, -3.0)


@dataclass(frozen=True, slots=True)
class Path:
    """A way through a model's code, by what leads there.

    Attributes:
        name: What is other than in the example, in words.
        inputs: What the model is run on.
        seed: Of the random states (`quiet.same_draws`).
    """

    name: Phrase
    inputs: Inputs
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Axis:
    """Dimensions of the inputs that have one size, and are changed together.

    Attributes:
        places: The dimensions.
        size: Their size in the example.
        batch: They are the batch.
        space: They are dimensions of images.
        whole: All of this size.
    """

    places: frozenset[Place]
    size: int
    batch: bool = False
    space: bool = False
    whole: bool = False

    def named(self, size: int) -> Phrase:
        """In words, at another size."""
        if self.batch:
            return Message("path.batch", "batch size {size}", {"size": size})
        dims = [str(dim) for dim in sorted({dim for _, dim in self.places})]
        return Message("path.size", "size {size} in dimension {dimension}", {"size": size, "dimension": any_of(dims)})


Candidate: TypeAlias = tuple[Phrase, Callable[[], Inputs], int]
"""Its name, what makes its inputs, and the seed."""


class PathSearch:
    """Looks for inputs that lead where no watched run of a model has been.

    Iterating makes runs and gives each path that took a side of a guard not taken before, and, where the forward draws
    random numbers in Python or NumPy, the example under other seeds.
    """

    def __init__(
        self,
        guards: Guards,
        inputs: Inputs,
        run: Callable[[Path], object],
        most: int = 24,
        seconds: float = math.inf,
    ) -> None:
        """Take what is known so far.

        Args:
            guards: What was seen in the runs made so far, the first of them on `inputs`; `run` adds to it.
            inputs: Example inputs.
            run: Runs a fresh twin of the original on a path's inputs under its seed, watched by `guards`; raises where
                the model does.
            most: How many runs are made.
            seconds: How long, in seconds; the run that goes on then is finished.
        """
        self._guards = guards
        self._inputs = inputs
        self._run = run
        self._most = most
        self._seconds = seconds
        self._axes = _axes(inputs)
        self._elements = sum(tensor.numel() for tensor in tensors_of(inputs))
        self._tried: set[str] = set()
        self._refused: dict[Axis, list[int]] = {}

    def __iter__(self) -> Iterator[Path]:
        """Make the runs."""
        began = time.monotonic()
        for seed in SEEDS if self._guards.drawn & {"Python", "NumPy"} else ():
            self._tried.add(str(_seeded(seed)))
            yield Path(_seeded(seed), self._inputs, seed)
        for _ in range(self._most):
            path = self._next()
            if path is None or time.monotonic() - began > self._seconds:
                return
            before = self._ways()
            try:
                self._run(path)
            except Exception:  # the model does not go there
                continue
            if self._ways() - before:
                yield path

    @property
    def untried(self) -> tuple[Phrase, ...]:
        """A sentence for each line of code that branches, one side of which no run has taken."""
        lines: dict[tuple[str, int], list[Guard]] = {}
        for guard in self._guards.found():
            if guard.branches and guard.open and self._matters(guard) and not self._leads_nowhere(guard):
                lines.setdefault((guard.file, guard.line), []).append(guard)
        return tuple(map(_sentence, lines.values()))

    def _ways(self) -> set[tuple[int, bool]]:
        return {(one.number, side) for one in self._guards.found() for side in one.taken}

    def _next(self) -> Path | None:
        """The most promising path that was not tried."""
        for name, make, seed in self._candidates([one for one in self._guards.found() if one.open]):
            if str(name) not in self._tried:
                self._tried.add(str(name))
                return Path(name, make(), seed)
        return None

    def _candidates(self, wanted: list[Guard]) -> Iterator[Candidate]:
        numbers = [one for one in wanted if one.operator != "bool" and one.kind is not GuardKind.RANDOM]
        for guard in numbers:
            for axis in self._axes:
                for size in self._aims(guard, axis):
                    yield from self._at(axis, size)
        sizes = [one for one in numbers if one.kind is not GuardKind.VALUE]
        for axis in self._axes if sizes else ():
            direct = any(one.places & axis.places for one in sizes)
            if axis.batch:
                if not self._known(axis):
                    yield from self._at(axis, axis.size + 1)
            elif ((direct or axis.whole) and not self._known(axis)) or (
                axis.space and any(self._compares_sizes(one, axis) for one in sizes)
            ):
                yield from self._at(axis, axis.size - 1)
        if any(one.kind is GuardKind.VALUE for one in wanted):
            yield from _other_values(self._inputs)
        if any(one.kind is GuardKind.RANDOM for one in wanted):
            yield from ((_seeded(seed), lambda: self._inputs, seed) for seed in SEEDS)

    def _at(self, axis: Axis, size: int) -> Iterator[Candidate]:
        """The example at another size, unless that is too large."""
        elements = sum(_elements(path, tensor, axis, size) for path, tensor in named_tensors(self._inputs))
        if 1 <= size != axis.size and elements <= LARGER * max(self._elements, 1):
            yield axis.named(size), lambda: resized(self._inputs, axis.places, size), 0

    def _runs_along(self, axis: Axis) -> list[tuple[int, WatchedRun]]:
        """Runs that differ from the first in the size of one axis alone, with that size; the first one is first."""
        first = self._guards.runs[0]
        found = [(axis.size, first)]
        for run in self._guards.runs[1:]:
            changed = first.changed(run)
            if changed == axis.places or (axis.batch and changed and all(dim == 0 for _, dim in changed)):
                sizes = {run.shapes[path][dim] for path, dim in changed}
                if len(sizes) == 1:
                    found.append((sizes.pop(), run))
        return found

    def _known(self, axis: Axis) -> bool:
        """A run was made, or tried, at another size of this axis, alone or with others."""
        changed = (self._guards.runs[0].changed(run) for run in self._guards.runs[1:])
        return any(one and one >= axis.places for one in changed)

    def _slopes(self, guard: Guard, axis: Axis) -> list[tuple[int, float, float]]:
        """(size, left - right there, how much that changes with one more) for each of its comparisons in a run."""
        (size, first), *others = self._runs_along(axis)
        here = _gaps(guard, first)
        if not here:
            return []
        nearest = sorted(others, key=lambda one: abs(one[0] - size))
        for other, run in nearest:
            there = _gaps(guard, run)
            if there:
                pairs = zip(here, there, strict=True) if len(here) == len(there) else [(here[0], there[0])]
                return [(size, a, (b - a) / (other - size)) for a, b in pairs]
        if len(guard.places) == 1 and guard.places <= axis.places and not guard.modulus:
            return [(size, gap, 1.0) for gap in here]
        return []

    def _aims(self, guard: Guard, axis: Axis) -> list[int]:
        """Sizes at which the other side should be taken, the nearest first."""
        slopes = self._slopes(guard, axis)
        reads = bool(guard.places & axis.places)
        if guard.modulus and (reads or any(slope for *_, slope in slopes)):
            k, size = guard.modulus, axis.size
            return [size + 1, (size // k + 1) * k, max(1, size // k) * k, size - 1, size + k, 2 * size, size + k // 2]
        if guard.operator not in COMPARISONS:
            return []
        aims: set[int] = set()
        for size, gap, slope in slopes:
            if slope:
                there = math.floor(size - gap / slope)
                near = sorted(range(max(1, there - 1), there + 3), key=lambda one, size=size: abs(one - size))
                sides = {one: COMPARISONS[guard.operator](round(gap + slope * (one - size), 6), 0) for one in near}
                aims |= set([one for one in near if sides[one] not in guard.taken][:2])
        return sorted(aims, key=lambda one: abs(one - axis.size))

    def _compares_sizes(self, guard: Guard, axis: Axis) -> bool:
        """Both sides of a comparison change with the axis, and not their difference."""
        values = [{s.right for s in guard.sights if s.run == run.number} for _, run in self._runs_along(axis)]
        return any(one and one != values[0] for one in values)

    def _matters(self, guard: Guard) -> bool:
        """What is compared is something else with other inputs: no number of a layer's channels."""
        if guard.kind is GuardKind.VALUE or guard.kind is GuardKind.RANDOM:
            return True
        reads = len(guard.places) == 1 and guard.bound is not None
        gaps = [gaps for run in self._guards.runs if (gaps := _gaps(guard, run))]
        return reads or any(one != gaps[0] for one in gaps)

    def _leads_nowhere(self, guard: Guard) -> bool:
        """The model raises, before it comes to the guard, on every input that should have led to the other side."""
        aimed = [(axis, size) for axis in self._axes for size in self._aims(guard, axis)]
        raised = {(axis, size) for axis in self._axes for size, run in self._runs_along(axis) if run.raised}
        return bool(aimed) and all(one in raised for one in aimed)


def resized(inputs: Inputs, places: frozenset[Place], size: int) -> Inputs:
    """Inputs in which some dimensions have another size: what is there is cut or repeated, floats vary in what is new.

    Args:
        inputs: Any inputs.
        places: Dimensions of their tensors.
        size: The new size of all of these.
    """
    generator = torch.Generator().manual_seed(3)
    paths = {id(tensor): path for path, tensor in named_tensors(inputs)}

    def change(one: torch.Tensor) -> torch.Tensor:
        made = one
        for dim in sorted(dim for path, dim in places if path == paths.get(id(one))):
            kept = made.shape[dim]
            made = made.index_select(dim, torch.arange(size, device=one.device) % kept)
            if size > kept and made.is_floating_point():
                new = made.narrow(dim, kept, size - kept)
                spread = one.std() if one.numel() > 1 else one.abs().sum()
                new += spread * torch.randn(new.shape, generator=generator, dtype=one.dtype).to(one.device)
        return made

    return tree_map_only(torch.Tensor, change, inputs)


def _axes(inputs: Inputs) -> tuple[Axis, ...]:
    """The batch, all other dimensions of the same size together, and each of these alone where there are several."""
    named = list(named_tensors(inputs))
    batch = batch_size(inputs)
    first = frozenset((path, 0) for path, tensor in named if tensor.dim() and tensor.shape[0] == batch)
    found = [Axis(first, batch, batch=True)] if first else []
    places: dict[int, set[Place]] = {}
    space: set[Place] = set()
    for path, tensor in named:
        for dim, size in enumerate(tensor.shape):
            if dim:
                places.setdefault(size, set()).add((path, dim))
            if dim > 1 and tensor.dim() > 3 and tensor.is_floating_point():
                space.add((path, dim))
    for size, together in places.items():
        found.append(Axis(frozenset(together), size, space=together <= space, whole=True))
    for size, together in places.items():
        for dim in sorted({dim for _, dim in together}):
            alone = frozenset(place for place in together if place[1] == dim)
            if alone != together:
                found.append(Axis(alone, size, space=alone <= space))
    return tuple(found)


def _elements(path: str, tensor: torch.Tensor, axis: Axis, size: int) -> int:
    times = sum(place[0] == path for place in axis.places)
    return tensor.numel() * size**times // max(axis.size, 1) ** times


def _gaps(guard: Guard, run: WatchedRun) -> list[float]:
    """The differences of what is compared in a run; none for those that are not numbers."""
    gaps = {s.left - s.right for s in guard.sights if s.run == run.number}
    return sorted(one for one in gaps if math.isfinite(one))


def _seeded(seed: int) -> Message:
    return Message("path.seed", "random seed {seed}", {"seed": seed})


def _other_values(inputs: Inputs) -> Iterator[Candidate]:
    """The example with its numbers scaled and shifted, with low and high token ids, with other masks."""
    tensors = tensors_of(inputs)
    if any(one.is_floating_point() for one in tensors):
        for factor in SCALES:
            name = Message("path.scaled", "inputs × {factor}", {"factor": f"{factor:g}"})
            yield name, lambda factor=factor: _floats(inputs, lambda one: one * factor), 0
        for shift in SHIFTS:
            name = Message("path.shifted", "inputs {shift}", {"shift": f"{shift:+g}".replace("-", "−")})
            yield name, lambda shift=shift: _floats(inputs, lambda one: one + shift), 0
    whole = {path: one for path, one in named_tensors(inputs) if not one.is_floating_point() and not one.is_complex()}
    flags = {path for path, one in whole.items() if one.dtype is torch.bool or path == MASK or _is_mask(one)}
    ids = frozenset(whole) - flags
    if ids:
        yield Message("path.low", "the lowest ids"), lambda: _with(inputs, ids, torch.zeros_like), 0
        yield Message("path.high", "the highest ids"), lambda: _with(inputs, ids, _highest), 0
        yield Message("path.turned", "ids in reverse"), lambda: _with(inputs, ids, lambda one: one.flip(-1)), 0
    if flags:
        chosen = frozenset(flags)
        yield Message("path.padded", "padding at the end"), lambda: _with(inputs, chosen, _end_masked), 0
        yield (
            Message("path.padded_left", "padding at the start"),
            lambda: _with(inputs, chosen, lambda one: _end_masked(one).flip(-1)),
            0,
        )
        yield Message("path.full", "full masks"), lambda: _with(inputs, chosen, torch.ones_like), 0
        yield Message("path.empty", "empty masks"), lambda: _with(inputs, chosen, torch.zeros_like), 0


def _floats(inputs: Inputs, change: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
    return tree_map_only(torch.Tensor, lambda one: change(one) if one.is_floating_point() else one, inputs)


def _with(inputs: Inputs, chosen: frozenset[str], change: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
    ids = {id(tensor) for path, tensor in named_tensors(inputs) if path in chosen}
    return tree_map_only(torch.Tensor, lambda one: change(one) if id(one) in ids else one, inputs)


def _is_mask(tensor: torch.Tensor) -> bool:
    return tensor.dim() > 1 and bool(((tensor == 0) | (tensor == 1)).all())


def _highest(ids: torch.Tensor) -> torch.Tensor:
    return torch.full_like(ids, int(ids.max())) if ids.numel() else ids


def _end_masked(mask: torch.Tensor) -> torch.Tensor:
    made = torch.ones_like(mask)
    length = mask.shape[-1] if mask.dim() else 0
    made[..., length - length // 3 :] = 0
    return made


def _sentence(guards: list[Guard]) -> Message:
    """What is said of a line of code, of which guards were seen in one or several modules."""
    guard = guards[0]
    words: dict[str, Any] = {"file": PurePath(guard.file).name, "line": guard.line, "code": guard.text}
    lefts = sorted({s.left for one in guards for s in one.sights if math.isfinite(s.left)})
    bounds = {s.right for one in guards for s in one.sights}
    sized = guard.kind in (GuardKind.BATCH, GuardKind.SIZE)
    if sized and guard.operator in COMPARISONS and len(bounds) == 1 and lefts and len(guard.taken) == 1:
        words |= {"tried": _tried(lefts), "other": _side(guard, True not in guard.taken)}
        if guard.kind is GuardKind.BATCH:
            template = "{file} line {line} branches on the batch size ({code}): {tried} was tried, {other} not"
            return Message("path.batch_untried", template, words)
        if guard.dimension is not None and guard.places:
            words["dimension"] = guard.dimension
            template = (
                "{file} line {line} branches on the size of dimension {dimension} ({code}): {tried} was tried, "
                "{other} not"
            )
            return Message("path.dimension_untried", template, words)
        template = "{file} line {line} branches on a size ({code}): {tried} was tried, {other} not"
        return Message("path.size_untried", template, words)
    if len(guard.taken) == 1:
        words["side"] = str(*guard.taken)
        if sized:
            template = "{file} line {line} branches on sizes ({code}): only its {side} side was tried"
            made = Message("path.sizes_untried", template, words)
        elif guard.kind is GuardKind.RANDOM:
            template = "{file} line {line} branches on a random number ({code}): only its {side} side was tried"
            made = Message("path.random_untried", template, words)
        else:
            template = "{file} line {line} branches on values of a tensor ({code}): only its {side} side was tried"
            made = Message("path.value_untried", template, words)
        return made
    template = "{file} line {line} reads values of a tensor ({code}): which branches follow from them is not known"
    return Message("path.unknown", template, words)


def _tried(values: list[float]) -> Phrase:
    if len(values) <= 3:
        return listed([f"{one:g}" for one in values])
    words = {"least": f"{values[0]:g}", "most": f"{values[-1]:g}"}
    return Message("path.range", "{least} to {most}", words)


def _side(guard: Guard, side: bool) -> Message:
    """The numbers for which a comparison comes out so."""
    words = {"bound": f"{guard.bound:g}"}
    turned = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
    match guard.operator if side else turned[guard.operator]:
        case "==":
            return Message("path.exactly", "{bound}", words)
        case "!=":
            return Message("path.other", "any but {bound}", words)
        case "<":
            return Message("path.below", "below {bound}", words)
        case "<=":
            return Message("path.at_most", "{bound} or less", words)
        case ">":
            return Message("path.above", "above {bound}", words)
        case _:
            return Message("path.at_least", "{bound} or more", words)

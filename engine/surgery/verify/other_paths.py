"""Searches for inputs that lead a model's Python code through branches that no run has taken.

`tracing/guards.py` says where the code branches on sizes and values and which way it went. Here inputs are made that
should lead the other way (a batch just above the bound, another length, larger numbers), and each is confirmed by a
watched run of the original. A side on which the original itself raises is no way through it.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePath
from typing import Any, TypeAlias

import torch
from torch.utils._pytree import tree_map_only

from ...errors import Message
from ...jobs import Cancelled
from ...messages import Phrase, all_of, listed, module_named
from ...model_inputs import MASK, Inputs, batch_size
from ...tracing.guards import COMPARISONS, Guard, GuardKind, Guards, InputDimension, WatchedRun
from ...tracing.tree import named_tensors, tensors_of

LARGER = 16
"""How many times as many elements as the example an input may have."""
AIMS = 5
"""How many runs at other sizes are made for one line of code."""
SEEDS = (1, 2, 3)
"""Seeds under which a forward that draws in Python or NumPy is run besides the usual one, 0."""
SCALES = (-1.0, 100.0, 0.01, 0.0, 10.0, 1000.0)
SHIFTS = (10.0, -10.0, 3.0, -3.0)


@dataclass(frozen=True, slots=True)
class CodePath:
    """A way through a model's code, by what leads there.

    Attributes:
        name: What is other than in the example, in words.
        inputs: What the model is run on.
        seed: Of the random states (`isolated_forward.seeded`).
    """

    name: Phrase
    inputs: Inputs
    seed: int = 0


@dataclass(frozen=True, slots=True)
class InputAxis:
    """Dimensions of the inputs that have one size, and are changed together.

    Attributes:
        places: The dimensions.
        size: Their size in the example.
        batch: They are the batch.
        space: They are dimensions of images.
        whole: All of this size, if they can be expected to be of another one.
    """

    places: frozenset[InputDimension]
    size: int
    batch: bool = False
    space: bool = False
    whole: bool = False

    def named(self, size: int, alone: bool) -> Phrase:
        """In words, at another size; `alone` where the model has one input only."""
        if self.batch:
            return Message("path.batch", "batch size {size}", {"size": size})
        words: dict[str, Any] = {"size": size, "dimension": all_of(map(str, sorted({dim for _, dim in self.places})))}
        if alone:
            return Message("path.size", "size {size} in dimension {dimension}", words)
        words["inputs"] = listed(sorted({path for path, _ in self.places}))
        return Message("path.size_of", "size {size} in dimension {dimension} of {inputs}", words)


InputCandidate: TypeAlias = tuple[Phrase, Callable[[], Inputs], int]
"""Its name, which tells it from others, what makes its inputs, and the seed."""


class PathSearch:
    """Looks for inputs that lead where no watched run of a model has been.

    Iterating makes runs and gives each path that took a side of a guard not taken before, and, where the forward draws
    random numbers in Python or NumPy, the example under other seeds.
    """

    def __init__(
        self,
        guards: Guards,
        inputs: Inputs,
        run: Callable[[CodePath], object],
        most: int = 24,
        seconds: float = math.inf,
        concerns: Callable[[Guard], bool] = lambda _: True,
    ) -> None:
        """Take what is known so far.

        Args:
            guards: What was seen in the runs made so far, the first of them on `inputs`; `run` adds to it.
            inputs: Example inputs.
            run: Runs a fresh twin of the original on a path's inputs under its seed, watched by `guards`; raises where
                the model does.
            most: How many runs are made.
            seconds: How long, in seconds; the run that goes on then is finished.
            concerns: Whether the other side of a guard is looked for.
        """
        self._guards = guards
        self._inputs = inputs
        self._run = run
        self._most = most
        self._seconds = seconds
        self._concerns = concerns
        self._axes = _axes(inputs)
        self._elements = sum(tensor.numel() for tensor in tensors_of(inputs))
        self._tried: set[str] = set()
        self._beyond: dict[int, CodePath] = {}
        self._aimed: Counter[tuple[str, int]] = Counter()
        self._pace = 0.0

    def __iter__(self) -> Iterator[CodePath]:
        """Make the runs."""
        began = time.monotonic()
        for seed in SEEDS if self._guards.drawn & {"Python", "NumPy"} else ():
            self._tried.add(str(_seeded(seed)))
            yield CodePath(_seeded(seed), self._inputs, seed)
        for _ in range(self._most):
            path = self._next(self._seconds - (time.monotonic() - began))
            if path is None:
                return
            before, started = self._ways(), time.monotonic()
            try:
                self._run(path)
            except Cancelled:
                raise
            except Exception:  # the model does not go there
                continue
            finally:
                elements = sum(tensor.numel() for tensor in tensors_of(path.inputs))
                self._pace = max(self._pace, (time.monotonic() - started) * self._elements / max(elements, 1))
            number = len(self._guards.runs) - 1
            if any(one.sights[0].run > 0 and one.sights[-1].run == number for one in self._guards.found()):
                self._beyond[number] = path  # from here it goes on to branches that the example does not come to
            if self._ways() - before:
                yield path

    @property
    def untried(self) -> tuple[Phrase, ...]:
        """A sentence for each line of code that branches, one side of which no run has taken."""
        lines: dict[tuple[Any, ...], list[Guard]] = {}
        for guard in self._guards.found():
            if guard.branches and guard.open and self._matters(guard) and not self._leads_nowhere(guard):
                lines.setdefault((guard.file, guard.line, guard.taken), []).append(guard)
        return tuple(_sentence(guards, self._place(guards)) for guards in lines.values())

    def _place(self, guards: list[Guard]) -> Message:
        """The line, and whose it is where only some of the modules that have it left a side out."""
        guard = guards[0]
        words: dict[str, Any] = {"file": PurePath(guard.file).name, "line": guard.line}
        lines = [one for one in self._guards.found() if (one.file, one.line) == (guard.file, guard.line)]
        if all(len(one.taken) < 2 for one in lines) and len({one.taken for one in lines}) == 1:
            return Message("path.line", "{file} line {line}", words)
        words["modules"] = listed([module_named(path) for path in dict.fromkeys(one.module for one in guards)], 2)
        return Message("path.line_in", "{file} line {line} in {modules}", words)

    def _ways(self) -> set[tuple[int, bool]]:
        return {(one.number, side) for one in self._wanted() for side in one.taken}

    def _wanted(self) -> list[Guard]:
        return [one for one in self._guards.found() if self._concerns(one)]

    def _next(self, seconds: float) -> CodePath | None:
        """The most promising path that was not tried and runs in that time, by the runs made so far."""
        for name, make, seed in self._candidates([one for one in self._wanted() if one.open], seconds):
            if str(name) not in self._tried:
                self._tried.add(str(name))
                return CodePath(name, make(), seed)
        return None

    def _candidates(self, wanted: list[Guard], seconds: float) -> Iterator[InputCandidate]:
        if seconds < self._pace:
            return
        most = self._elements * min(LARGER, seconds / self._pace if self._pace else LARGER)
        numbers = [one for one in wanted if one.operator != "bool" and one.kind is not GuardKind.RANDOM]
        for guard in numbers:
            line = (guard.file, guard.line)
            for axis in self._axes:
                for size in (*self._aims(guard, axis), *self._guesses(guard, axis)):
                    for candidate in self._at(axis, size, most, self._base(guard)):
                        if str(candidate[0]) not in self._tried and self._aimed[line] < (AIMS if guard.branches else 1):
                            self._aimed[line] += 1
                            yield candidate
        # What the code reads of an input itself is known without another run.
        sizes = [one for one in numbers if one.kind is not GuardKind.VALUE and not (len(one.places) == 1 and one.bound)]
        for axis in self._axes if sizes else ():
            direct = any(one.places & axis.places for one in sizes)
            if axis.batch:
                if not self._known(axis):
                    yield from self._at(axis, axis.size + 1, most)
            elif ((direct or axis.whole) and not self._known(axis)) or (
                axis.space and any(self._compares_sizes(one, axis) for one in sizes)
            ):
                yield from self._at(axis, axis.size - 1 or 2, most)
        if any(one.kind is GuardKind.VALUE for one in wanted):
            yield from _other_values(self._inputs)
        if any(one.kind is GuardKind.RANDOM for one in wanted):
            yield from ((_seeded(seed), lambda: self._inputs, seed) for seed in SEEDS)

    def _base(self, guard: Guard) -> CodePath | None:
        """The path that leads to a guard to which the example does not."""
        runs = [sight.run for sight in guard.sights]
        return None if 0 in runs else next((self._beyond[run] for run in runs if run in self._beyond), None)

    def _at(self, axis: InputAxis, size: int, most: float, base: CodePath | None = None) -> Iterator[InputCandidate]:
        """The example, or what led to a branch, at another size, unless that is too large."""
        inputs = self._inputs if base is None else base.inputs
        elements = sum(_elements(path, tensor, axis, size) for path, tensor in named_tensors(inputs))
        if 1 <= size != axis.size and elements <= max(most, 1):
            name = axis.named(size, alone=len(tensors_of(inputs)) == 1)
            name = name if base is None else listed([base.name, name])
            yield name, lambda: resized(inputs, axis.places, size), 0 if base is None else base.seed

    def _runs_along(self, axis: InputAxis) -> list[tuple[int, WatchedRun]]:
        """Runs that differ from the first in the size of one axis alone, with that size; the first one is first."""
        first = self._guards.runs[0]
        found = [(axis.size, first)]
        for run in self._guards.runs[1:]:
            changed = first.changed(run) or frozenset()
            if changed == axis.places or (axis.batch and changed and all(dim == 0 for _, dim in changed)):
                sizes = {run.shapes[path][dim] for path, dim in changed}
                if len(sizes) == 1:
                    found.append((sizes.pop(), run))
        return found

    def _known(self, axis: InputAxis) -> bool:
        """A run was made, or tried, at another size of this axis, alone or with others."""
        changed = (self._guards.runs[0].changed(run) for run in self._guards.runs[1:])
        return any(one and one >= axis.places for one in changed)

    def _changes(self, guard: Guard, axis: InputAxis) -> list[tuple[int, int, float, float]]:
        """(size, another size, left - right there and there) for each of a guard's comparisons in a run."""
        runs = self._runs_along(axis)
        if not _gaps(guard, runs[0][1]):  # other inputs led there, perhaps at another batch size
            there = [run for run in self._guards.runs if _gaps(guard, run)]
            free = axis.places | frozenset(place for one in self._axes if one.batch for place in one.places)
            sizes = ((_size_in(run, axis), run) for run in there if (there[0].changed(run) or free) <= free)
            runs = [(size, run) for size, run in sizes if size is not None]
        changes: list[tuple[int, int, float, float]] = []
        for other, run in runs[1:]:
            here, there = _gaps(guard, runs[0][1]), _gaps(guard, run)
            changes += [(runs[0][0], other, a, b) for a, b in zip(here, there, strict=False)]
        if not changes and runs and guard.bound is not None and len(guard.places) == 1 and guard.places <= axis.places:
            size, run = runs[0]
            return [(size, size + 1, gap, gap + 1) for gap in _gaps(guard, run)]
        return changes

    def _aims(self, guard: Guard, axis: InputAxis) -> list[int]:
        """Sizes at which the other side should be taken, the nearest first; some may be below one."""
        changes, size = self._changes(guard, axis), axis.size
        if guard.modulus and (guard.places & axis.places or any(a != b for *_, a, b in changes)):
            k = guard.modulus
            return [size + 1, (size // k + 1) * k, max(1, size // k) * k, size - 1, size + k, 2 * size, size + k // 2]
        if guard.operator not in COMPARISONS:
            return []
        aims: set[int] = set()
        for here, other, a, b in changes:
            for predicted, root in _predictions(here, other, a, b, guard.bound):
                there = math.floor(min(root, 1e9))
                near = sorted(range(there - 1, there + 3), key=lambda one: abs(one - size))
                leading = (n for n in near if COMPARISONS[guard.operator](predicted(n), 0) not in guard.taken)
                aims |= {*islice(leading, 2)}
        return sorted(aims, key=lambda one: abs(one - size))

    def _guesses(self, guard: Guard, axis: InputAxis) -> list[int]:
        """Sizes in the direction of the aims, where a run at one of these came to the guard and went the old way.

        What is rounded on the way makes predictions poor.
        """
        aims, size = self._aims(guard, axis), axis.size
        there = {sight.run for sight in guard.sights}
        if guard.modulus or not any(at in aims and run.number in there for at, run in self._runs_along(axis)):
            return []
        return [2 * size, 4 * size] if aims[0] > size else [size // 2, size // 4]

    def _compares_sizes(self, guard: Guard, axis: InputAxis) -> bool:
        """Both sides of a comparison change with the axis, and not their difference."""
        values = [{s.right for s in guard.sights if s.run == run.number} for _, run in self._runs_along(axis)]
        return any(one and one != values[0] for one in values)

    def _matters(self, guard: Guard) -> bool:
        """What is compared is something else with other inputs: no number of a layer's channels."""
        if guard.kind is GuardKind.VALUE or guard.kind is GuardKind.RANDOM:
            return True
        reads = len(guard.places) == 1 and guard.bound is not None
        gaps = [gaps for run in self._guards.runs if (gaps := _gaps(guard, run))]
        unknown = any(not self._known(axis) for axis in self._axes if axis.batch or axis.whole)
        return reads or any(one != gaps[0] for one in gaps) or unknown

    def _leads_nowhere(self, guard: Guard) -> bool:
        """On every input that should lead to the other side, the model raises or does not come to the guard at all.

        Of a guard to which the example does not lead either, the latter says nothing.
        """
        aimed = {(axis, size) for axis in self._axes for size in self._aims(guard, axis) if size >= 1}
        there = {sight.run for sight in guard.sights}
        elsewhere = {
            (axis, size)
            for axis in self._axes
            for size, run in self._runs_along(axis)
            if run.raised or (0 in there and run.number not in there)
        }
        if not aimed:  # nothing changes it, or only sizes below one would do
            return any(self._aims(guard, axis) for axis in self._axes)
        return aimed <= elsewhere


def resized(inputs: Inputs, places: frozenset[InputDimension], size: int) -> Inputs:
    """Inputs in which some dimensions have another size: what is there is cut or repeated, floats vary in what is new.

    Args:
        inputs: Any inputs.
        places: Dimensions of their tensors.
        size: The new size of all of these.
    """
    generator = torch.Generator().manual_seed(3)
    paths = {id(tensor): path for path, tensor in named_tensors(inputs)}

    def change(one: torch.Tensor) -> torch.Tensor:
        """One tensor at the new size."""
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


def _axes(inputs: Inputs) -> tuple[InputAxis, ...]:
    """The batch, all other dimensions of the same size together, and each of these alone where there are several."""
    named = list(named_tensors(inputs))
    batch = batch_size(inputs)
    first = frozenset((path, 0) for path, tensor in named if tensor.dim() and tensor.shape[0] == batch)
    found = [InputAxis(first, batch, batch=True)] if first else []
    tensors = dict(named)
    places: dict[int, set[InputDimension]] = {}
    space: set[InputDimension] = set()
    for path, tensor in named:
        for dim, size in enumerate(tensor.shape):
            if dim:
                places.setdefault(size, set()).add((path, dim))
            if dim > 1 and tensor.dim() > 3 and tensor.is_floating_point():
                space.add((path, dim))
    for size, together in places.items():
        own = all(dim == 1 and tensors[path].dim() > 3 for path, dim in together)  # channels of images
        found.append(InputAxis(frozenset(together), size, space=together <= space, whole=not own))
    for size, together in places.items():
        for dim in sorted({dim for _, dim in together}):
            alone = frozenset(place for place in together if place[1] == dim)
            if len(alone) < len(together):
                found.append(InputAxis(alone, size, space=alone <= space))
    return tuple(found)


def _elements(path: str, tensor: torch.Tensor, axis: InputAxis, size: int) -> int:
    times = sum(place[0] == path for place in axis.places)
    return tensor.numel() * size**times // max(axis.size, 1) ** times


def _size_in(run: WatchedRun, axis: InputAxis) -> int | None:
    sizes = {run.shapes[path][dim] for path, dim in axis.places if dim < len(run.shapes.get(path, ()))}
    return sizes.pop() if len(sizes) == 1 else None


def _gaps(guard: Guard, run: WatchedRun) -> list[float]:
    """The differences of what is compared in a run; none for those that are not numbers."""
    gaps = {s.left - s.right for s in guard.sights if s.run == run.number}
    return sorted(one for one in gaps if math.isfinite(one))


def _predictions(
    size: int, other: int, a: float, b: float, bound: float | None
) -> Iterator[tuple[Callable[[int], float], float]]:
    """The gap at any size, and where it is zero, as a line through two points, and as a power of the size."""
    if a == b or size == other:
        return
    slope = (b - a) / (other - size)
    yield lambda n: round(a + slope * (n - size), 6), size - a / slope
    if bound is not None and min(size, other, bound, a + bound, b + bound) > 0:
        power = math.log((b + bound) / (a + bound)) / math.log(other / size)
        if abs(power - 1) > 0.2:
            yield (
                lambda n: round((a + bound) * _power(max(n, 0) / size, power) - bound, 6),
                size * _power(bound / (a + bound), 1 / power),
            )


def _power(base: float, exponent: float) -> float:
    """A power of a number that is not negative; infinite where it is too large."""
    try:
        return base**exponent
    except (OverflowError, ZeroDivisionError):
        return math.inf


def _seeded(seed: int) -> Message:
    return Message("path.seed", "random seed {seed}", {"seed": seed})


def _other_values(inputs: Inputs) -> Iterator[InputCandidate]:
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


def _sentence(guards: list[Guard], place: Message) -> Message:
    """What is said of a line of code, of which guards were seen in one or several modules."""
    guard = guards[0]
    words: dict[str, Any] = {"place": place, "code": guard.text}
    lefts = sorted({s.left for one in guards for s in one.sights if math.isfinite(s.left)})
    bounds = {s.right for one in guards for s in one.sights}
    sized = guard.kind in (GuardKind.BATCH, GuardKind.SIZE)
    if (
        sized
        and guard.bound is not None
        and guard.operator in COMPARISONS
        and len(bounds) == 1
        and lefts
        and len(guard.taken) == 1
    ):
        words |= {"tried": _tried(lefts), "other": _side(guard, True not in guard.taken)}
        if guard.kind is GuardKind.BATCH:
            template = "{place} branches on the batch size ({code}). Tried: {tried}. Not tried: {other}"
            return Message("path.batch_untried", template, words)
        if guard.dimension is not None and guard.places:
            words["dimension"] = guard.dimension
            template = (
                "{place} branches on the size of dimension {dimension} ({code}). Tried: {tried}. Not tried: {other}"
            )
            return Message("path.dimension_untried", template, words)
        template = "{place} branches on a size ({code}). Tried: {tried}. Not tried: {other}"
        return Message("path.size_untried", template, words)
    if len(guard.taken) == 1:
        words |= {"side": str(*guard.taken), "other": str(not {*guard.taken}.pop())}
        if sized:
            template = "{place} branches on sizes ({code}). Tried: {side}. Not tried: {other}"
            made = Message("path.sizes_untried", template, words)
        elif guard.kind is GuardKind.RANDOM:
            template = "{place} branches on a random number ({code}). Tried: {side}. Not tried: {other}"
            made = Message("path.random_untried", template, words)
        else:
            template = "{place} branches on tensor values ({code}). Tried: {side}. Not tried: {other}"
            made = Message("path.value_untried", template, words)
        return made
    template = "{place} reads tensor values ({code}); which branches follow from them is not known"
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

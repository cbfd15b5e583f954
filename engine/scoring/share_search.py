"""A search for how much each coupled set gives, by the distance of the outputs where all of them give at once.

Scores say what a set's structures are worth while all other sets are whole. Here the plan itself is measured: every
layer has the weights that least squares leave it on the original's inputs, and the outputs are compared with the
original's (`output_distance.py`). One set after the other goes a step further down, which gives its price: distance per
cost saved. Then the dearest sets get a step back from the cheapest ones, and what brings the outputs nearer stays. When
some did, prices are taken anew. The plan is valid at any time, and never further from the original than the first one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, TaskError
from ..jobs import CancelToken, Job, Progress, check
from ..messages import listed
from ..planning.share_exchange import ShareExchange, ShareStep
from ..structures.analysis import Analysis, Mask
from ..tasks.protocol import Split
from ..text.format import counted
from .input_moments import (
    BATCHES,
    MEMORY,
    InputMoments,
    Reading,
    columns_of,
    gathered_moments,
    moment_sizes,
    readings_of,
    samples_at_once,
)
from .output_distance import OutputDistance, write
from .protocol import RatedModel

TRAINING = 4
"""Forwards that a training step takes: the teacher's, the student's, and about two for its gradients."""
SAMPLES, TEXTS, MANY = 64, 8, 384
"""Samples that a plan is measured on, at least: of images and the like, and of texts; and samples that are enough."""
ROUND = 3
"""Measurements for each set that the samples are to leave time for, if there may be fewer of them."""
PATIENCE = 8
"""Exchanges in turn that bring nothing, after which the prices are no longer followed."""
SHOWN = 6
"""Layers whose change is told in words, those that changed most."""
GAIN = 1e-3
"""Share of the distance that an exchange has to take off to be kept."""
HELD = 4 * MEMORY
"""Bytes of moments to hold: all of them are needed at the same time."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ShareChange:
    """What became of a coupled set.

    Attributes:
        module: Where it is.
        before: Structures that the first plan keeps.
        after: Structures that the last one keeps.
    """

    module: str
    before: int
    after: int

    @property
    def message(self) -> Message:
        """The change in words."""
        fields = {"module": self.module, "before": self.before, "after": self.after}
        return Message("search.change", "{module} {before} to {after}", fields)


@dataclass(frozen=True, slots=True, eq=False)
class SearchedPlan:
    """A plan whose shares were moved.

    Attributes:
        removed: [S] as the plan that it began with, which keeps as much of the limited costs.
        before: Distance of the outputs from the original's with that plan, repaired.
        after: With this one.
        measured: Plans that were measured.
        total: How many would be at most.
        moved: Steps that one set gave another.
        changes: What became of the sets that keep another number than before, in the order of the model.
    """

    removed: Mask
    before: float
    after: float
    measured: int
    total: int
    moved: int
    changes: tuple[ShareChange, ...] = ()

    @property
    def message(self) -> Message:
        """What came of it, for a person."""
        if not self.measured:
            template = "The plan by the scores stays: it removes nothing that layers could give each other."
            return Message("search.nothing", template)
        fields: dict[str, Any] = {"before": self.before, "measured": counted(self.measured, "measurement")}
        if not self.moved:
            template = (
                "The plan by the scores stays: in {measured} no step that layers gave each other brought the repaired "
                "outputs nearer to the original's ({before:.4g})."
            )
            return Message("search.stays", template, fields)
        largest = sorted(self.changes, key=lambda one: -abs(one.after - one.before))
        fields |= {"after": self.after, "moved": counted(self.moved, "step")}
        fields["changes"] = listed([one.message for one in largest], SHOWN)
        template = (
            "Layers gave each other {moved} in {measured}: the distance of the repaired outputs to the original's went "
            "from {before:.4g} to {after:.4g}. Kept structures: {changes}."
        )
        return Message("search.shares", template, fields)


@dataclass(frozen=True, slots=True)
class _Readers:
    """Products that read the same structures, and the same inputs.

    Attributes:
        owners: For each coupled set that they read the numbers [n] of its structures, and the columns [n, b] of each.
        moments: [k, k] of the inputs, `ridged`.
        views: Where the weights lie.
        originals: [m, k] the weights as they were.
        changed: Names of the parameters in which they lie.
    """

    owners: list[tuple[NDArray[np.int64], NDArray[np.int64]]]
    moments: Any
    views: list[Any]
    originals: list[Any]
    changed: set[str]

    def read(self, structures: Mask) -> bool:
        """Whether any of some structures [S] is among those that they read."""
        return any(bool(structures[numbers].any()) for numbers, _ in self.owners)

    def weights(self, plan: Mask) -> list[Any]:
        """The weights that least squares leave without what a plan [S] removes."""
        import torch

        from .removal_order import refitted

        gone = np.unique(np.concatenate([columns[plan[numbers]].ravel() for numbers, columns in self.owners]))
        return refitted(self.originals, self.moments, torch.from_numpy(gone).to(self.moments.device))

    def put(self, weights: Sequence[Any]) -> None:
        """Have the products run with these."""
        write(self.views, weights)


def search_shares(
    rated: RatedModel, exchange: ShareExchange, plan: Mask, text: bool, measurements: int, token: CancelToken
) -> Job[SearchedPlan]:
    """Move shares between the sets of a plan; the model is left as it was.

    `Progress.made` is the best plan so far whenever a better one is found.

    Args:
        rated: The model.
        exchange: What sets can give each other.
        plan: [S] to begin with.
        text: The data is text.
        measurements: Plans to measure at most, 0 for as many as fit into the time of one recovery epoch.
        token: Cancels.

    Raises:
        TaskError: The moments of all layers do not fit into memory, or the outputs do not compare.
    """
    if not any(plan[one.order].any() for one in exchange.options):
        return SearchedPlan(plan, np.nan, np.nan, 0, 0, 0)
    readings = readings_of(rated)
    _require_room(rated, readings)
    names = {(one.tensor, one.dim) for some in readings.values() for one in some}
    found = dict[str, list[InputMoments]]()
    yield from gathered_moments(rated, dict(sorted(names)), found, samples_at_once(rated, token), token)
    readers, movable = _readers(rated, readings, found)
    assert rated.task is not None
    train = (rated.task.batch_count(Split.TRAIN) or BATCHES) * rated.task.spec.batch
    samples = _samples(train, len(exchange.options), text)
    total = measurements or max(TRAINING * train // samples, len(exchange.options) + 1)
    read = {name: rated.parameters[name] for one in readers for name in one.changed}
    outputs = OutputDistance(rated, read, samples, rated.seed + 2, token)
    walk = _Walk(rated.analysis, exchange, readers, movable, outputs, plan, total)
    try:
        walk.begin()
        if not np.isfinite(walk.before):
            raise TaskError("search.outputs", "The model's outputs cannot be compared, so shares cannot be searched.")
        yield walk.progress()
        while walk.measured < total:
            moved = walk.moved
            for step in walk.steps():
                check(token)
                walk.price(step)
                yield walk.progress()
            for gets, gives in walk.pairs():
                check(token)
                yield walk.progress(walk.try_exchange(gets, gives))
            if walk.moved == moved:
                break
            walk.outputs.record()
            walk.stale.clear()
    finally:
        walk.restore()
    return walk.best


def _samples(train: int, sets: int, text: bool) -> int:
    """Samples to measure a plan on: few enough for some measurements of each set within the time of an epoch."""
    affordable = TRAINING * train // (ROUND * max(sets, 1))
    return min(max(affordable, TEXTS if text else SAMPLES), MANY, max(train, 1))


def _require_room(rated: RatedModel, readings: Mapping[str, Sequence[Reading]]) -> None:
    sizes = moment_sizes(rated.analysis, {name: one.shape for name, one in rated.parameters.items()})
    held = 3 * sum(sizes[name] for name in {one.tensor for some in readings.values() for one in some})
    if held > HELD:
        template = "A search of shares would hold {held:.1f} GB of moments, more than {most:.0f} GB. Choose by scores."
        raise TaskError("search.memory", template, held=held / 1e9, most=HELD / 1e9)


def _readers(
    rated: RatedModel, readings: Mapping[str, Sequence[Reading]], found: dict[str, list[InputMoments]]
) -> tuple[list[_Readers], Mask]:
    """(all products that read structures, [S] structures all of whose readers can be written); `found` is emptied."""
    owners: dict[int, list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = {}
    movable, elsewhere = np.zeros(rated.analysis.count, bool), np.zeros(rated.analysis.count, bool)
    for one in rated.analysis.sets:
        left = np.flatnonzero(~rated.removed[one.structures])
        for reading in readings.get(one.key, ()):
            for product in found.get(reading.tensor, ()):
                if reading.dim != product.dim:  # read beside all products: a query by a key
                    elsewhere[one.structures] = True
                    continue
                columns = columns_of(reading, product, left)
                if columns is not None and product.rows:
                    owners.setdefault(id(product), []).append((one.first + left, columns))
                    movable[one.structures] = True
    made = list[_Readers]()
    for name in list(found):
        for product in found.pop(name):
            own = owners.get(id(product), [])
            moments = product.moments() if own and len(product.weight) else None
            if moments is None or not bool(moments.isfinite().all()):  # computed from others, or never measured
                for numbers, _ in own:
                    movable[numbers] = False
                continue
            _add(made, own, moments, product.weight, name)
    return made, movable & ~elsewhere


def _add(
    made: list[_Readers],
    owners: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    moments: Any,
    view: Any,
    name: str,
) -> None:
    """A further product, among those that read the same."""
    import torch

    from .removal_order import ridged

    moments = ridged(moments)[0]
    for one in made:
        pairs = list(zip(one.owners, owners, strict=False)) if len(one.owners) == len(owners) else []
        alike = pairs and all(np.array_equal(a, b) and np.array_equal(c, d) for (a, c), (b, d) in pairs)
        if alike and torch.equal(one.moments, moments):
            one.views.append(view)
            one.originals.append(view.detach().flatten(1).clone())
            one.changed.add(name)
            return
    made.append(_Readers(owners, moments, [view], [view.detach().flatten(1).clone()], {name}))


class _Walk:
    """From plan to plan, with the weights of the present one in the model."""

    def __init__(
        self,
        analysis: Analysis,
        exchange: ShareExchange,
        readers: list[_Readers],
        movable: Mask,
        outputs: OutputDistance,
        plan: Mask,
        total: int,
    ) -> None:
        self.exchange, self.outputs, self.plan, self.total = exchange, outputs, plan, total
        self._readers, self._movable = readers, movable
        self._analysis, self._begun = analysis, plan
        self.measured = self.moved = 0
        self.before = self.now = np.nan
        self.stale = set[str]()  # Parameters that were changed since the outputs were recorded.
        self._prices = dict[int, float]()
        self._steps = dict[int, ShareStep]()
        self._known = set[bytes]()

    def begin(self) -> None:
        """Put the plan's weights in and measure it."""
        for one in self._readers:
            one.put(one.weights(self.plan))
        self.outputs.record()
        self.measured = 1
        self.before = self.now = self.outputs.now()

    def restore(self) -> None:
        """The model as it was."""
        for one in self._readers:
            one.put(one.originals)

    def steps(self) -> Iterator[ShareStep]:
        """A step of each set, those that save most first, as many as two thirds of what is left allow."""
        steps = [one for one in self.exchange.steps(self.plan) if self._can(one.removed) and one.saved > 0]
        steps.sort(key=lambda one: -one.saved)
        self._steps = {one.number: one for one in steps[: max(2 * (self.total - self.measured) // 3, 1)]}
        self._prices.clear()
        yield from self._steps.values()

    def price(self, step: ShareStep) -> None:
        """Measure what a step costs, or brings, for what it saves."""
        change = self._measure(step.removed) - self.now
        self._prices[step.number] = (change if step.down else -change) / step.saved

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Which set might get a step from which, what promises most first; each once."""
        prices = {number: price for number, price in self._prices.items() if np.isfinite(price)}
        promised = [
            ((prices[gets] - prices[gives]) * self._steps[gets].saved, gets, gives)
            for gets in prices
            if self.exchange.can_get(gets, self.plan)
            for gives in prices
            if self._steps[gives].down and prices[gets] > prices[gives]
        ]
        used, failed = set[int](), 0
        for _, gets, gives in sorted(promised, reverse=True):
            if self.measured >= self.total or failed >= PATIENCE:
                return
            if gets in used or gives in used:
                continue
            moved, measured = self.moved, self.measured
            yield gets, gives
            if self.moved > moved:
                used |= {gets, gives}
                failed = 0
            else:
                failed += self.measured - measured

    def try_exchange(self, gets: int, gives: int) -> bool:
        """Have one set give another a step, and keep that if the outputs come nearer; whether they do."""
        plan = self.exchange.exchanged(self.plan, gets, gives)
        if plan is None or plan.tobytes() in self._known or not self._can(plan):
            return False
        self._known.add(plan.tobytes())
        found = self._measure(plan)
        if not found < (1 - GAIN) * self.now:
            return False
        for one in self._differing(plan):
            one.put(one.weights(plan))
            self.stale |= one.changed
        self.plan, self.now = plan, found
        self.moved += 1
        return True

    @property
    def best(self) -> SearchedPlan:
        """The present plan: no other was nearer."""
        counts = [(one.module, one.count, one.structures) for one in self._analysis.sets]
        kept = [
            ShareChange(module, *(count - int(plan[own].sum()) for plan in (self._begun, self.plan)))
            for module, count, own in counts
        ]
        changes = tuple(one for one in kept if one.before != one.after)
        return SearchedPlan(self.plan, self.before, self.now, self.measured, self.total, self.moved, changes)

    def progress(self, better: bool = False) -> Progress:
        """How far the search is, with the plan where it has become better."""
        text = "Moving shares between layers: {moved} moved, distance {before:.4g} to {after:.4g}"
        fields = {"moved": self.moved, "before": self.before, "after": self.now}
        shown = Message("progress.shares", text, fields)
        return Progress(shown, self.measured, self.total, made=self.best if better else None)

    def _measure(self, plan: Mask) -> float:
        self.measured += 1
        changed, views, weights = set(self.stale), list[Any](), list[Any]()
        for one in self._differing(plan):
            changed |= one.changed
            views += one.views
            weights += one.weights(plan)
        return self.outputs.with_weights(changed, views, weights)

    def _differing(self, plan: Mask) -> list[_Readers]:
        changed = plan != self.plan
        return [one for one in self._readers if one.read(changed)]

    def _can(self, plan: Mask) -> bool:
        """Whether all that differs can be measured."""
        return bool(self._movable[plan != self.plan].all())

"""A search for how much each coupled set gives, by the distance of the outputs where all of them give at once.

Scores say what a set's structures are worth while all other sets are whole. Here the plan itself is measured: every
layer has the weights that least squares leave it on the original's inputs, and the outputs are compared with the
original's (`output_distance.py`). One set after the other goes a step further down, which gives its price: distance per
cost saved. Then the dearest sets get a step back from the cheapest ones, and what brings the outputs nearer stays. When
some did, prices are taken anew. The plan is valid at any time, and never further from the original than the first one.

What reads the structures of coupled sets is adjusted by least squares to those that stay; a bias, where there is one,
takes the mean of what is missing. Where they do not reach, what goes is closed: zeros in the weight.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import CancelToken, Job, Progress, check, spanning
from ..messages import listed
from ..planning.share_exchange import FEWEST, TEXTS, WORK, ShareExchange, ShareStep
from ..structures.analysis import Analysis, Kind, Mask
from ..structures.costs import costs
from ..structures.transition import Transition
from ..tasks.protocol import Split
from ..text.format import counted
from .input_moments import (
    BATCHES,
    MEMORY,
    InputMoments,
    columns_of,
    first_batch_size,
    gather_moments,
    moment_sizes,
    readings_of,
    samples_at_once,
)
from .normed_structures import norm_modules
from .output_distance import OutputDistance, Written, write
from .protocol import RatedModel
from .samples import apart_samples
from .weight_slices import WeightSlice

TRAINING = 4
"""Forwards that a training step takes: the teacher's, the student's, and about two for its gradients."""
SAMPLES, MANY = 64, 384
"""Samples that a plan is measured on, at least, where they are no texts; and samples that are enough."""
ROUND = 3
"""Measurements for each set that the samples are to leave time for, if there may be fewer of them."""
PATIENCE, TRIES = 8, 8
"""Exchanges in turn that bring nothing, after which prices are no longer followed; pairs to look at for each set."""
SHOWN = 6
"""Layers whose change a message names, those that changed most."""
GAIN = 1e-3
"""Share of the distance that an exchange has to take off to be kept."""
HELD = 4 * MEMORY
"""Bytes of moments to hold: all of them are needed at the same time."""
Owner: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""(numbers [n] of the structures of a coupled set, columns [n, b] that each owns in a product)."""


@dataclass(frozen=True, slots=True)
class _Product:
    """A product whose weight can be written.

    Attributes:
        weight: [m, ...] view of the parameter that holds it, and its original numbers [m, k].
        bias: [m] view of the bias that takes the mean of what is missing, and its numbers; None where there is none.
    """

    weight: Written
    bias: Written | None


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Products that read the same structures, and the same inputs: least squares adjust them to what is left.

    Attributes:
        owners: For each coupled set that they read.
        moments: [k, k] of the inputs, with a ridge; None where no data came by: these are left as they are cut.
        diagonal: [k] that of the moments as they were gathered.
        mean: [k] of the inputs.
        products: Each of them.
        changed: Names of the parameters that hold the weights.
    """

    owners: list[Owner]
    moments: Any
    diagonal: Any
    mean: Any
    products: list[_Product]
    changed: set[str]

    @property
    def originals(self) -> list[Written]:
        """Views of weights and biases, and their original numbers."""
        return [one for product in self.products for one in (product.weight, product.bias) if one is not None]

    def reads(self, structures: Mask) -> bool:
        """Whether any of some structures [S] is among those that they read."""
        return any(bool(structures[numbers].any()) for numbers, _ in self.owners)

    def without(self, gone: Mask) -> list[Written]:
        """Views of weights and biases, and what least squares make of them when these structures [S] go."""
        import torch

        from .removal_order import refit, shifted_bias

        columns = np.unique(np.concatenate([own[gone[numbers]].ravel() for numbers, own in self.owners]))
        weights, places = [one.weight for one in self.products], torch.from_numpy(columns)
        if self.moments is None:
            return [(view, original.index_fill(1, places.to(view.device), 0.0)) for view, original in weights]
        written = list[Written]()
        fitted = refit([original for _, original in weights], self.moments, places.to(self.moments.device))
        for one, weight in zip(self.products, fitted, strict=True):
            written.append((one.weight[0], weight))
            if one.bias is not None:
                bias, added = one.bias
                written.append((bias, shifted_bias(added, one.weight[1], weight, self.mean)))
        return written

    def reads_same(self, owners: list[Owner], moments: Any) -> bool:
        """Whether a product whose inputs have these moments [k, k] reads the same: then all numbers are, bit by bit."""
        import torch

        if self.moments is None or len(owners) != len(self.owners):
            return False
        pairs = zip(self.owners, owners, strict=True)
        if not all(np.array_equal(a, b) and np.array_equal(c, d) for (a, c), (b, d) in pairs):
            return False
        if not torch.equal(moments.diagonal(), self.diagonal):
            return False
        other = moments.to(self.moments, copy=True)
        # The ridge was added to the diagonal alone.
        other.diagonal().copy_(self.moments.diagonal())
        return torch.equal(other, self.moments)


@dataclass(frozen=True, slots=True)
class _Closed:
    """A parameter that least squares do not reach: a weight is computed from it, it is too wide, or used elsewhere too.

    Attributes:
        view: The parameter, to be written.
        original: What it was.
        readings: (numbers [n] of structures, dimension, indices [n] that each owns) of each coupled set.
        changed: Its name.
    """

    view: Any
    original: Any
    readings: list[tuple[NDArray[np.int64], int, NDArray[np.int64]]]
    changed: set[str]

    @property
    def originals(self) -> list[Written]:
        """The parameter, and its original numbers."""
        return [(self.view, self.original)]

    def reads(self, structures: Mask) -> bool:
        """Whether any of some structures [S] is among those that it reads."""
        return any(bool(structures[numbers].any()) for numbers, _, _ in self.readings)

    def without(self, gone: Mask) -> list[Written]:
        """The parameter, and its numbers with zeros where it reads these structures [S]."""
        import torch

        found = self.original.clone()
        for numbers, dim, indices in self.readings:
            found.index_fill_(dim, torch.from_numpy(indices[gone[numbers]]).to(found.device), 0.0)
        return [(self.view, found)]


Reader: TypeAlias = _Fitted | _Closed
"""What reads some structures."""


def readers_of(
    rated: RatedModel,
    readings: Mapping[str, Sequence[WeightSlice]],
    found: dict[str, list[InputMoments]],
    token: CancelToken,
) -> tuple[list[Reader], Mask]:
    """(all that reads structures, [S] structures all of whose readers are fitted); `found` is emptied.

    Head dimensions are none of these: queries and keys meet without a weight. Nor is what a norm goes over: its removal
    changes all other channels, which is not measured here.
    """
    norms = norm_modules(rated.analysis)
    owners: dict[int, list[Owner]] = {}
    closed: dict[str, list[tuple[NDArray[np.int64], int, NDArray[np.int64]]]] = {}
    movable, sets = np.zeros(rated.analysis.count, bool), rated.analysis.sets
    # Whether a weight can be fitted is settled for all that read it before any of them is: one set that cannot closes
    # it for the others.
    everywhere = {one.key: np.flatnonzero(~rated.removed[one.structures]) for one in sets}
    for one in sets:
        left = everywhere[one.key]
        for reading in readings.get(one.key, ()):
            products = found.get(reading.tensor, [])
            if not products or not all(_can_refit(reading, product, left) for product in products):
                closed.setdefault(reading.tensor, [])
    for one in sets:
        left, some = everywhere[one.key], readings.get(one.key, ())
        for reading in some:
            if reading.tensor in closed:
                numbers = one.first + reading.structures
                closed[reading.tensor].append((numbers, reading.dim, reading.indices))
                continue
            for product in found[reading.tensor]:
                if (columns := columns_of(reading, product, left)) is not None:
                    owners.setdefault(id(product), []).append((one.first + left, columns))
        # What a norm goes over changes all other channels with it, so its own columns do not say what it is worth.
        normed = any(rated.analysis.tensors[t].module in norms for t, _ in one.touches)
        fitted = bool(some) and not any(reading.tensor in closed for reading in some)
        movable[one.structures] = fitted and not normed and one.kind is not Kind.HEAD_DIM
    made = list[_Fitted]()
    for name in list(found):
        for product in found.pop(name):
            check(token)
            if id(product) in owners and name not in closed:
                _add_product(made, owners[id(product)], product, name)
    shut = [
        _Closed(view := rated.parameters[name].detach(), view.clone(), some, {name}) for name, some in closed.items()
    ]
    return [*made, *shut], movable


def _can_refit(reading: WeightSlice, product: InputMoments, left: NDArray[np.int64]) -> bool:
    """Whether least squares can adjust a product to what is left of what it reads, or it reads nothing of it."""
    if product.tied or not len(product.weight) or not len(product.index) or reading.dim != product.dim:
        return False
    if not bool(product.products.isfinite().all() and product.sums.isfinite().all()):
        return False
    indices = reading.indices[np.isin(reading.structures, left)]
    return columns_of(reading, product, left) is not None or not np.isin(product.index.numpy(), indices).any()


def _add_product(made: list[_Fitted], owners: list[Owner], product: InputMoments, name: str) -> None:
    """A further product, among those that read the same."""
    from .removal_order import add_ridge

    weight = product.weight.detach(), product.weight.detach().flatten(1).clone()
    # A product that no sample reached (an expert that was never chosen) is left as it is cut.
    if not product.rows:
        made.append(_Fitted(owners, None, None, None, [_Product(weight, None)], {name}))
        return
    bias = None if product.bias is None else (product.bias.detach(), product.bias.detach().clone())
    one = _Product(weight, bias)
    moments = product.moments()
    for other in made:
        if other.reads_same(owners, moments):
            other.products.append(one)
            other.changed.add(name)
            return
    made.append(_Fitted(owners, add_ridge(moments)[0], moments.diagonal().clone(), product.mean, [one], {name}))


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
        tried: Exchanges of a step that were measured.
        changes: What became of the sets that keep another number than before, in the order of the model.
        held: Bytes of moments that a search would hold, where that is more than it may; else 0.
    """

    removed: Mask
    before: float
    after: float
    measured: int
    total: int
    moved: int
    tried: int = 0
    changes: tuple[ShareChange, ...] = ()
    held: int = 0

    @property
    def message(self) -> Message:
        """What came of it, for a person."""
        if not self.measured:
            template = "The plan by the scores stays: it removes nothing that layers could give each other."
            reason = Message("search.nothing", template)
            if self.held:
                template = (
                    "The plan by the scores stays: a search of shares would hold {held:.1f} GB of moments, more than "
                    "{most:.0f} GB."
                )
                reason = Message("search.memory", template, {"held": self.held / 1e9, "most": HELD / 1e9})
            return reason
        if not np.isfinite(self.before):
            template = "The plan by the scores stays: the model's outputs are no numbers, or do not compare."
            return Message("search.outputs", template)
        fields: dict[str, Any] = {"before": self.before, "measured": counted(self.measured, "measurement")}
        if not self.tried and self.measured >= self.total:
            template = "The plan by the scores stays: {measured} are too few to try what layers could give each other."
            return Message("search.too_few", template, fields)
        if not self.tried:
            template = "The plan by the scores stays: in {measured} no layer could give another one a step."
            return Message("search.none_tried", template, fields)
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
        measurements: Plans to measure at most, 0 for as many as fit into the time of one recovery epoch, or into `WORK`
            where that is less.
        token: Cancels.
    """
    from ..surgery.cut.skip_block import skip

    if not any(plan[one.order].any() for one in exchange.options):
        return SearchedPlan(plan, np.nan, np.nan, 0, 0, 0)
    assert rated.task is not None
    readings = readings_of(rated)
    sizes = moment_sizes(rated.analysis, {name: one.shape for name, one in rated.parameters.items()})
    # Three copies at the worst: what was gathered, the whole of it, and that with its ridge.
    held = 3 * sum(sizes[name] for name in {one.tensor for some in readings.values() for one in some})
    if held > HELD:
        return SearchedPlan(plan, np.nan, np.nan, 0, 0, 0, held=held)
    batches, sets = rated.task.batch_count(Split.TRAIN) or BATCHES, len(exchange.options)
    train = batches * rated.task.spec.batch
    fitting = int(WORK / max(costs(rated.analysis, rated.removed).macs, 1))
    forwards = min(TRAINING * train, fitting)
    # Samples to measure a plan on: few enough for some measurements of each set within the time that there is.
    # A plan measured on few samples is noise, and few plans move no share: samples give way first, to a floor.
    affordable = forwards // (ROUND * max(sets, 1))
    samples = min(max(affordable, TEXTS if text else SAMPLES), MANY, max(train, 1))
    total = measurements or max(forwards // samples, sets + 1 if (sets + 1) * samples <= fitting else FEWEST)
    gathered = min(batches, BATCHES) * rated.task.spec.batch
    begin = gathered / (gathered + total * samples)
    names = {(one.tensor, one.dim) for some in readings.values() for one in some}
    found = dict[str, list[InputMoments]]()
    # Plans are compared on samples that no moment has seen: on its own samples a fit looks better than it is.
    apart = apart_samples(samples, rated.task.batch_count(Split.TRAIN), first_batch_size(rated))
    gathering = gather_moments(rated, dict(sorted(names)), found, samples_at_once(rated, token), apart, token)
    yield from spanning(gathering, 0.0, begin)
    readers, movable = readers_of(rated, readings, found, token)
    exchange = exchange.among(movable)
    if not exchange.options:
        return SearchedPlan(plan, np.nan, np.nan, 0, 0, 0)
    read = {name: rated.parameters[name] for one in readers for name in one.changed}
    outputs = OutputDistance(rated, read, apart, token)
    walk = _Walk(rated.analysis, exchange, readers, outputs, plan, total)
    with ExitStack() as stack:
        # Registered before anything is written: the model is restored whatever ends the search.
        stack.callback(walk.restore)
        for one in Transition(rated.analysis, rated.removed, plan).stand_ins:
            if (handle := skip(rated.model, one)) is not None:
                stack.callback(handle.remove)
        yield from spanning(walk.run(token), begin, 1.0)
    return walk.best


class _Walk:
    """From plan to plan, with the weights of the present one in the model."""

    def __init__(
        self,
        analysis: Analysis,
        exchange: ShareExchange,
        readers: list[Reader],
        outputs: OutputDistance,
        plan: Mask,
        total: int,
    ) -> None:
        self.exchange, self.outputs, self.plan, self.total = exchange, outputs, plan, total
        self._readers = readers
        self._analysis, self._begun = analysis, plan
        self.measured = self.moved = self.tried = 0
        self.before = self.now = np.nan
        # Parameters that were changed since the outputs were recorded.
        self.stale = set[str]()
        self._prices = dict[int, float]()
        self._steps = dict[int, ShareStep]()
        # Two exchanges may lead to one plan: it is measured once.
        self._known = {plan.tobytes()}

    def run(self, token: CancelToken) -> Job[None]:
        """Exchange steps until none brings the outputs nearer, or all measurements are made."""
        for one in self._readers:
            check(token)
            write(one.without(self.plan))
        self.outputs.record()
        self.measured = 1
        self.before = self.now = self.outputs.now()
        yield self.progress()
        while np.isfinite(self.before) and self.measured < self.total:
            moved = self.moved
            for step in self.steps():
                check(token)
                # What a step costs, or brings, for what it saves.
                change = self._measure(step.removed) - self.now
                self._prices[step.number] = (change if step.down else -change) / step.saved
                yield self.progress()
            for gets, gives in self.pairs():
                check(token)
                yield self.progress(self.try_exchange(gets, gives))
            # A round that moved nothing would be the same again.
            if self.moved == moved:
                break
            self.outputs.record()
            self.stale.clear()

    def restore(self) -> None:
        """The model as it was."""
        for one in self._readers:
            write(one.originals)

    def steps(self) -> Iterator[ShareStep]:
        """A step of each set, those that save most first, as many as two thirds of what is left allow."""
        steps = [one for one in self.exchange.steps(self.plan) if one.saved > 0]
        steps.sort(key=lambda one: -one.saved)
        self._steps = {one.number: one for one in steps[: max(2 * (self.total - self.measured) // 3, 1)]}
        self._prices.clear()
        yield from self._steps.values()

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
        used, failed, looked = set[int](), 0, 0
        for _, gets, gives in sorted(promised, reverse=True):
            if self.measured >= self.total or failed >= PATIENCE or looked >= TRIES * len(prices):
                return
            # Prices of a set hold for one step: after it they are measured anew, in the next round.
            if gets in used or gives in used:
                continue
            looked += 1
            moved, measured = self.moved, self.measured
            yield gets, gives
            if self.moved > moved:
                used |= {gets, gives}
                failed = 0
            else:
                failed += self.measured - measured

    def try_exchange(self, gets: int, gives: int) -> bool:
        """Have one set give another a step, and keep that if the outputs come nearer; whether they do."""
        plan = self.exchange.exchange_step(self.plan, gets, gives)
        if plan is None or plan.tobytes() in self._known:
            return False
        self._known.add(plan.tobytes())
        self.tried += 1
        found = self._measure(plan)
        # Less than that is what another draw of samples would change; NaN is refused here too.
        if not found < (1 - GAIN) * self.now:
            return False
        for one in self._readers_of_change(plan):
            write(one.without(plan))
            self.stale |= one.changed
        self.plan, self.now = plan, found
        self.moved += 1
        return True

    @property
    def best(self) -> SearchedPlan:
        """The present plan: no other was nearer."""
        kept = [
            ShareChange(one.module, *(one.count - int(plan[one.structures].sum()) for plan in (self._begun, self.plan)))
            for one in self._analysis.sets
        ]
        changes = tuple(one for one in kept if one.before != one.after)
        return SearchedPlan(
            self.plan, self.before, self.now, self.measured, self.total, self.moved, self.tried, changes
        )

    def progress(self, better: bool = False) -> Progress:
        """How far the search is, with the plan where it has become better."""
        text = "Moving shares between layers: {moved} moved, distance {before:.4g} to {after:.4g}"
        fields = {"moved": self.moved, "before": self.before, "after": self.now}
        shown = Message("progress.shares", text, fields)
        return Progress(shown, self.measured, self.total, made=self.best if better else None)

    def _measure(self, plan: Mask) -> float:
        self.measured += 1
        changed, written = set(self.stale), list[Written]()
        for one in self._readers_of_change(plan):
            changed |= one.changed
            written += one.without(plan)
        return self.outputs.with_weights(changed, written)

    def _readers_of_change(self, plan: Mask) -> list[Reader]:
        changed = plan != self.plan
        return [one for one in self._readers if one.reads(changed)]

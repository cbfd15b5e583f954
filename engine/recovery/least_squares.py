"""Repairs products that lost inputs, without training: by bias or by least squares over kept inputs. Loads torch.

A product of the original gives Y = U W^T + b. In the cut model it is given V, which has fewer columns, and which
earlier layers have changed. Two repairs bring its outputs back to Y:

* *bias*: the mean of what is missing goes into the bias (the compensation of FLAP, An et al. 2023);
* *least squares*: W' = W_k + R^T V (V^T V + rho)^-1 with what the plain cut misses, R = Y - V W_k^T, both without their
  mean where there is a bias, which then takes the rest. A ridge rho keeps the plain cut W_k where the data says little.
  It is chosen among a few on a quarter of the rows, and where none is better there than the plain cut, that stays.

Layers are repaired in the order in which they run (`lockstep.py`), each on the inputs that the cut model gives it once
all layers before it are repaired. On the way each BatchNorm is adjusted to what became of its inputs, as it is once the
repair is done (`batchnorm.py`): otherwise later layers would correct what the norms will correct. Weights that one
forward reads several times, or in parts, have no such place: they are repaired first, on the original's inputs. So are
those of which both models go through samples in another order, in their place.

Least squares on the cut model's inputs are *sequential*. From the same forwards comes an *independent* repair: V are
those of the original's inputs that are left, whatever earlier layers have become. It makes up for nothing that they
changed, and learns none of their noise. Small networks for images were better with the first, a deep language model
with the second (`tests/benchmarks/README.md`). Only the whole model shows which: `finetune.py` evaluates both.

Which layers: every product that reads a parameter, whichever class called it (`tracing/weight_products.py`).
"""

import math
import weakref
from collections.abc import Container, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import Message
from ..inference.batch_parts import PassLimit, in_fitting_parts, input_parts
from ..inference.model_inputs import Inputs, batch_size, call, few, filled, mapped, named_arrays
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check
from ..machine.devices import CPU, device_for, placed
from ..scoring.cancellable_autograd import interruptible
from ..structures.transition import KeptIndices
from ..tasks.evaluate import first_inputs
from ..tasks.protocol import Split, Task
from ..tracing.model_state import model_state_restored
from ..tracing.operator_mode import OperatorMode
from ..tracing.tree import tensors_of
from ..tracing.weight_products import Place, Seen, WeightProduct, WeightProducts
from .batchnorm import adjusting_batchnorm, norms_can_be_adjusted
from .consumers import Consumer, kept_elements, units_of
from .lockstep import advance_in_order, own_copy, paused_forwards, plain_attention
from .protocol import Repair
from .results import (
    DERIVED,
    MIXED,
    NO_DATA,
    NO_VIEW,
    TOO_LARGE,
    RepairResult,
)
from .side_effects import keep_modes

BATCHES, FEW = 128, 32
"""Calibration batches at most: in all, and where their inputs take more than `MEMORY`."""
ENOUGH, FEWEST, SPARSE = 16, 8192, 4
"""Rows that are enough, for each input of a layer and in all, drawn at random; and for each input of a wide layer."""
PRODUCTS = 1e12
"""Multiply-accumulates of a layer's moments, half a minute of a core: wider layers get fewer rows for each input."""
MEMORY = 1 << 30
"""Bytes of activations, or of moments, to hold at a time."""
COMPUTE, SINGLE = 4e12, 1e12
"""Multiply-accumulates of the original's forwards to spend in all, two minutes of a core or so; and for layers that get
but one row from a sample, as classifiers do."""
FORWARDS, JOINED = 4, 8
"""Forwards that batches are joined into at least, and batches in one at most; fewer where they need over `MEMORY`."""
ADJUSTED = 8
"""Samples of a forward that BatchNorm is adjusted on, at least."""
SURVEYED = 4
"""Samples of the survey."""
EQUAL = 1e-5
"""Weights of two repairs that differ by less, relative and absolute, are the same."""
LARGEST = 1 << 28
"""Numbers in the products of one layer's inputs: a layer with more is left as it was cut."""


@dataclass(frozen=True, slots=True)
class IndependentRepair:
    """The independent repair; the student has the sequential one.

    Attributes:
        result: What it did.
        weights: All weights and biases in which the two may differ, by name; on the CPU.
    """

    result: RepairResult
    weights: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Repairs:
    """What `reconstruct` gives.

    Attributes:
        sequential: What was done to the student.
        independent: The independent repair; None where it is the same.
    """

    sequential: RepairResult = field(default_factory=RepairResult)
    independent: IndependentRepair | None = None


@dataclass(slots=True)
class Survey:
    """What a forward of the original on a few samples shows; numbers are for one batch.

    Attributes:
        order: Place of each weight that lost inputs in the run.
        rows: Of the largest part of its product.
        inputs: How many are left, at most.
        shared: Those that one forward reads several times, or in an operator that goes through a sequence.
        excluded: Those that cannot be repaired, and why.
        bytes: Of the activations that live at the first product of each.
        peak: The most bytes of activations that live at one time.
        macs: Of all products.
        mixed: Weights that operators also use otherwise.
        read: All weights that were read.
        adjusts: BatchNorm can be adjusted to the cut.
        watch: What watched it.
    """

    order: dict[str, int] = field(default_factory=dict[str, int])
    rows: dict[str, float] = field(default_factory=dict[str, float])
    inputs: dict[str, int] = field(default_factory=dict[str, int])
    shared: set[str] = field(default_factory=set[str])
    excluded: dict[str, Message] = field(default_factory=dict[str, Message])
    bytes: dict[str, float] = field(default_factory=dict[str, float])
    peak: float = 0.0
    macs: float = 0.0
    mixed: set[str] = field(default_factory=set[str])
    read: set[str] = field(default_factory=set[str])
    adjusts: bool = False
    watch: WeightProducts | None = None

    def enough(self, name: str) -> int:
        """Rows that are."""
        return enough_rows(self.inputs.get(name, 0))


def enough_rows(inputs: int) -> int:
    """Rows that are enough for a layer with so many inputs."""
    affordable = int(PRODUCTS / max(inputs, 1) ** 2)
    return max(min(ENOUGH * inputs, max(affordable, SPARSE * inputs)), FEWEST)


class LiveMemory(OperatorMode):
    """Context manager that counts the bytes of results that are still held; each memory once, as large as it is.

    Attributes:
        peak: The most bytes that were held behind any operator.
    """

    def __init__(self, others: Iterable[Tensor]) -> None:
        """Count from nothing, and not the memory of `others`."""
        super().__init__()
        self._others = {one.untyped_storage().data_ptr() for one in others}
        self._met: dict[int, tuple[weakref.ref[Tensor], int, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and note what it gives."""
        result = func(*args, **(kwargs or {}))
        for one in tensors_of(result):
            storage = one.untyped_storage()
            if storage.data_ptr() not in self._others:
                self._met[id(one)] = weakref.ref(one), storage.data_ptr(), storage.nbytes()
        self.peak = max(self.peak, self.bytes())
        return result

    def bytes(self) -> int:
        """Of all memory that lives."""
        self._met = {key: one for key, one in self._met.items() if one[0]() is not None}
        return sum({memory: size for _, memory, size in self._met.values()}.values())


def reconstruct(
    student: nn.Module,
    teacher: nn.Module,
    kept: KeptIndices,
    task: Task,
    how: Repair,
    token: CancelToken | None = None,
    *,
    device: str = CPU,
    limit: PassLimit | None = None,
) -> Job[Repairs]:
    """Repair the products of a student that lost inputs, in place; gradients are not needed and no label is read.

    By least squares, the independent repair is returned too.

    Args:
        student: A fresh cut; weights that were trained since are left alone.
        teacher: The original; left as it is.
        kept: For each tensor of the original that the student has smaller: per dimension the indices left.
        task: Gives calibration batches.
        how: Which repair.
        token: Cancels; the student is as before then.
        device: Where both run, and where the least squares are solved as far as it has float64.
        limit: How many samples run at a time there; fewer where memory runs out. None to find out.
    """
    if how is Repair.NONE:
        return Repairs()
    elements = kept_elements(kept, dict(teacher.named_parameters()))
    if not elements:
        return Repairs()
    where = yield from device_for(device, teacher, watched=True)
    limit = PassLimit() if limit is None or where != device else limit  # of another device it says nothing
    limit.begin(where)

    def repair_all() -> Job[Repairs]:
        """Repair everything or, where it is broken off, nothing."""
        work = Reconstruction(student, teacher, kept, elements, task, how, token or NeverCancelled(), limit)
        try:
            return (yield from work.run())
        except BaseException:
            work.undo()
            raise

    with placed(where, student, teacher), keep_modes(student, teacher), model_state_restored(teacher):
        student.eval()
        teacher.eval()
        given = partial(first_inputs, task, Split.TRAIN)
        return (yield from in_fitting_parts(repair_all, teacher, given, limit, divides=True))


@dataclass(slots=True)
class RepairState:
    """How far one of the two repairs is.

    Attributes:
        weights: Weights and biases that it changes in place, by name, others perhaps among them.
        done: Names of the weights that it has repaired.
        left: Of others, and why; one reason for each part.
    """

    weights: dict[str, Tensor]
    done: dict[str, None] = field(default_factory=dict[str, None])
    left: dict[str, list[Message]] = field(default_factory=dict[str, list[Message]])

    def note(self, name: str, why: Message | None) -> None:
        """Record that a part of a weight was repaired, or why not."""
        if why is None:
            self.done[name] = None
        else:
            self.left.setdefault(name, []).append(why)


class Reconstruction:
    """Both repairs of a student."""

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        kept: KeptIndices,
        elements: dict[str, Tensor],
        task: Task,
        how: Repair,
        token: CancelToken,
        limit: PassLimit,
    ) -> None:
        """Take what `reconstruct` takes; `elements` are those that are left of weights that became smaller."""
        self._student, self._teacher, self._kept, self._elements = student, teacher, kept, elements
        self._task, self._token, self._products = task, token, how is Repair.LEAST_SQUARES
        self._limit = limit
        self._weights, self._own = dict(teacher.named_parameters()), dict(student.named_parameters())
        self._survey = Survey()
        self._sequential, self._independent = RepairState({**self._own}), RepairState({})
        self._before: dict[str, Tensor] = {}
        self._written: dict[str, Tensor] = {}

    def undo(self) -> None:
        """Put back what the student's weights were."""
        with torch.no_grad():
            for name, value in self._before.items():
                self._own[name].copy_(value)

    def run(self) -> Job[Repairs]:
        """Repair everything."""
        whole = (self._task.inputs(one) for one in self._task.batches(Split.TRAIN, seed=0))
        given = (part for one in whole for part in input_parts(one, self._limit))
        first = next(given, None)
        if first is None:
            return Repairs()
        yield Progress("Recording the inputs of layers")
        self._survey_original(first)
        batches = [first, *islice(given, self._batch_count(first) - 1)]
        yield from self._repair_shared(batches)
        survey = self._survey
        passed = {*survey.shared, *survey.excluded, *(survey.read - survey.order.keys())}
        waiting = [one for one in self._elements if one not in passed]
        while waiting:
            waiting = yield from self._repair_in_order(waiting, batches)
        sequential, independent = self._result(self._sequential), self._independent
        if all(torch.allclose(one, self._own[name], EQUAL, EQUAL) for name, one in independent.weights.items()):
            return Repairs(sequential)
        weights = {name: one.to(CPU) for name, one in independent.weights.items()}
        return Repairs(sequential, IndependentRepair(self._result(independent), weights))

    def _result(self, state: RepairState) -> RepairResult:
        left = {name: reasons[0] for name, reasons in state.left.items() if name not in state.done}
        known = {*self._survey.read, *state.done, *left}
        for name, one in self._elements.items():
            # Nothing has read it, so its form is not known: its second dimension counts as that of its inputs.
            if name not in known and not one.transpose(0, 1).flatten(1).any(1).all():
                left[name] = NO_DATA
        return RepairResult(tuple(state.done), tuple((self._survey.excluded | left).items()))

    def _batch_count(self, first: Inputs) -> int:
        """How many batches to run: as many as the neediest layer needs, as far as work and memory allow."""
        survey, there = self._survey, self._task.batch_count(Split.TRAIN) or BATCHES
        samples, needed = batch_size(first), 2
        for one in survey.order.keys() - survey.excluded.keys():
            work = SINGLE if survey.rows[one] <= samples and one not in survey.shared else COMPUTE
            enough = math.ceil(survey.enough(one) / max(survey.rows[one], 1))
            needed = max(needed, min(enough, int(work / max(survey.macs, 1.0))))
        size = sum(torch.as_tensor(one).nbytes for _, one in named_arrays(first))
        return min(there, BATCHES, needed, max(FEW, MEMORY // max(size, 1)))

    def _survey_original(self, first: Inputs) -> None:
        """Survey the original on a few samples of the first batch, and its norms with the student's."""
        given = first if _has_lists(first) else few(first, SURVEYED)
        scale, survey = batch_size(first) / max(batch_size(given), 1), self._survey
        memory = LiveMemory([*self._teacher.parameters(), *self._teacher.buffers()])

        def note(product: WeightProduct) -> None:
            """Enter a product into the survey."""
            name = product.name
            weight = self._weights[name]
            survey.macs += scale * sum(one.rows * one.view(weight).numel() for one in product.units)
            if name not in self._elements:
                return
            units = units_of(product, self._elements[name])
            if not units and product.units:
                return
            whole = sum(one.view(weight).numel() for one in product.units) >= weight.numel()
            if product.call or product.steps or not whole:
                survey.shared.add(name)
            if product.derived or not product.units:
                survey.excluded[name] = DERIVED if product.derived else NO_VIEW
            elif max(len(one.left) for one in units) ** 2 > LARGEST and self._products:
                survey.excluded[name] = TOO_LARGE
            if name not in survey.order:
                survey.order[name] = len(survey.order)
                survey.rows[name] = scale * max((product.units[one.place].rows for one in units), default=0)
                survey.inputs[name] = max((len(one.left) for one in units), default=0)
                survey.bytes[name] = scale * memory.bytes()

        with forward_of(self._teacher, self._token, note) as (model, watch), memory:
            call(model, given)
        survey.peak = scale * memory.peak
        survey.mixed = watch.mixed
        survey.read = watch.read
        watch.forget()
        survey.watch = watch
        survey.adjusts = norms_can_be_adjusted(self._student, self._teacher, self._kept, given, self._token)
        survey.excluded |= {name: MIXED for name in survey.order if name in watch.mixed}

    def _repair_shared(self, batches: Sequence[Inputs]) -> Job[None]:
        """Repair weights that are read several times, on the original's inputs."""
        names = [one for one in self._survey.order if one in self._survey.shared - self._survey.excluded.keys()]
        if not names:
            return
        theirs: dict[str, dict[Place, WeightProduct]] = {one: {} for one in names}
        own: dict[str, dict[Place, WeightProduct]] = {one: {} for one in names}
        found: dict[tuple[str, Place], list[Consumer]] = {}

        def take_rows(product: WeightProduct) -> None:
            """Take in the rows of a product, unless there are enough."""
            name, place = product.name, product.place
            if place not in theirs[name]:
                theirs[name][place] = product
                found[name, place] = [Consumer(one) for one in units_of(product, self._elements[name])]
            enough = self._survey.enough(name)
            for one in found[name, place]:
                if one.sequential.fit.rows < enough:
                    one.look(product, None, -(-enough // len(batches)), self._products, False, self._added_by(product))

        def keep_first(product: WeightProduct) -> None:
            own[product.name].setdefault(product.place, product)

        for number, inputs in enumerate(batches, start=1):
            check(self._token)
            with forward_of(self._teacher, self._token, take_rows, names) as (model, watch):
                watch.present = filled(inputs)
                call(model, inputs)
            yield Progress("Recording the inputs of layers", number, len(batches))
        for inputs in batches:
            if all(len(own[one]) >= len(theirs[one]) for one in names):
                break
            check(self._token)
            with forward_of(self._student, self._token, keep_first, names) as (model, _):
                call(model, inputs)
        for name in names:
            for place, product in theirs[name].items():
                consumers = found[name, place]
                counterpart = self._counterpart(consumers, product, own[name].values())
                self._repair(consumers, product, counterpart, NO_VIEW if own[name] else NO_DATA)
            yield Progress("Repairing layers", len(self._sequential.done), len(self._elements))

    @torch.no_grad()
    def _counterpart(
        self, consumers: Sequence[Consumer], theirs: WeightProduct, candidates: Iterable[WeightProduct]
    ) -> WeightProduct | None:
        """The student's product that reads what is left of the numbers that the original's reads."""
        # Weights of numbers, laid out as the real ones: a view of them shows which elements a product reads.
        elements, weight = self._elements[theirs.name], self._own[theirs.name]
        numbers = torch.arange(weight.numel()).view(weight.shape)
        own = torch.empty_strided(weight.shape, weight.stride(), dtype=torch.int64).copy_(numbers)
        left = torch.empty_strided(elements.shape, elements.stride(), dtype=torch.int64).fill_(-1)
        left[elements] = numbers.flatten()

        def reads(product: WeightProduct, one: Consumer) -> bool:
            """Whether a product of the student's has what is left of a consumer."""
            unit = one.unit
            wanted = theirs.units[unit.place].view(left).flatten(1)[unit.rows][:, unit.left]
            return unit.own < len(product.units) and torch.equal(product.units[unit.own].view(own).flatten(1), wanted)

        return next((product for product in candidates if all(reads(product, one) for one in consumers)), None)

    def _repair_in_order(self, waiting: Sequence[str], batches: Sequence[Inputs]) -> Job[list[str]]:
        """Repair weights in the order in which they run; gives those that need more batches than fit with others."""
        # Forwards wait at each product with all their activations. Early products of a large model hold so much that
        # few batches fit; where that is too little data, later ones wait for a turn of their own with more batches.
        survey, total = self._survey, len(batches)
        count = self._fitting_count(waiting, total)
        later = [
            one
            for one in waiting
            if survey.rows.get(one, math.inf) * count < min(survey.enough(one), survey.rows.get(one, 0) * total)
        ]
        if self._fitting_count(later, total) <= count:
            later = []
        now = [one for one in waiting if one not in later]
        needed = max((math.ceil(survey.enough(one) / max(survey.rows.get(one, 1), 1)) for one in now), default=1)
        taken = batches[: min(count, max(needed, 2))]
        largest = max(1, min(JOINED, int(MEMORY / max(survey.peak, 1.0))))
        joined = taken if self._limit.most else join_batches(taken, FORWARDS, largest)
        models = [(self._teacher, False), (self._student, True)]
        with paused_forwards(models, joined, frozenset(now), self._token) as forwards, ExitStack() as adjusting:
            for (theirs, own), inputs in zip(forwards, joined, strict=True):
                model, original = own.copied, theirs.copied
                # Forwards that share a model share its statistics, which cannot be those of each batch then.
                if model is None or original is None:
                    continue
                if survey.adjusts and batch_size(inputs) >= ADJUSTED:
                    adjusting.enter_context(adjusting_batchnorm(model, original, self._kept))
            for name, here in advance_in_order(forwards, survey.order):
                check(self._token)
                self._repair_paused(name, [(one, other) for one, other in here])
                yield Progress("Repairing layers", len(self._sequential.done), len(survey.order) or 1)
        return later

    def _fitting_count(self, names: Sequence[str], total: int) -> int:
        """How many batches can wait at these products at a time, of both models."""
        most = max((2 * self._survey.bytes.get(one, 0.0) for one in names), default=0.0)
        return max(1, min(total, int(MEMORY / max(most, 1.0))))

    def _repair_paused(self, name: str, here: Sequence[tuple[WeightProduct | None, WeightProduct | None]]) -> None:
        """Repair a weight from where all forwards wait at its product."""
        theirs = next((one for one, _ in here if one is not None), None)
        if theirs is None:
            return
        own = next((one for _, one in here if one is not None), None)
        found = [Consumer(one) for one in units_of(theirs, self._elements[name])]
        widths = [len(one.unit.left) for one in found] or [0]
        rows = enough_rows(max(widths))
        share = -(-rows // len(here))
        # Moments of both repairs: what they take in float32, and to compute.
        fits = 8 * sum(width**2 for width in widths) <= MEMORY and rows * max(widths) ** 2 <= 2 * PRODUCTS
        for one in found:
            for teacher, student in here:
                if teacher is None or teacher.place != theirs.place:
                    continue
                paired = None
                if student is not None and one.unit.own < len(student.units):
                    paired = student.units[one.unit.own]
                    # Where experts were given other tokens than in the original, rows do not belong together.
                    paired = paired if paired.rows == teacher.units[one.unit.place].rows else None
                one.look(teacher, paired, share, self._products, self._products and fits, self._added_by(teacher))
        if found:
            self._repair(found, theirs, own)

    def _added_by(self, theirs: WeightProduct) -> Tensor | None:
        """The parameter of the original that an operator adds to the product that it gives."""
        return self._weights[theirs.bias].detach() if theirs.bias and not theirs.steps else None

    def _bias_of(self, theirs: WeightProduct, own: WeightProduct) -> str:
        """Name of the bias that a repair of a product writes, "" for none.

        Either model may add it after its operator: torch does, depending on the memory layout of the inputs.
        """
        name = own.bias or theirs.bias
        if name not in self._own or (theirs.bias and (theirs.bias != name or name in self._survey.mixed)):
            return ""
        whole = sum(len(one.view(self._own[own.name])) for one in own.units)
        return name if own.bias or len(self._own[name]) == whole else ""

    @torch.no_grad()
    def _repair(
        self,
        found: Sequence[Consumer],
        theirs: WeightProduct,
        own: WeightProduct | None,
        missing: Message = NO_DATA,
    ) -> None:
        """Write all parts of a weight, or what one product reads of it; `missing`: why there is none of its own."""
        name, states = theirs.name, [self._sequential]
        if self._products:
            states.append(self._independent)
        bias_name = "" if own is None else self._bias_of(theirs, own)
        why = NO_VIEW if own is not None and own.derived else None
        if own is None or why is not None:
            for state in states:
                state.note(name, why or missing)
            return
        for one in (name, bias_name):
            if one and one not in self._before:
                self._before[one] = self._own[one].detach().clone()
                for state in states[1:]:
                    state.weights[one] = self._before[one].clone()
        written = None
        if bias_name:
            nothing = torch.zeros_like(self._own[bias_name], dtype=torch.bool)
            written = self._written.setdefault(bias_name, nothing)
        for one in found:
            if one.unit.own >= len(own.units):
                for state in states:
                    state.note(name, NO_VIEW)
                continue
            unit, there = own.units[one.unit.own], theirs.units[one.unit.place]
            full = there.view(self._weights[name].detach()).flatten(1)
            added = self._added_by(theirs) if theirs.bias == bias_name else None
            added = None if added is None else there.added(added)
            # A bias that several products add stays; where the survey has missed one, as it was first written.
            watch = self._survey.watch
            shared = added is not None and watch is not None and watch.is_shared(bias_name, added)
            free = written is not None and not shared and not unit.added(written).any()
            added = None if added is None else added[one.unit.rows]
            for state in states:
                alone = state is self._independent and one.independent.fit.rows
                seen = one.independent if alone else one.sequential
                bias = unit.added(state.weights[bias_name].detach()) if free else None
                why = one.repair(seen, unit, state.weights[name].detach(), full, bias, added, self._products)
                state.note(name, why)
            if free and written is not None:
                unit.added(written).fill_(True)


@contextmanager
def forward_of(
    model: nn.Module, token: CancelToken, seen: Seen, only: Container[str] | None = None
) -> Generator[tuple[nn.Module, WeightProducts]]:
    """Give a copy with the same parameters and its watch, to run without gradients inside; `seen` gets its products."""
    copy = own_copy(model)
    watch = WeightProducts(dict(model.named_parameters()), seen, copy.buffers(), only=only)
    with torch.no_grad(), interruptible(token), plain_attention(), watch:
        yield copy, watch


def join_batches(batches: Sequence[Inputs], most: int, largest: int = JOINED) -> list[Inputs]:
    """Batches put together into few larger ones, where they are of one shape but for their number of samples.

    There are `most` of them, or more where each would have over `largest` batches.
    """
    groups: dict[Any, list[Inputs]] = {}
    for number, one in enumerate(batches):
        arrays = list(named_arrays(one))
        count = batch_size(one)
        whole = not _has_lists(one) and all(a.ndim and a.shape[0] == count for _, a in arrays)
        key: Any = tuple((path, tuple(a.shape[1:]), str(a.dtype)) for path, a in arrays) if whole else number
        groups.setdefault(key, []).append(one)
    made: list[Inputs] = []
    for some in groups.values():
        size = min(-(-len(some) // most), largest)
        for n in range(0, len(some), size):
            part = some[n : n + size]
            if len(part) == 1:
                made.append(part[0])
                continue
            arrays = [[torch.as_tensor(a) for _, a in named_arrays(one)] for one in part]
            joined = iter([torch.cat(several) for several in zip(*arrays, strict=True)])
            made.append(mapped(part[0], lambda _, joined=joined: next(joined)))
    return made


def _has_lists(inputs: Inputs) -> bool:
    values = inputs.values() if isinstance(inputs, Mapping) else inputs
    return any(isinstance(one, list) for one in values)

"""What the structures of a coupled set do: which samples excite them, how often they are active, which are alike.

All structures of a set are looked at in one pass, and nothing of a batch outlives it but what the result holds. Loads
torch.
"""

from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..errors import Message, TaskError
from ..inference.batch_parts import PassLimit, cut_rows, input_parts, rows_in
from ..inference.model_inputs import filled
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check
from ..machine.device_list import CPU
from ..scoring.criteria import use_rated
from ..scoring.gradients import no_batch_error
from ..scoring.protocol import RatedModel
from ..scoring.score_options import Choices
from ..scoring.structured_obs import STRUCTURED_OBS
from ..structures.analysis import Analysis, CoupledSet, Kind, Mask
from ..tasks.protocol import Split, Task
from .attention import AttentionSums
from .response_data import LayerResponses, MapForm, SampleView
from .response_reading import (
    HEADS,
    ResponseSource,
    ResponseWatch,
    find_sources,
    is_same,
    no_single_samples,
    run_until_seen,
)
from .sample_views import SampleReader, grid_of, targets_of
from .similarity import WIDEST, ResponseMoments, ResponseTotals

SAMPLES, BEST = 256, 9
"""Samples to look at, and those of them that are shown for a structure."""
AT_ONCE, AT_ONCE_ELSEWHERE = 9, 64
"""Samples that go through the model together, on a CPU and on another device: the first ones are shown at once."""
BATCHES = 256
"""Batches to take the samples from, at most."""
GROWTH = 2
"""How many times as many samples there are in a result on the way as in the one before: each is of some megabytes."""
ROWS = 8192
"""Places of responses that correlations are of, drawn at random: more of them change no digit that is shown."""
PARTNERS = 8
"""Structures that respond most alike, for each."""
BYTES, FINEST = 4_000_000, 28
"""Size of all maps together, about, and the side of a map in points at most."""
WINDOW, BEFORE = 24, 16
"""Tokens that a map shows, and how many of them are before the one with the largest response."""


@dataclass(slots=True)
class _Best:
    """The samples that excite each structure most, as far as they were looked at.

    Attributes:
        values: [n, k] largest response of each.
        numbers: [n, k] of the samples, -1 for none.
        maps: [n, k, h, w] responses.
        starts: [n, k] token at which a map begins.
    """

    values: Tensor
    numbers: Tensor
    maps: Tensor
    starts: Tensor

    def take(self, x: Tensor, numbers: list[int], layout: "_Layout", counts: Tensor | None) -> None:
        """Take in the responses [N, n, P] of samples, with flags [N, P] of the places that count."""
        k = self.values.shape[1]
        shown = x if counts is None else x.masked_fill(~counts[:, None], -torch.inf)
        largest, place = shown.max(2)
        own = torch.tensor(numbers, device=x.device).expand(x.shape[1], -1)
        values, index = torch.cat((self.values, largest.T), 1).topk(k, dim=1)
        known = index.clamp(max=k - 1)
        self.values = values
        self.numbers = torch.cat((self.numbers, own), 1).gather(1, index)
        self.maps = self.maps.gather(1, known[..., None, None].expand_as(self.maps))
        self.starts = self.starts.gather(1, known)
        structure, rank = (index >= k).nonzero(as_tuple=True)
        if self.maps.numel() and len(structure):
            row = index[structure, rank] - k
            maps, starts = layout.draw(x[row, structure], place[row, structure], tuple(self.maps.shape[2:]))
            self.maps[structure, rank], self.starts[structure, rank] = maps, starts


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the places of a response are.

    Attributes:
        form: What they are laid out over.
        before: Places that are not drawn: the class token.
        height: Rows of places of an image.
        width: Columns of places, or tokens.
    """

    form: MapForm
    before: int = 0
    height: int = 0
    width: int = 0

    def size(self, structures: int) -> tuple[int, int]:
        """(height, width) of a map."""
        if self.form is MapForm.IMAGE:
            side = min(FINEST, max(int((BYTES / (BEST * structures)) ** 0.5), 4))
            return min(self.height, side), min(self.width, side)
        return (1, min(self.width, WINDOW)) if self.form is MapForm.TOKENS else (0, 0)

    def draw(self, x: Tensor, place: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """([m, h, w] maps, [m] tokens at which they begin) of responses [m, P] with the largest one at a place [m]."""
        if self.form is MapForm.IMAGE:
            image = x[:, self.before :].reshape(-1, 1, self.height, self.width)
            return F.adaptive_avg_pool2d(image.float(), (size[0], size[1]))[:, 0], torch.zeros_like(place)
        start = (place - BEFORE).clamp(min=0).clamp(max=self.width - size[1])
        found = x.gather(1, start[:, None] + torch.arange(size[1], device=x.device))
        return found[:, None].float(), start


@dataclass(slots=True)
class _Gathered:
    """What is known of a set so far.

    Attributes:
        totals: Over all of its responses.
        products: Of the columns of drawn places, None where they are too many.
        attention: Of heads.
        attended: Attention was seen.
        best: None before the first samples.
        layout: Of their maps.
        views: Samples that are shown.
        classes: Class -> (samples, [n] sum of their mean responses).
    """

    totals: ResponseTotals
    products: ResponseMoments | None
    attention: AttentionSums | None
    attended: bool = False
    best: _Best | None = None
    layout: _Layout = _Layout(MapForm.NONE)
    views: dict[int, SampleView] = field(default_factory=dict[int, SampleView])
    classes: dict[int, tuple[int, NDArray[np.float64]]] = field(
        default_factory=dict[int, tuple[int, NDArray[np.float64]]]
    )

    def take(
        self, x: Tensor, layout: _Layout, numbers: list[int], reader: SampleReader, flags: Any, share: float
    ) -> None:
        """Take in the values [N, n, each, P] of some samples.

        Args:
            x: The values.
            layout: Of the places.
            numbers: Of the samples.
            reader: Has looked at them.
            flags: [N, P] places that count, None for all.
            share: Of the rows that correlations are of, what these samples should give.
        """
        one, mask, drawn = self.totals.add(x, flags, 0 if self.products is None else max(int(share * ROWS), 1))
        structures = self.totals.structures
        if self.products is not None and len(drawn):
            self.products.add(drawn)
        each = one.mean(2) if mask is None else (one * mask[:, None]).sum(2) / mask.sum(1)[:, None]
        for row, values in enumerate(each.cpu().double().numpy()):
            if (kind := reader.class_of(row)) >= 0:
                samples, sums = self.classes.get(kind, (0, np.zeros(structures)))
                self.classes[kind] = samples + 1, sums + values
        if self.best is None:
            height, width = layout.size(structures)
            self.layout = layout
            self.best = _Best(
                torch.full((structures, BEST), -torch.inf, device=one.device),
                torch.full((structures, BEST), -1, device=one.device),
                torch.zeros(structures, BEST, height, width, device=one.device),
                torch.zeros(structures, BEST, dtype=torch.long, device=one.device),
            )
        # Batches of other sizes, texts of another length say, have no maps of the size that was begun with.
        if layout.size(structures) == tuple(self.best.maps.shape[2:]):
            self.best.take(one.float(), numbers, layout, mask)
        wanted = set(cast("list[int]", self.best.numbers.flatten().tolist())) | set(
            self.attention.samples if self.attention else ()
        )
        self.views = {number: view for number, view in self.views.items() if number in wanted}
        self.views |= {n: reader.view(row) for row, n in enumerate(numbers) if n in wanted}


def measure_responses(
    model: Any,
    analysis: Analysis,
    removed: Mask,
    key: str,
    module: str,
    task: Task,
    *,
    classes: tuple[str, ...] = (),
    samples: int = SAMPLES,
    device: str = CPU,
    limit: PassLimit | None = None,
    token: CancelToken | None = None,
) -> Job[LayerResponses]:
    """What the structures of a set do on samples of the train split; after the first ones too, as `Progress.made`.

    The model is left exactly as it was, also when cancelled or when it raises.

    Args:
        model: A `torch.nn.Module` from which `removed` is already cut.
        analysis: Of the original model.
        removed: [S] what the model no longer has.
        key: Of a coupled set that is no block.
        module: Layer whose output is meant, of those that the set couples: what reads it first behind that layer is
            where it is read; "" for the first of all.
        task: Gives the data.
        classes: Names of the classes.
        samples: How many to look at, at most.
        device: Where the model runs.
        limit: How many samples run at a time there; None to find out.
        token: Cancels the job.

    Raises:
        TaskError: There is no data, nothing is left or seen of the set, or its responses are not those of single
            samples, or NaN.
    """
    one = next((each for each in analysis.sets if each.key == key), None)
    if one is None or one.kind is Kind.BLOCK or removed[one.structures].all():
        template = "Nothing is left of {layer} in this state. Select another layer."
        raise TaskError("inspection.gone", template, layer=module or key)
    token = token or NeverCancelled()

    def measure(rated: RatedModel) -> Job[LayerResponses]:
        return _measure_rated(rated, one, module, classes, samples, token)

    # Of a criterion only that it runs the model on data, and sees the weights that read a set.
    rule, kept = STRUCTURED_OBS, analysis.kept_indices(removed)
    job = use_rated(model, analysis, removed, rule, task, Choices(), 0, measure, device, limit, kept)
    return (yield from job)


def _measure_rated(
    rated: RatedModel,
    one: CoupledSet,
    module: str,
    classes: tuple[str, ...],
    samples: int,
    token: CancelToken,
) -> Job[LayerResponses]:
    """The same of a model as criteria have it. Forwards end as soon as the responses are known."""
    assert rated.task is not None
    task, layer = rated.task, module or one.module
    shown = Message("progress.responses", "Measuring what {layer} responds to", {"layer": layer})
    reader = SampleReader(task.spec, classes)
    at_once = AT_ONCE if all(each.device.type == CPU for each in rated.parameters.values()) else AT_ONCE_ELSEWHERE
    size, total = task.spec.batch, samples
    if known := task.batch_count(Split.TRAIN):
        total = min(samples, known * size)
    begun: tuple[Tensor, _Gathered] | None = None
    steps_first, done, reported = False, 0, 0
    for batch in islice(task.batches(Split.TRAIN, seed=rated.seed), BATCHES):
        pair: Any = (task.inputs(batch), targets_of(batch))
        count = rows_in(pair[0])
        if count > total - done:
            pair = cut_rows(pair, count, 0, total - done)
        if begun is None:
            first = cut_rows(pair[0], rows_in(pair[0]), 0, 1)
            source, alone = _find_source(rated, one, module, first, token)
            totals = ResponseTotals(source)
            columns = totals.structures * totals.each
            products = ResponseMoments(totals.structures, totals.each) if columns <= WIDEST else None
            begun = alone, _Gathered(totals, products, AttentionSums(totals.structures) if one.kind in HEADS else None)
        alone, gathered = begun
        source = gathered.totals.source
        for inputs, targets in cast("Any", input_parts(pair, rated.limit, at_once)):
            check(token)
            rows, flags = rows_in(inputs), filled(inputs)
            reader.read(inputs, targets)
            x, softmax, space = _run(rated, source, inputs, rows, steps_first, token)
            if not done and not is_same(x[:1], alone):
                # Rows may be step by step instead of sample by sample; nothing but their values says so.
                steps_first = True
                x, softmax, space = _run(rated, source, inputs, rows, steps_first, token)
                if not is_same(x[:1], alone):
                    raise no_single_samples(source.name)
            numbers, places = list(range(done, done + rows)), x.shape[-1]
            counts = flags if flags is not None and tuple(flags.shape) == (rows, places) else None
            if gathered.attention is not None and softmax is not None:
                fits = flags if flags is not None and flags.shape[-1] == softmax.shape[-2] else None
                gathered.attended |= gathered.attention.add(softmax, rows, numbers, reader, fits)
            layout = _layout_of(places, space, reader, one.kind)
            gathered.take(x, layout, numbers, reader, counts, rows / max(total, 1))
            done += rows
            progress = Progress(shown, done, total)
            if GROWTH * reported <= done < total:
                progress = Progress(shown, done, total, made=_result(gathered, rated, one, module, reader, total))
                reported = done
            yield progress
        if done >= total:
            break
    if begun is None:
        raise no_batch_error()
    return _result(begun[1], rated, one, module, reader, done)


def _find_source(
    rated: RatedModel, one: CoupledSet, module: str, inputs: Any, token: CancelToken
) -> tuple[ResponseSource, Tensor]:
    """Where the one set is read behind the module, and its values of a single sample; raises where it is not seen."""
    found = find_sources(rated, (one,), module, inputs, token)
    if not found:
        template = (
            "What {layer} computes cannot be seen: no layer with weights reads it by itself. Select another layer."
        )
        raise TaskError("inspection.unseen", template, layer=module or one.module)
    return found[one.key]


def _run(
    rated: RatedModel, source: ResponseSource, inputs: Any, batch: int, steps_first: bool, token: CancelToken
) -> tuple[Tensor, Tensor | None, tuple[int, ...]]:
    """(values [N, n, each, P], the attention before them, sizes of the space) of some samples."""
    found: list[tuple[Tensor, Tensor | None, tuple[int, ...]]] = []

    def take(_: str, values: Tensor | None, space: tuple[int, ...], watch: ResponseWatch) -> None:
        if values is not None:
            found.append((values, watch.softmax, space))

    order = ("",) if steps_first else ()
    run_until_seen(rated, {"": source}, inputs, batch, take, token, order)
    if not found:
        raise no_single_samples(source.name)
    return found[0]


def _layout_of(places: int, space: tuple[int, ...], reader: SampleReader, kind: Kind) -> _Layout:
    """What the places of a response are."""
    if len(space) == 2 and places > 1:
        return _Layout(MapForm.IMAGE, 0, *space)
    if reader.length and places == reader.length:
        return _Layout(MapForm.TOKENS, 0, 1, places)
    # Heads may divide an image into windows, whose tokens are in another order.
    grid = None if kind in HEADS else grid_of(places, reader.size)
    return _Layout(MapForm.NONE) if grid is None else _Layout(MapForm.IMAGE, *grid)


def _result(
    gathered: _Gathered, rated: RatedModel, one: CoupledSet, module: str, reader: SampleReader, total: int
) -> LayerResponses:
    """What is known by now, as plain data."""
    assert gathered.best is not None
    best, structures = gathered.best, one.first + np.flatnonzero(~rated.removed[one.structures])
    numbers = sorted(gathered.views)
    places = {number: place for place, number in enumerate(numbers)}
    ids: NDArray[np.int64] = best.numbers.cpu().numpy()
    top = np.where(ids >= 0, np.searchsorted(np.array(numbers), ids), -1).astype(np.int32)
    values = np.where(top >= 0, best.values.cpu().numpy(), np.nan).astype(np.float32)
    maps = best.maps
    if maps.numel():
        largest = maps.amax((1, 2, 3), keepdim=True).clamp_min(1e-30)
        maps = (255 * maps / largest).clamp(0, 255).round()
    notes: list[Message] = []
    partners, similarity = np.zeros((len(structures), 0), np.int64), np.zeros((len(structures), 0), np.float32)
    if gathered.products is None:
        notes.append(Message("inspection.wide", "Too many structures to compare each with every other."))
    else:
        partners, similarity = gathered.products.partners(PARTNERS)
        partners = np.where(partners >= 0, structures[partners], -1)
    if gathered.attention is not None and not gathered.attended:
        template = "The model computes attention where it cannot be seen, or within windows: no map of it."
        notes.append(Message("inspection.no_attention", template))
    kinds = sorted(gathered.classes)
    means = [gathered.classes[kind][1] / gathered.classes[kind][0] for kind in kinds]
    return LayerResponses(
        key=one.key,
        module=module,
        reader=gathered.totals.source.name,
        structures=structures.astype(np.int64),
        samples=tuple(gathered.views[number] for number in numbers),
        top=top,
        values=values,
        form=gathered.layout.form,
        maps=maps.to(torch.uint8).cpu().numpy(),
        starts=best.starts.cpu().numpy().astype(np.int32),
        active=gathered.totals.active,
        deviation=gathered.totals.deviation,
        dead=gathered.totals.dead,
        classes=tuple(reader.class_name(kind) for kind in kinds),
        class_counts=np.array([gathered.classes[kind][0] for kind in kinds], np.int64),
        class_means=np.array(means, np.float32).reshape(len(kinds), len(structures)).T.copy(),
        partners=partners,
        similarity=similarity,
        attention=None if gathered.attention is None else gathered.attention.view(places),
        seen=gathered.totals.seen,
        total=total,
        notes=tuple(notes),
    )

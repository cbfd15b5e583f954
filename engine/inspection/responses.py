"""What the structures of a coupled set do: which samples excite them, how often they are active, which are alike.

A structure's response is read where the weight that reads it gets it, beneath all modules, so it counts however a model
writes its layers. All structures of a set are looked at in one pass, and nothing of a batch outlives it but what the
result holds. Loads torch.
"""

from collections.abc import Mapping
from contextlib import suppress
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
from ..scoring.features import FeatureMoments
from ..scoring.gradients import no_batch_error
from ..scoring.input_moments import readings_of
from ..scoring.protocol import RatedModel
from ..scoring.score_options import Choices
from ..scoring.structured_obs import STRUCTURED_OBS
from ..scoring.weight_slices import WeightSlice, roles_of
from ..scoring.weights import run_rated
from ..structures.analysis import Analysis, CoupledSet, Kind, Mask, inside
from ..tasks.protocol import Split, Task
from ..tracing.weight_products import ConvolutionUnit, MatrixUnit, WeightProduct, WeightProducts
from .attention import AttentionSums
from .response_data import LayerResponses, MapForm, SampleView
from .sample_views import SampleReader, grid_of, targets_of
from .similarity import WIDEST, ResponseMoments

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
SAME = 1e-5
"""Deviation, in shares of the largest of its set, up to which a structure responds the same everywhere."""
ALIKE = 1e-2
"""Relative difference up to which a sample's response alone and in a batch count as the same."""
HEADS = (Kind.HEAD, Kind.KV_GROUP)
SEVERAL = (Kind.FILTER, Kind.CHANNEL)
"""Kinds whose several columns in a weight are the places of a map that was flattened."""
POOLS = ("aten.mean", "aten._adaptive_avg_pool2d")
SOFTMAXES = ("aten._softmax", "aten._safe_softmax")


class _Seen(BaseException):
    """Ends a forward once the response was seen: what follows computes nothing that is looked at."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the responses of a set are read.

    Attributes:
        name: The weight.
        call: Number of its product in a forward.
        reads: The weight reads the structures; else it computes them.
        columns: [n * each] features, structure by structure.
        each: Columns of a structure.
    """

    name: str
    call: int
    reads: bool
    columns: Tensor
    each: int


class _Watch(WeightProducts):
    """Remembers, apart from products, what was pooled and the last softmax before a product.

    Attributes:
        softmax: The last result of a softmax over tokens, None before there was one; where it is asked for.
    """

    def __init__(self, seen: Any, names: set[str], rated: RatedModel, attends: bool) -> None:
        weights = {name: one for name, one in rated.parameters.items() if name in names}
        others = [one for name, one in rated.parameters.items() if name not in names]
        super().__init__(weights, seen, [*others, *rated.model.buffers()])
        self.softmax: Tensor | None = None
        self._attends = attends
        self._pooled: dict[int, tuple[Tensor, Tensor]] = {}

    def before_pooling(self, features: Tensor) -> Tensor | None:
        """[N, C, P] what was averaged over places to make these features [N, C]; None where nothing was."""
        _, given = self._pooled.get(int(features.untyped_storage().data_ptr()), (None, None))
        if given is None or len(given) != len(features):
            return None
        if given.ndim == 4 and given.shape[1] == features.shape[1]:
            return given.flatten(2)
        return given.mT if given.ndim == 3 and given.shape[2] == features.shape[1] else None

    def forget(self) -> None:
        """Begin the next forward."""
        super().forget()
        self._pooled.clear()
        self.softmax = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, and remember it where it pools or is a softmax."""
        result = super().__torch_dispatch__(func, types, args, kwargs)
        name = str(func.overloadpacket)
        if name in POOLS and isinstance(result, Tensor) and result.shape[:1] == args[0].shape[:1] and args[0].ndim > 2:
            # The memory of the result says what a view of it was made of, so it is held as long.
            self._pooled[int(result.untyped_storage().data_ptr())] = result, args[0]
        elif self._attends and name in SOFTMAXES and result.ndim > 2:
            self.softmax = result
        return result


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
        source: Where it is read.
        moments: Of the responses of all places, [n].
        products: Of the columns of drawn places.
        above: [n] places at which the response was above 0.
        best: None before the first samples.
        layout: Of their maps.
        views: Samples that are shown.
        classes: Class -> (samples, [n] sum of their mean responses).
        attention: Of heads.
        seen: Samples.
    """

    source: _Source
    moments: FeatureMoments
    products: ResponseMoments | None
    above: NDArray[np.float64]
    attention: AttentionSums | None
    attended: bool = False
    best: _Best | None = None
    layout: _Layout = _Layout(MapForm.NONE)
    views: dict[int, SampleView] = field(default_factory=dict[int, SampleView])
    classes: dict[int, tuple[int, NDArray[np.float64]]] = field(
        default_factory=dict[int, tuple[int, NDArray[np.float64]]]
    )
    seen: int = 0

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
        x = x.detach()
        one = x[:, :, 0] if x.shape[2] == 1 else x.float().square().sum(2).sqrt()
        one = one.float() if one.element_size() < 4 else one
        count, structures, _, places = x.shape
        mask = None if flags is None else flags.to(x.device)
        rows = torch.arange(count * places) if mask is None else mask.flatten().nonzero().flatten().cpu()
        if self.products is not None and len(rows):
            random = torch.Generator().manual_seed(self.seen)
            drawn = torch.randperm(len(rows), generator=random)[: max(int(share * ROWS), 1)]
            sample, place = rows[drawn] // places, rows[drawn] % places
            self.products.add(x[sample.to(x.device), :, :, place.to(x.device)].flatten(1))
        flat = one.transpose(1, 2).reshape(-1, structures) if mask is None else one.transpose(1, 2)[mask]
        _require_finite(flat, self.source.name)
        variance, mean = torch.var_mean(flat, dim=0, correction=0)
        self.moments.add(slice(None), len(flat), mean.cpu().double().numpy(), variance.cpu().double().numpy())
        self.above += (flat > 0).sum(0).cpu().numpy()
        each = one.mean(2) if mask is None else (one * mask[:, None]).sum(2) / mask.sum(1)[:, None]
        for row, values in enumerate(each.cpu().double().numpy()):
            if (kind := reader.class_of(row)) >= 0:
                samples, sums = self.classes.get(kind, (0, np.zeros(structures)))
                self.classes[kind] = samples + 1, sums + values
        if self.best is None:
            height, width = layout.size(structures)
            self.layout = layout
            self.best = _Best(
                torch.full((structures, BEST), -torch.inf, device=x.device),
                torch.full((structures, BEST), -1, device=x.device),
                torch.zeros(structures, BEST, height, width, device=x.device),
                torch.zeros(structures, BEST, dtype=torch.long, device=x.device),
            )
        # Batches of other sizes, texts of another length say, have no maps of the size that was begun with.
        if layout.size(structures) == tuple(self.best.maps.shape[2:]):
            self.best.take(one.float(), numbers, layout, mask)
        wanted = set(cast("list[int]", self.best.numbers.flatten().tolist())) | set(
            self.attention.samples if self.attention else ()
        )
        self.views = {number: view for number, view in self.views.items() if number in wanted}
        self.views |= {n: reader.view(row) for row, n in enumerate(numbers) if n in wanted}
        self.seen += count


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
    task, names = rated.task, _names_of(rated, one, module)
    shown = Message("progress.responses", "Measuring what {layer} responds to", {"layer": module or one.module})
    reader = SampleReader(task.spec, classes)
    at_once = AT_ONCE if all(each.device.type == CPU for each in rated.parameters.values()) else AT_ONCE_ELSEWHERE
    size, total = task.spec.batch, samples
    if known := task.batch_count(Split.TRAIN):
        total = min(samples, known * size)
    begun: tuple[_Source, Tensor, _Gathered] | None = None
    steps_first, done, reported = False, 0, 0
    for batch in islice(task.batches(Split.TRAIN, seed=rated.seed), BATCHES):
        pair: Any = (task.inputs(batch), targets_of(batch))
        count = rows_in(pair[0])
        if count > total - done:
            pair = cut_rows(pair, count, 0, total - done)
        if begun is None:
            first = cut_rows(pair[0], rows_in(pair[0]), 0, 1)
            source, alone = _find_source(rated, one, module, first, names, token)
            begun = source, alone, _begin(source, one, rated)
        source, alone, gathered = begun
        for inputs, targets in cast("Any", input_parts(pair, rated.limit, at_once)):
            check(token)
            rows, flags = rows_in(inputs), filled(inputs)
            reader.read(inputs, targets)
            x, softmax, space = _run(rated, source, one.kind, inputs, names, rows, steps_first, token)
            if not done and not _is_same(x[:1], alone):
                # Rows may be step by step instead of sample by sample; nothing but their values says so.
                steps_first = True
                x, softmax, space = _run(rated, source, one.kind, inputs, names, rows, steps_first, token)
                if not _is_same(x[:1], alone):
                    raise _no_single_samples(source.name)
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
    return _result(begun[2], rated, one, module, reader, done)


def _names_of(rated: RatedModel, one: CoupledSet, module: str) -> dict[str, WeightSlice | None]:
    """Weights that read the set (or, where none does, compute it), with their slice; None for those of the module."""
    computing: dict[str, WeightSlice | None] = dict.fromkeys(_computing(rated, one, module))
    return computing | {part.tensor: part for part in readings_of(rated).get(one.key, ())}


def _computing(rated: RatedModel, one: CoupledSet, module: str) -> set[str]:
    """Weights of a module that compute structures of the set; none for the model itself, where all of them are."""
    tensors, outputs = rated.analysis.tensors, roles_of(rated.analysis).outputs
    touched = (t for t, d in one.touches if module and d in outputs[t] and inside(tensors[t].module, module))
    return {tensors[t].name for t in touched if tensors[t].name in rated.parameters}


def _find_source(
    rated: RatedModel,
    one: CoupledSet,
    module: str,
    inputs: Any,
    names: Mapping[str, WeightSlice | None],
    token: CancelToken,
) -> tuple[_Source, Tensor]:
    """(where the set is read, its values [1, n, each, P] of a single sample): the first place behind the module."""
    roles = roles_of(rated.analysis)
    pairs = zip(rated.analysis.tensors, roles.inputs, strict=True)
    reading = {tensor.name: dims for tensor, dims in pairs}
    reading |= {tied.names[0]: tied.inputs for tied in roles.tied.values()}
    own = _computing(rated, one, module)
    left = np.flatnonzero(~rated.removed[one.structures])
    candidates: list[tuple[_Source, Tensor]] = []
    behind = -1

    def see(product: WeightProduct) -> None:
        """Keep where the set is read, in the order of the run; `behind` is the first place after the module."""
        nonlocal behind
        if product.name in own:
            behind = len(candidates)
        part = names.get(product.name)
        if part is None or product.call:
            return
        reads = part.dim in reading.get(product.name, ())
        columns = _columns(product, part, left, reads, rated.parameters[product.name])
        if columns is not None:
            source = _Source(product.name, product.call, reads, columns.flatten(), columns.shape[1])
            values = _values(product, source, watch, 1, False, one.kind)
            if values is not None:
                candidates.append((source, values[0].clone()))

    watch = _Watch(see, set(names), rated, False)
    run_rated(rated, token, inputs, watch)
    watch.forget()
    if not candidates:
        template = (
            "What {layer} computes cannot be seen: no layer with weights reads it by itself. Select another layer."
        )
        raise TaskError("inspection.unseen", template, layer=module or one.module)
    source, alone = candidates[min(max(behind, 0), len(candidates) - 1)]
    _require_finite(alone, source.name)
    return source, alone


def _columns(
    product: WeightProduct, part: WeightSlice, left: NDArray[np.int64], reads: bool, weight: Any
) -> Tensor | None:
    """[n, each] features of a product that each structure left owns; None where they do not own equally many."""
    unit = product.units[0] if len(product.units) == 1 else None
    if isinstance(unit, ConvolutionUnit):
        index = np.arange(unit.features.shape[1] if reads else unit.outputs_of_all)
    elif isinstance(unit, MatrixUnit) and (reads or unit.pick is not None):
        # Which index of the weight each row or column of the matrix is.
        size = [-1 if d == part.dim else 1 for d in range(weight.ndim)]
        along = torch.arange(weight.shape[part.dim]).view(size).expand(weight.shape).contiguous()
        if not weight.is_contiguous():
            return None
        matrix = unit.view(along)
        index = (matrix[0] if reads else matrix[:, 0]).numpy()
        if len(index) > 1 and index[0] == index[1] == index[-1]:
            return None
    else:
        return None
    owner = np.full(max(int(index.max(initial=0)), int(part.indices.max(initial=0))) + 1, -1)
    owner[part.indices] = part.structures
    owners = owner[index]
    columns = [np.flatnonzero(owners == number) for number in left]
    each = len(columns[0]) if columns else 0
    if not each or any(len(some) != each for some in columns):
        return None
    return torch.from_numpy(np.stack(columns))


def _values(
    product: WeightProduct, source: _Source, watch: _Watch, batch: int, steps_first: bool, kind: Kind
) -> tuple[Tensor, tuple[int, ...]] | None:
    """([N, n, each, P] values of a set in a product, sizes of the space); None where rows are of no samples."""
    unit, columns = product.units[0], source.columns
    space: tuple[int, ...] = ()
    if isinstance(unit, ConvolutionUnit):
        given = unit.features if source.reads else cast("Tensor", product.result)
        if len(given) % batch:
            return None
        space = tuple(int(n) for n in given.shape[2:]) if len(given) == batch else ()
        found = given[:, columns.to(given.device)].flatten(2)
        if len(given) != batch:
            found = found.reshape(batch, -1, *found.shape[1:]).transpose(1, 2).flatten(2)
    else:
        assert isinstance(unit, MatrixUnit)
        given = unit.features if source.reads or unit.pick is None else unit.pick(product.result)
        pooled = watch.before_pooling(given) if source.reads and len(given) == batch else None
        if pooled is not None:
            found = pooled[:, columns.to(given.device)]
        elif not len(given) or len(given) % batch:
            return None
        elif steps_first or product.steps:
            found = given[:, columns.to(given.device)].reshape(-1, batch, len(columns)).permute(1, 2, 0)
        else:
            found = given[:, columns.to(given.device)].reshape(batch, -1, len(columns)).transpose(1, 2)
    found = found.reshape(batch, -1, source.each, found.shape[-1])
    if source.each > 1 and kind in SEVERAL and found.shape[-1] == 1:
        found = found.transpose(2, 3)
    return found, space


def _run(
    rated: RatedModel,
    source: _Source,
    kind: Kind,
    inputs: Any,
    names: Mapping[str, Any],
    batch: int,
    steps_first: bool,
    token: CancelToken,
) -> tuple[Tensor, Tensor | None, tuple[int, ...]]:
    """(values [N, n, each, P], the attention before them, sizes of the space) of some samples."""
    found: list[tuple[Tensor, tuple[int, ...]]] = []

    def see(product: WeightProduct) -> None:
        if product.name == source.name and product.call == source.call:
            values = _values(product, source, watch, batch, steps_first, kind)
            if values is not None:
                found.append(values)
            raise _Seen

    watch = _Watch(see, set(names), rated, kind in HEADS)
    with suppress(_Seen):
        run_rated(rated, token, inputs, watch)
    softmax = watch.softmax
    watch.forget()
    if not found:
        raise _no_single_samples(source.name)
    return found[0][0], softmax, found[0][1]


def _require_finite(x: Tensor, name: str) -> None:
    if not bool(x.sum().isfinite()):
        template = "What {layer} reads contains NaN or infinity. Check the weights and the preprocessing."
        raise TaskError("inspection.nan", template, layer=name)


def _is_same(x: Tensor, alone: Tensor) -> bool:
    """Whether a sample's values in a batch are those that it has alone, padding aside."""
    if x.shape != alone.shape:
        return False
    size = float(alone.abs().max()) if alone.numel() else 0.0
    return bool(torch.allclose(x.float(), alone.float(), rtol=ALIKE, atol=ALIKE * size, equal_nan=True))


def _no_single_samples(name: str) -> TaskError:
    template = (
        "What {layer} reads cannot be divided into samples: it mixes them, or gives each a share. Select another layer."
    )
    return TaskError("inspection.mixed", template, layer=name)


def _layout_of(places: int, space: tuple[int, ...], reader: SampleReader, kind: Kind) -> _Layout:
    """What the places of a response are."""
    if len(space) == 2 and places > 1:
        return _Layout(MapForm.IMAGE, 0, *space)
    if reader.length and places == reader.length:
        return _Layout(MapForm.TOKENS, 0, 1, places)
    # Heads may divide an image into windows, whose tokens are in another order.
    grid = None if kind in HEADS else grid_of(places, reader.size)
    return _Layout(MapForm.NONE) if grid is None else _Layout(MapForm.IMAGE, *grid)


def _begin(source: _Source, one: CoupledSet, rated: RatedModel) -> _Gathered:
    """Nothing is known yet."""
    count = int(np.count_nonzero(~rated.removed[one.structures]))
    several = source.each > 1 and one.kind not in SEVERAL
    each = source.each if several else 1
    moments = FeatureMoments(np.zeros(count), np.zeros(count), np.zeros(count))
    products = ResponseMoments(count, each) if count * each <= WIDEST else None
    attention = AttentionSums(count) if one.kind in HEADS else None
    return _Gathered(source, moments, products, np.zeros(count), attention)


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
    deviation = np.sqrt(gathered.moments.variance).astype(np.float32)
    several = gathered.source.each > 1 and one.kind not in SEVERAL
    active = gathered.above / np.maximum(gathered.moments.count, 1)
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
        reader=gathered.source.name,
        structures=structures.astype(np.int64),
        samples=tuple(gathered.views[number] for number in numbers),
        top=top,
        values=values,
        form=gathered.layout.form,
        maps=maps.to(torch.uint8).cpu().numpy(),
        starts=best.starts.cpu().numpy().astype(np.int32),
        active=(np.full(len(structures), np.nan) if several else active).astype(np.float32),
        deviation=deviation,
        dead=deviation <= SAME * float(deviation.max(initial=0)),
        classes=tuple(reader.class_name(kind) for kind in kinds),
        class_counts=np.array([gathered.classes[kind][0] for kind in kinds], np.int64),
        class_means=np.array(means, np.float32).reshape(len(kinds), len(structures)).T.copy(),
        partners=partners,
        similarity=similarity,
        attention=None if gathered.attention is None else gathered.attention.view(places),
        seen=gathered.seen,
        total=total,
        notes=tuple(notes),
    )

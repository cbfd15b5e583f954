"""How active each structure of a model is, and how much another of its layer responds like it. Loads torch.

All layers are read in the same forwards, so a whole model takes about as long as an evaluation.
"""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..errors import Message
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
from .response_data import ModelActivity
from .response_reading import ResponseSource, ResponseWatch, find_sources, is_same, run_until_seen
from .responses import BATCHES, ROWS, SAMPLES
from .similarity import WIDEST, ResponseMoments, ResponseTotals

AT_ONCE = 32
"""Samples that go through the model together."""
DRAWN, FEWEST = 2**29, 512
"""Bytes that the drawn places of all layers take together, and places of a layer however many layers there are."""


def measure_activity(
    model: Any,
    analysis: Analysis,
    removed: Mask,
    task: Task,
    *,
    samples: int = SAMPLES,
    device: str = CPU,
    limit: PassLimit | None = None,
    token: CancelToken | None = None,
) -> Job[ModelActivity]:
    """How active all structures but blocks are on samples of the train split, and how redundant.

    The model is left exactly as it was, also when cancelled or when it raises.

    Args:
        model: A `torch.nn.Module` from which `removed` is already cut.
        analysis: Of the original model.
        removed: [S] what the model no longer has.
        task: Gives the data.
        samples: How many to look at, at most.
        device: Where the model runs.
        limit: How many samples run at a time there; None to find out.
        token: Cancels the job.

    Raises:
        TaskError: There is no data, or what a layer computes is NaN or infinite.
    """
    token = token or NeverCancelled()

    def measure(rated: RatedModel) -> Job[ModelActivity]:
        return _measure_rated(rated, samples, token)

    # Of a criterion only that it runs the model on data, and sees the weights that read a set.
    rule, kept = STRUCTURED_OBS, analysis.kept_indices(removed)
    return (yield from use_rated(model, analysis, removed, rule, task, Choices(), 0, measure, device, limit, kept))


@dataclass(slots=True)
class _Layers:
    """What is known of all layers so far.

    Attributes:
        sources: By key of the set, where it is read; without those that turned out to be of no single samples.
        alone: What each is of the first sample alone.
        totals: Over all responses.
        drawn: Columns of drawn places, of the layers that are not too wide to compare their structures.
        places: How many to draw of each layer in all.
        steps_first: Layers whose rows are step by step instead of sample by sample.
    """

    sources: dict[str, ResponseSource]
    alone: dict[str, Tensor]
    totals: dict[str, ResponseTotals]
    drawn: dict[str, list[Tensor]]
    places: int
    steps_first: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rated: RatedModel, sets: Collection[CoupledSet], inputs: Any, token: CancelToken) -> "_Layers":
        """Find where each set is read, by the inputs of one sample."""
        found = find_sources(rated, sets, "", inputs, token)
        sources = {key: source for key, (source, _) in found.items()}
        narrow = [key for key, source in sources.items() if len(source.columns) <= WIDEST]
        columns = sum(len(sources[key].columns) for key in narrow)
        return cls(
            sources,
            {key: values for key, (_, values) in found.items()},
            {key: ResponseTotals(source) for key, source in sources.items()},
            {key: [] for key in narrow},
            min(max(DRAWN // (4 * max(columns, 1)), FEWEST), ROWS),
        )

    def add(self, rated: RatedModel, inputs: Any, share: float, token: CancelToken) -> None:
        """Take in what all layers make of some samples, which are so large a share of all."""
        rows, flags = rows_in(inputs), filled(inputs)
        begins = not any(one.seen for one in self.totals.values())
        others: list[str] = []

        def take(key: str, x: Tensor | None, space: tuple[int, ...], watch: ResponseWatch) -> None:
            """Sum the values up at once: the operators that follow may overwrite them."""
            if x is None or (begins and not is_same(x[:1], self.alone[key])):
                return others.append(key)
            fits = flags is not None and tuple(flags.shape) == (rows, x.shape[-1])
            draw = max(int(share * self.places), 1) if key in self.drawn else 0
            *_, columns = self.totals[key].add(x, flags if fits else None, draw)
            if draw:
                self.drawn[key].append(columns.float())

        run_until_seen(rated, self.sources, inputs, rows, take, token, self.steps_first)
        if others and begins:
            # Rows may be step by step instead of sample by sample; nothing but their values says so.
            again = {key: self.sources[key] for key in others}
            self.steps_first = frozenset(again)
            others.clear()
            run_until_seen(rated, again, inputs, rows, take, token, self.steps_first)
        for key in others:
            del self.sources[key]


def _measure_rated(rated: RatedModel, samples: int, token: CancelToken) -> Job[ModelActivity]:
    """The same of a model as criteria have it."""
    assert rated.task is not None
    task, analysis, removed = rated.task, rated.analysis, rated.removed
    sets = {s.key: s for s in analysis.sets if s.kind is not Kind.BLOCK and not removed[s.structures].all()}
    total = samples
    if known := task.batch_count(Split.TRAIN):
        total = min(samples, known * task.spec.batch)
    layers: _Layers | None = None
    done = 0
    for batch in islice(task.batches(Split.TRAIN, seed=rated.seed), BATCHES):
        given: Any = task.inputs(batch)
        if (count := rows_in(given)) > total - done:
            given = cut_rows(given, count, 0, total - done)
        if layers is None:
            layers = _Layers.of(rated, sets.values(), cut_rows(given, rows_in(given), 0, 1), token)
        for inputs in cast("Any", input_parts(given, rated.limit, AT_ONCE)):
            check(token)
            layers.add(rated, inputs, rows_in(inputs) / max(total, 1), token)
            done += rows_in(inputs)
            yield Progress(Message("progress.activity", "Measuring what all structures respond to"), done, total)
        if done >= total:
            break
    if layers is None:
        raise no_batch_error()
    active = np.full(analysis.count, np.nan, np.float32)
    redundancy = active.copy()
    for number, key in enumerate(layers.sources):
        check(token)
        words = Message("progress.alike", "Comparing the structures of each layer")
        yield Progress(words, number, len(layers.sources))
        one, summed = sets[key], layers.totals[key]
        left = one.first + np.flatnonzero(~removed[one.structures])
        active[left] = summed.active
        if key in layers.drawn:
            moments = ResponseMoments(summed.structures, summed.each)
            moments.add(torch.cat(layers.drawn.pop(key)))
            _, similarity = moments.partners(1)
            # What never changes is replaced by a constant.
            redundancy[left] = np.where(summed.dead, 1, np.abs(similarity).max(axis=1, initial=0))
    return ModelActivity(active, redundancy, done, len(sets) - len(layers.sources))

"""Structured OBS equals a brute-force refit after each removal, and measures what the outputs lose."""

import copy
import threading
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.errors import Message
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.planning.protocol import Cost, Goal, Limit, Ranking
from secateur.engine.scoring import input_moments, structured_obs
from secateur.engine.scoring import removal_order as removal_order_module
from secateur.engine.scoring.criteria import CRITERIA, ranked, score
from secateur.engine.scoring.input_moments import readings_of
from secateur.engine.scoring.normed_structures import normed_sets
from secateur.engine.scoring.output_distance import OutputDistance, write
from secateur.engine.scoring.protocol import RatedModel, ScoringContext
from secateur.engine.scoring.removal_order import RIDGE, Consumer, consumer, removal_order
from secateur.engine.scoring.score_options import Choices
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.memory import sample_memory
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tasks.protocol import DistillationBatch, Split
from secateur.engine.tracing import resumable_forward
from secateur.engine.tracing.resumable_forward import ResumableForward
from tests.engine.nets import Tied
from tests.engine.scoring.given_task import GivenTask


def _refit(weight: torch.Tensor, moments: torch.Tensor, left: list[int]) -> tuple[float, torch.Tensor]:
    """(squared error, weights) of the best weights on the columns left, by least squares on a root of the moments."""
    root = torch.linalg.cholesky(moments).T  # moments = root^T root: rows that have these products
    found = torch.linalg.lstsq(root[:, left], root @ weight.T).solution
    error = (root[:, left] @ found - root @ weight.T).square().sum()
    return float(error), found.T


def _removal(
    consumers: list[Consumer], count: int, levels: tuple[int, ...] = ()
) -> tuple[list[int], list[float], dict[int, list[torch.Tensor]]]:
    """(order, errors, weights at some counts of removals)."""
    weights = dict[int, list[torch.Tensor]]()

    def reached(order: list[int], found: list[torch.Tensor]) -> None:
        weights[len(order)] = found

    return (*removal_order(consumers, count, levels, reached), weights)


def _problem(columns: int, outputs: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(weight, moments, moments with the ridge)."""
    random = torch.Generator().manual_seed(seed)
    mixed = torch.randn(columns, columns, generator=random, dtype=torch.float64)
    rows = torch.randn(200, columns, generator=random, dtype=torch.float64) @ mixed
    moments = rows.T @ rows / len(rows)
    ridged = moments + RIDGE * moments.diagonal().mean() * torch.eye(columns, dtype=torch.float64)
    return torch.randn(outputs, columns, generator=random, dtype=torch.float64), moments, ridged


@pytest.mark.parametrize("outputs", [5, 40])
def test_errors_and_weights_are_those_of_a_refit_after_each_removal(outputs: int) -> None:
    weight, moments, ridged = _problem(12, outputs, seed=1)
    columns = torch.arange(12).view(6, 2)
    order, errors, weights = _removal([consumer([weight], moments, columns)], 6, levels=(1, 2, 3, 4, 5))
    energy = float((weight @ ridged * weight).sum())
    for count in range(1, 6):
        left = sorted(set(range(12)) - set(columns[order[:count]].flatten().tolist()))
        error, best = _refit(weight, ridged, left)
        assert np.isclose(sum(errors[:count]) * energy, error)
        assert torch.allclose(weights[count][0][:, left], best)
    assert np.isclose(sum(errors), 1.0)  # without any input all of the output is lost


def test_products_that_read_the_same_are_one_below_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal_order_module, "ROWS", 20)
    wide, moments, _ = _problem(12, 50, seed=4)
    narrow, columns = _problem(12, 3, seed=5)[0], torch.arange(12).view(6, 2)
    order, errors, together = _removal([consumer([wide, narrow], moments, columns)], 6, levels=(2, 4))
    each, sums, apart = _removal([consumer([one], moments, columns) for one in (wide, narrow)], 6, levels=(2, 4))
    assert order == each and np.allclose(errors, sums) and together.keys() == apart.keys() == {2, 4}
    for level, weights in apart.items():
        assert all(torch.allclose(*pair) for pair in zip(together[level], weights, strict=True))


def test_a_product_in_half_precision_takes_none_from_another_that_reads_the_same() -> None:
    half, moments, _ = _problem(12, 50, seed=4)
    exact, columns = _problem(12, 3, seed=5)[0], torch.arange(12).view(6, 2)
    half = half.bfloat16()
    found = _removal([consumer([half, exact], moments, columns)], 6, levels=(2,))[2][2]
    turned = _removal([consumer([exact, half], moments, columns)], 6, levels=(2,))[2][2]
    assert [one.dtype for one in found] == [torch.bfloat16, torch.float64]
    assert torch.allclose(found[1], turned[0], rtol=1e-10)


def test_each_removal_is_the_cheapest_one_by_brute_force() -> None:
    problems = [_problem(8, 3, seed=2), _problem(16, 4, seed=3)]
    columns = [torch.arange(8).view(8, 1), torch.arange(16).view(8, 2).flip(0)]
    consumers = [consumer([w], m, c) for (w, m, _), c in zip(problems, columns, strict=True)]
    order, _ = removal_order(consumers, 8)
    gone: list[int] = []
    for expected in order[:-1]:
        costs: dict[int, float] = {}
        for trial in set(range(8)) - set(gone):
            costs[trial] = 0.0
            for (weight, _, ridged), owned in zip(problems, columns, strict=True):
                dropped = set(owned[[*gone, trial]].flatten().tolist())
                left = sorted(set(range(weight.shape[1])) - dropped)
                costs[trial] += _refit(weight, ridged, left)[0] / float((weight @ ridged * weight).sum())
        assert min(costs, key=lambda one: costs[one]) == expected
        gone.append(expected)


class _Net(nn.Module):
    """Two layers, of whose neurons two are copies of each other and one is dead."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)
        with torch.no_grad():
            self.first.weight[5], self.first.bias[5] = self.first.weight[2], self.first.bias[2]
            self.first.bias[7] = -100.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu())


def test_what_others_can_stand_for_costs_nothing_and_the_rest_is_measured() -> None:
    torch.manual_seed(0)
    net, inputs = _Net().eval(), torch.randn(256, 6)
    before = {name: one.clone() for name, one in net.state_dict().items()}
    analysis = analyse(net, (inputs[:2],))
    found = finish(score(net, analysis, analysis.empty(), "obs", GivenTask(inputs, 3, batch=64)))
    neurons = next(one for one in analysis.sets if one.kind is not Kind.BLOCK and "first" in one.name)
    own = found[neurons.structures]
    assert set(np.argsort(own)[:2].tolist()) in ({7, 2}, {7, 5})
    assert np.sort(own)[1] < 1e-3 * np.median(own)
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())


def test_a_bias_takes_the_mean_of_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The distance is that of a repaired layer, as lstsq with a constant repairs it on all inputs."""
    torch.manual_seed(0)
    first, second, inputs = nn.Linear(6, 12), nn.Linear(12, 3), torch.randn(256, 6)
    net = nn.Sequential(first, nn.ReLU(), second).eval()
    with torch.no_grad():
        first.bias.add_(1.0)
        second.weight.mul_(2)
    monkeypatch.setattr(structured_obs, "MANY", len(inputs))
    analysis = analyse(net, (inputs[:2],))
    found = finish(score(net, analysis, analysis.empty(), "obs", _Outputs(inputs, 3, batch=64)))
    neurons = next(one for one in analysis.sets if one.count == 12)
    own = found[neurons.structures]
    left = np.sort(np.argsort(own)[6:])  # half of the structures is a point at which the distance is measured
    with torch.no_grad():
        hidden, wanted = first(inputs).relu().double(), net(inputs).double()
        given = torch.cat([hidden[:, left], torch.ones(len(inputs), 1, dtype=torch.float64)], 1)
        missing = wanted - given @ torch.linalg.lstsq(given, wanted).solution
    relative = float(missing.square().mean() / wanted.var())
    assert np.isclose(float(np.sort(own)[:6].sum()), relative, rtol=0.1)


class _Outputs(GivenTask):
    """A task whose outputs are no logits."""

    def distillation_batch(self, batch: Any) -> DistillationBatch:
        """All of the outputs."""
        return DistillationBatch(self.inputs(batch), logits=False)


class _Attending(nn.Module):
    """Attends to another input than its own; what reads that is a part of a weight of which another does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.put, self.other = nn.Linear(6, 8), nn.Linear(6, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        with torch.no_grad():
            self.attention.in_proj_weight[:8] = 0
            for one in (self.put, self.other):  # nothing enters at channel 6
                one.weight[6] = one.bias[6] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        keys = self.other(x).sin()
        return self.attention(self.put(x).sin(), keys, keys, need_weights=False)[0].mean(1)


def test_every_part_of_a_weight_counts_where_products_read_it_in_parts() -> None:
    torch.manual_seed(0)
    net, inputs = _Attending().eval(), torch.randn(256, 5, 6)
    analysis = analyse(net, (inputs[:2],))
    found = finish(score(net, analysis, analysis.empty(), "obs", _Outputs(inputs, 8, batch=64)))
    channels = next(one for one in analysis.sets if one.count == 8 and "put" in one.name)
    own = found[channels.structures]
    assert int(np.argmin(own)) == 6 and own[6] < 1e-3 * np.median(own)


def test_scores_are_those_of_whole_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net, inputs = (
        nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 4)).eval(),
        torch.randn(256, 6),
    )
    analysis = analyse(net, (inputs[:2],))
    task = GivenTask(inputs, 4, batch=64)
    monkeypatch.setattr(resumable_forward, "CALL", 0)
    resumed: list[int] = []
    again = ResumableForward.run_changed

    def counted(self: ResumableForward, changed: Collection[str]) -> Any:
        found = again(self, changed)
        resumed.append(len(self._kept))
        return found

    monkeypatch.setattr(ResumableForward, "run_changed", counted)
    found = finish(score(net, analysis, analysis.empty(), "obs", task))
    assert resumed and all(resumed)
    monkeypatch.setattr(ResumableForward, "run_changed", lambda self, _: self._run(nullcontext()))
    assert np.array_equal(found, finish(score(net, analysis, analysis.empty(), "obs", task)))


class _Readers(nn.Module):
    """Three products read the same eight channels, the second one other numbers where the data say so."""

    def __init__(self) -> None:
        super().__init__()
        self.put, self.narrow, self.wide = nn.Linear(6, 8), nn.Linear(8, 4), nn.Linear(8, 20)
        self.free, self.last = nn.Linear(8, 4, bias=False), nn.Linear(28, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        read = self.put(x).sin()
        found = [self.narrow(read)]
        if float(x[0, 0]) < 0:
            read.exp_()
        return self.last(torch.cat([*found, self.wide(read), self.free(read)], 1).sin())


@pytest.mark.parametrize("other", [False, True])
def test_products_are_one_where_they_always_read_the_same(other: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net, inputs = _Readers().eval(), torch.randn(256, 6).abs()
    if other:
        inputs[128, 0] = -1.0
    taken: list[list[int]] = []

    def counted(weights: list[torch.Tensor], moments: torch.Tensor, columns: torch.Tensor) -> Any:
        taken.append([len(one) for one in weights])
        return consumer(weights, moments, columns)

    monkeypatch.setattr(removal_order_module, "consumer", counted)
    analysis = analyse(net, (inputs[:2],))
    task = GivenTask(inputs, 3, batch=64)
    found = finish(score(net, analysis, analysis.empty(), "obs", task))
    assert [one for one in taken if one != [3]] == ([[4], [20], [4]] if other else [[4, 20], [4]])
    monkeypatch.setattr(input_moments.SameInputs, "reads", lambda *_: False)
    apart = finish(score(net, analysis, analysis.empty(), "obs", task))
    assert np.allclose(found, apart, rtol=1e-6, equal_nan=True)


def test_an_empty_batch_gives_nothing() -> None:
    class Gaps(GivenTask):
        def batches(self, split: Split, seed: int | None = None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            for one, labels in self.given:
                yield one, labels
                yield one[:0], labels[:0]

    torch.manual_seed(0)
    net, inputs = _Net().eval(), torch.randn(64, 6)
    analysis = analyse(net, (inputs[:2],))
    found = finish(score(net, analysis, analysis.empty(), "obs", Gaps(inputs, 3, batch=16)))
    assert np.isfinite(found[analysis.sets[0].structures]).all()


def test_every_call_of_a_weight_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    class Looped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.put, self.again, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = self.put(x).sin()
            for _ in range(3):
                found = self.again(found).sin()
            return self.last(found)

    torch.manual_seed(0)
    net, inputs, rows = Looped().eval(), torch.randn(64, 6), list[int]()
    analysis = analyse(net, (inputs[:2],))
    moments = input_moments.InputMoments.moments

    def noted(product: Any) -> Any:
        rows.append(product.rows)
        return moments(product)

    monkeypatch.setattr(input_moments.InputMoments, "moments", noted)
    finish(score(net, analysis, analysis.empty(), "obs", GivenTask(inputs, 3, batch=16)))
    assert 3 * 48 in rows  # a quarter of the samples is kept for measurements alone


def test_moments_of_a_model_that_gives_a_cache_are_gathered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As language models do; and what is kept of a product is its moments, not as much as its weight once more."""

    class Cached(_Net):
        def forward(self, x: torch.Tensor) -> Any:
            rows.append(len(x))
            return {"logits": super().forward(x), "cache": object()}

    torch.manual_seed(0)
    rows = list[int]()
    net, inputs = Cached().eval(), torch.randn(64, 6)
    analysis = analyse(net, (inputs[:2],))
    kept, moments = list[int](), input_moments.InputMoments.moments

    def noted(product: Any) -> Any:
        kept.append(product.index.untyped_storage().nbytes() // product.index.nbytes)
        return moments(product)

    monkeypatch.setattr(input_moments.InputMoments, "moments", noted)
    monkeypatch.setattr(input_moments, "CACHED", 1)
    rows.clear()
    found = finish(score(net, analysis, analysis.empty(), "obs", GivenTask(inputs, 3, batch=16)))
    assert rows.count(1) >= 48 and set(kept) == {1}
    assert np.isfinite(found[analysis.sets[0].structures]).all()


@pytest.mark.parametrize("kind", ["conv", "transposed", "grouped", "Conv1D", "weight norm"])
def test_every_product_that_reads_a_structure_counts(kind: str) -> None:
    torch.manual_seed(0)
    last: nn.Module = nn.Conv2d(8, 4, 3, bias=False)
    shape: tuple[int, ...] = (32, 3, 8, 8)
    first: nn.Module = nn.Conv2d(3, 8, 3)
    if kind == "transposed":
        last = nn.ConvTranspose2d(8, 4, 3)
    if kind == "grouped":
        last = nn.Conv2d(8, 4, 3, groups=2)
    if kind == "Conv1D":
        last, shape, first = pytest.importorskip("transformers.pytorch_utils").Conv1D(4, 8), (32, 5, 3), nn.Linear(3, 8)
    if kind == "weight norm":
        last = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 4, 3))
    net, inputs = nn.Sequential(first, nn.ReLU(), last).eval(), torch.randn(shape)
    analysis = analyse(net, (inputs[:2],))
    found = finish(score(net, analysis, analysis.empty(), "obs", _Outputs(inputs, 2, batch=16)))
    one = analysis.sets[0]
    assert np.isfinite(found[one.structures]).all() and (found[one.structures] > 0).any()


@pytest.mark.parametrize("what", ["few samples", "constant", "NaN", "bfloat16", "float16"])
def test_data_that_says_little_still_gives_every_structure_a_score(what: str) -> None:
    torch.manual_seed(0)
    net, inputs = _Net().eval(), torch.randn(64, 6)
    if what == "few samples":
        inputs = inputs[:2]
    if what == "constant":
        inputs = torch.ones(64, 6)
    if what == "NaN":
        inputs[5, 2] = torch.nan
    if "float16" in what:
        net, inputs = net.to(getattr(torch, what)), inputs.to(getattr(torch, what))
    analysis = analyse(net, (inputs[:2],))
    found = finish(score(net, analysis, analysis.empty(), "obs", _Outputs(inputs, 2, batch=16)))
    assert np.isfinite(found[analysis.sets[0].structures]).all()


class _Experts(nn.Module):
    """Two experts; a row goes to the one that its first number names, so that positive data never reach the second."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = x.new_zeros(len(x), 3)
        for expert, rows in zip(self.experts, (x[:, 0] > 0, x[:, 0] <= 0), strict=True):
            mine = rows.nonzero().flatten()
            if len(mine):
                found = found.index_add(0, mine, expert(x[mine]))
        return found


def test_an_expert_that_no_sample_reaches_is_rated_by_its_weights() -> None:
    torch.manual_seed(0)
    net, inputs = _Experts().eval(), torch.randn(64, 6)
    with torch.no_grad():
        net.get_parameter("experts.1.2.weight")[:, 3] = 0.0
    analysis = analyse(net, (inputs[:8],))
    found = finish(score(net, analysis, analysis.empty(), "obs", _Outputs(inputs.abs() + 0.1, 2, batch=16)))
    reached, other = (found[one.structures] for one in analysis.sets if one.kind is not Kind.BLOCK)
    assert np.isfinite(reached).all() and np.isfinite(other).all()
    assert other.argmin() == 3 and other[3] < 1e-6 * other.max()


class _Restless(_Outputs):
    """Data that are others in each pass, and fewer than was said."""

    def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
        """Two of the four batches, with noise of their own."""
        for number, batch in enumerate(super().batches(split, seed)):
            if number < 2:
                yield (batch[0] + torch.randn_like(batch[0]), *batch[1:])


def test_data_that_change_between_passes_give_scores_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net, inputs = nn.Sequential(_Net(), nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3)).eval(), torch.randn(64, 6)
    analysis = analyse(net, (inputs[:2],))
    monkeypatch.setattr(input_moments, "MEMORY", 1)  # a pass for each set
    found = finish(score(net, analysis, analysis.empty(), "obs", _Restless(inputs, 2, batch=16)))
    neurons = [one for one in analysis.sets if one.kind is not Kind.BLOCK]
    assert len(neurons) > 1 and all(np.isfinite(found[one.structures]).all() for one in neurons)


def test_a_scoring_that_is_cancelled_leaves_the_weights_as_they_were() -> None:
    torch.manual_seed(0)
    net, inputs, token = _Net().eval(), torch.randn(256, 6), threading.Event()
    analysis, before = analyse(net, (inputs[:2],)), {name: one.clone() for name, one in net.state_dict().items()}
    heard = 0

    def hear(_module: nn.Module, _given: Any, _output: Any) -> None:
        nonlocal heard
        heard += not torch.equal(net.second.weight, before["second.weight"])
        if heard == 2:  # in the second of the measurements with other weights in place
            token.set()

    net.register_forward_hook(hear)
    with pytest.raises(Cancelled):
        finish(score(net, analysis, analysis.empty(), "obs", GivenTask(inputs, 3, batch=64), token=token))
    assert heard == 2 and all(torch.equal(one, before[name]) for name, one in net.state_dict().items())


@pytest.mark.parametrize(("work", "asked", "batches"), [(5, 0, 5), (0, 0, 2), (1000, 0, 30), (0, 7, 7)])
def test_no_more_batches_are_looked_at_than_work_allows_or_somebody_asks_for(
    work: int, asked: int, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net, inputs = _Net().eval(), torch.randn(320, 6)
    analysis, seen = analyse(net, (inputs[:2],)), list[int]()
    macs = sum(one.weight.numel() for one in net.modules() if isinstance(one, nn.Linear))
    monkeypatch.setattr(structured_obs, "WORK", work * 8 * macs)
    monkeypatch.setattr(input_moments, "WORK", work * 8 * macs)
    # Of 40 batches, ten are kept for measurements alone.
    job = score(net, analysis, analysis.empty(), "obs", GivenTask(inputs, 3, batch=8), choices=Choices(batches=asked))
    found = finish(job, lambda one: seen.append(one.done) if "inputs of each layer" in str(one.text) else None)
    assert max(seen) == batches and np.isfinite(found[analysis.sets[0].structures]).all()


@pytest.mark.parametrize("work", [0, 40, 4000])
@pytest.mark.parametrize("asked", [0, 3])
@pytest.mark.parametrize("normed", [False, True])
def test_no_more_batches_run_than_are_told_beforehand(
    normed: bool, work: int, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    seen, net, inputs = list[int](), (_Normed() if normed else _Net()).eval(), torch.randn(320, 6)
    forward = net.forward

    def noted(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return forward(x)

    analysis = analyse(net, (inputs[:2],))
    macs = sum(one.weight.numel() for one in net.modules() if isinstance(one, nn.Linear))
    monkeypatch.setattr(structured_obs, "WORK", work * 8 * macs)
    monkeypatch.setattr(input_moments, "WORK", work * 8 * macs)
    task, choices = GivenTask(inputs, 3, batch=8), Choices(batches=asked)
    told = CRITERIA["obs"].cost(ScoringContext(analysis, analysis.empty(), {Split.TRAIN: 40}, batch=8), choices)
    monkeypatch.setattr(type(net), "forward", lambda self, x: noted(x))
    finish(score(net, analysis, analysis.empty(), "obs", task, choices=choices))
    assert told.forwards / 3 < sum(seen) / 8 <= told.forwards and not told.backwards


@pytest.mark.parametrize(("positions", "batches"), [((), 1), ((3,), 2)])
def test_for_products_with_one_row_a_sample_alone_one_batch_does(
    positions: tuple[int, ...], batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net, inputs, seen = _Net().eval(), torch.randn(320, *positions, 6), list[int]()
    analysis = analyse(net, (inputs[:2],))
    monkeypatch.setattr(structured_obs, "WORK", 1)
    monkeypatch.setattr(input_moments, "WORK", 1)
    job = score(net, analysis, analysis.empty(), "obs", GivenTask(inputs, 3, batch=64))
    finish(job, lambda one: seen.append(one.done) if "inputs of each layer" in str(one.text) else None)
    assert max(seen) == batches


@pytest.mark.parametrize("apart", [True, False])
def test_samples_go_through_in_parts_that_caches_hold_unless_they_depend_on_each_other(
    apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noted(_Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            return super().forward(x if apart else x - x.mean(0))

    torch.manual_seed(0)
    seen, inputs = list[int](), torch.randn(240, 6)
    net = Noted().eval()
    analysis = analyse(net, (inputs[:2],))
    whole = finish(score(net, analysis, analysis.empty(), "obs", GivenTask(inputs, 3, batch=48)))
    seen.clear()
    monkeypatch.setattr(input_moments, "CACHED", 16 * sample_memory(analysis).peak)
    found = finish(score(net, analysis, analysis.empty(), "obs", GivenTask(inputs, 3, batch=48)))
    assert seen.count(16) == (9 if apart else 0)  # two batches of five are kept for measurements
    assert np.allclose(found, whole, equal_nan=True, rtol=1e-4)


def test_outputs_whose_number_depends_on_the_data_need_not_compare() -> None:
    class Chosen(_Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = super().forward(x)
            return found[found[:, 0] > 0]

    torch.manual_seed(0)
    inputs = torch.randn(64, 6)
    analysis = analyse(_Net().eval(), (inputs[:2],))
    found = finish(score(Chosen().eval(), analysis, analysis.empty(), "obs", _Outputs(inputs, 2, batch=16)))
    assert np.isfinite(found[analysis.sets[0].structures]).all()


def test_by_its_scores_the_whole_model_competes_where_nobody_said_otherwise() -> None:
    asked = Goal((Limit(Cost.MACS, 0.5),))
    assert ranked(asked, "obs").ranking is Ranking.COST and ranked(asked, "taylor").ranking is Ranking.SHAPES
    assert ranked(replace(asked, ranking=Ranking.SET), "obs").ranking is Ranking.SET


def test_the_head_of_a_tied_embedding_is_measured_without_what_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = Tied().eval()
    task = GivenTask(torch.randint(0, 11, (64, 7)), 6, batch=16)
    analysis = analyse(net, task.example_inputs())
    measured, zeroed = OutputDistance.with_weights, list[float]()

    def watched(self: OutputDistance, changed: Collection[str], written: Any) -> float:
        if "out.weight" in changed:
            head = self._read["out.weight"].detach()  # pyright: ignore[reportPrivateUsage]
            zeroed.append(measured(self, {"out.weight"}, [(head, torch.zeros_like(head))]))
            own = next(one for view, one in written if view.data_ptr() == head.data_ptr())
            left = own.reshape(head.shape).any(0)  # a repair leaves it as it is cut, for the embedding's sake
            assert not left.all() and torch.equal(own.reshape(head.shape)[:, left], head[:, left])
        return measured(self, changed, written)

    monkeypatch.setattr(OutputDistance, "with_weights", watched)
    finish(score(net, analysis, analysis.empty(), "obs", task))
    assert zeroed and min(zeroed) > 0
    assert net.out.weight is net.embed.weight


def test_a_reader_with_fewer_rows_than_inputs_does_not_look_free() -> None:
    """Thirty samples leave most of 120 directions unseen: by moments alone most neurons could go for nothing.

    What a removal costs is measured on samples that the moments have not seen, where the refitted reader is wrong.
    """

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(60, 120), nn.Linear(120, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x).relu())

    torch.manual_seed(0)
    net = Wide().eval()
    analysis = analyse(net, (torch.randn(2, 60),))
    own = next(one for one in analysis.sets if one.kind is not Kind.BLOCK and "first" in one.name)
    remarks: dict[int, list[Message]] = {2000: [], 40: []}
    much, little = (
        finish(
            score(net, analysis, analysis.empty(), "obs", GivenTask(torch.randn(count, 60), 5, batch=10), remarks=said)
        )
        for count, said in remarks.items()
    )
    assert str(remarks[40][0]).startswith("120 structures before last are scored on 30 rows of data, fewer than 4 for")
    # The program looks at 32 batches at most.
    assert " scored on 320 rows " in str(remarks[2000][0])
    half = np.sort(much[own.structures])[:60].sum(), np.sort(little[own.structures])[:60].sum()
    assert half[1] > 0.7 * half[0]


class _Normed(nn.Module):
    """A residual stream under root mean square norms; one channel is large, and no weight reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.put, self.head = nn.Linear(6, 16), nn.Linear(16, 3)
        self.norms = nn.ModuleList([nn.RMSNorm(16, eps=1e-12) for _ in range(2)])
        self.up, self.down = nn.Linear(16, 24), nn.Linear(24, 16)
        with torch.no_grad():
            self.put.bias[LARGE], self.up.weight[:, LARGE], self.head.weight[:, LARGE] = 20.0, 0.0, 0.0
            self.head.weight.mul_(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.put(x)
        x = x + self.down(self.up(self.norms[0](x)).relu())
        return self.head(self.norms[1](x))


LARGE = 5


def _normed() -> tuple[nn.Module, torch.Tensor, Any, Any]:
    """(net, inputs, its analysis, the set of its channels)."""
    torch.manual_seed(0)
    net, inputs = _Normed().eval(), torch.randn(256, 6)
    analysis = analyse(net, (inputs[:2],))
    return net, inputs, analysis, next(one for one in analysis.sets if one.kind is Kind.WIDTH)


def test_a_channel_that_norms_divide_by_is_worth_most_although_no_weight_reads_it() -> None:
    net, inputs, analysis, width = _normed()
    found = finish(score(net, analysis, analysis.empty(), "obs", GivenTask(inputs, 3, batch=64)))
    assert np.argmax(found[width.structures]) == LARGE


@pytest.mark.parametrize("before", [[], [2, 9]])
def test_structures_are_measured_as_norms_of_the_cut_model_see_them(
    before: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, inputs, analysis, width = _normed()
    gone, removed = analysis.empty(), analysis.empty()
    gone[width.first + np.array(before, int)] = True
    removed[width.first + np.array([*before, 0, 7, 11])] = True
    model = cut(net, analysis, gone, (inputs[:2],)).model.eval() if before else net
    expected = cut(net, analysis, removed, (inputs[:2],)).model.eval()
    outputs: list[torch.Tensor] = []

    def compare(rated: RatedModel, _token: Any) -> Any:
        """Run the model that is rated without the structures, as if it had measured that."""
        normed = normed_sets(rated, readings_of(rated))[width.key]
        write(normed.without(np.flatnonzero(removed & ~gone)))
        with torch.no_grad():
            outputs.append(rated.model(inputs))
        yield from ()
        return np.zeros(rated.analysis.count)

    monkeypatch.setitem(CRITERIA, "obs", replace(CRITERIA["obs"], rate=compare))
    finish(score(copy.deepcopy(model), analysis, gone, "obs", GivenTask(inputs, 3, batch=64)))
    with torch.no_grad():
        assert torch.allclose(outputs[0], expected(inputs), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(outputs[0], model(inputs), rtol=1e-2)


def test_what_a_tied_head_loses_counts_although_another_channel_could_stand_for_it() -> None:
    torch.manual_seed(0)
    net = Tied().eval()
    with torch.no_grad():
        net.embed.weight[:, 3] = 3 * net.embed.weight[:, 5]
        net.embed.weight[:, 5] = net.embed.weight[:, 3]
    task = GivenTask(torch.randint(0, 11, (256, 7)), 6, batch=64)
    analysis = analyse(net, task.example_inputs())
    found = finish(score(net, analysis, analysis.empty(), "obs", task))
    width = next(one for one in analysis.sets if one.count == net.embed.weight.shape[1])
    own = found[width.structures]
    assert min(own[3], own[5]) > np.median(own)

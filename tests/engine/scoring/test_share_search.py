"""A search of shares ends nearer to the original by an independent measure, and leaves the model as it was."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.jobs import Cancelled, Progress, finish
from secateur.engine.masks.gates import StructureGates
from secateur.engine.planning.goal import exchange_of, solve
from secateur.engine.planning.protocol import Cost, Goal, Limit, PlanStart, Ranking
from secateur.engine.planning.share_exchange import ShareExchange
from secateur.engine.scoring import share_search
from secateur.engine.scoring.criteria import search
from secateur.engine.scoring.output_distance import OutputDistance
from secateur.engine.scoring.removal_order import RIDGE, add_ridge, refit
from secateur.engine.scoring.share_search import SearchedPlan
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.costs import costs
from tests.engine.nets import Concat, Residual, Tied, Transformer
from tests.engine.scoring.given_task import GivenTask

GOAL = Goal((Limit(Cost.PARAMETERS, 0.7),), kinds=(Kind.NEURON,), ranking=Ranking.COST)
INPUTS = torch.randn(512, 12, generator=torch.Generator().manual_seed(3))


class _Branches(nn.Module):
    """Two hidden layers beside each other; of the second one three neurons in four hardly matter.

    With `shift` all neurons are far from 0, so that readers without some of them need another bias.
    """

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.one = nn.Linear(12, 16), nn.Linear(16, 4)
        self.second, self.other = nn.Linear(12, 16), nn.Linear(16, 4)
        with torch.no_grad():
            self.one.weight.mul_(3)
            self.other.weight[:, 4:] = 0.01
            self.first.bias.add_(shift)
            self.second.bias.add_(shift)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(self.first(x).relu()) + self.other(self.second(x).relu())


def wrong_plan(analysis: Analysis) -> tuple[np.ndarray, Mask]:
    """Scores that know nothing of which layer matters, and the plan by them."""
    scores = np.concatenate([np.arange(one.count, 0, -1.0) for one in analysis.sets])
    return scores, solve(analysis, scores, GOAL).removed


def distance(net: _Branches, analysis: Analysis, plan: Mask) -> float:
    """Of the outputs on the first quarter of the inputs, with readers fitted by lstsq in float64 to all others."""
    net, x = net.double(), INPUTS.double()
    apart = len(x) // 4
    with torch.no_grad():
        original, repaired = net(x), torch.zeros(len(x), 4, dtype=torch.float64)
        for number, (layer, reader) in enumerate(((net.first, net.one), (net.second, net.other))):
            left = torch.from_numpy(~plan[analysis.sets[number].structures])
            hidden = layer(x).relu()
            wanted, given = hidden @ reader.weight.T, hidden[:, left]
            mean, aim = given[apart:].mean(0), wanted[apart:].mean(0)
            fit = torch.linalg.lstsq(given[apart:] - mean, wanted[apart:] - aim).solution
            repaired += (given - mean) @ fit + aim + reader.bias
        p, q = original[:apart].log_softmax(1), repaired[:apart].log_softmax(1)
        return float((p.exp() * (p - q)).sum(1).mean())


def searched(net: nn.Module, measurements: int = 0) -> tuple[Analysis, Mask, SearchedPlan]:
    task = GivenTask(INPUTS, 4, batch=64)
    analysis = analyse(net, task.example_inputs())
    scores, plan = wrong_plan(analysis)
    exchange = exchange_of(PlanStart.of(analysis, scores), GOAL, plan)
    job = search(net, analysis, analysis.empty(), task, exchange, plan, text=False, measurements=measurements)
    return analysis, plan, finish(job)


def test_shares_go_where_the_outputs_need_them() -> None:
    net = _Branches().eval()
    before = {name: one.clone() for name, one in net.state_dict().items()}
    analysis, plan, found = searched(net, 60)
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())
    assert found.moved > 0 and found.after < 0.5 * found.before
    assert costs(analysis, found.removed).parameters <= 0.7 * costs(analysis).parameters
    first, second = analysis.sets
    assert plan[first.structures].sum() == plan[second.structures].sum()
    assert found.removed[first.structures].sum() < found.removed[second.structures].sum()
    assert distance(net, analysis, found.removed) < 0.5 * distance(net, analysis, plan)
    kept = [[16 - int(each[one.structures].sum()) for each in (plan, found.removed)] for one in analysis.sets]
    assert [[one.module, one.before, one.after] for one in found.changes] == [
        ["first", *kept[0]],
        ["second", *kept[1]],
    ]
    assert f"first {kept[0][0]} to {kept[0][1]}" in str(found.message)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_what_it_says_it_measured_is_what_an_independent_count_gives(
    shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_search, "MANY", len(INPUTS))
    monkeypatch.setattr(share_search, "SAMPLES", len(INPUTS))
    net = _Branches(shift).eval()
    analysis, plan, found = searched(net)
    for removed, told in ((plan, found.before), (found.removed, found.after)):
        assert np.isclose(told, distance(net, analysis, removed), rtol=0.05)


def test_a_reader_that_cannot_be_fitted_is_closed() -> None:
    """The distance is that of a cut which leaves this reader as it is, and its set gives and gets nothing."""
    net = _Branches()
    with torch.no_grad():
        net.other.weight.copy_(net.one.weight.flip(0))
    torch.nn.utils.parametrizations.weight_norm(net.other)
    net.eval()
    analysis, plan, found = searched(net, 1)
    gates = torch.from_numpy(~plan).float()
    gates[analysis.sets[0].structures] = 1  # the first reader is fitted
    with torch.no_grad():
        whole = net.one(net.first(INPUTS).relu())
        with StructureGates(net, analysis).applied(gates):
            closed = net(INPUTS) - whole
        hidden, left = net.first(INPUTS).relu(), torch.from_numpy(~plan[analysis.sets[0].structures])
        mean = hidden[:, left].mean(0)
        wanted = whole - net.one.bias
        fit = torch.linalg.lstsq(hidden[:, left] - mean, wanted - wanted.mean(0)).solution
        repaired = (hidden[:, left] - mean) @ fit + wanted.mean(0) + net.one.bias + closed
        p, q = net(INPUTS).log_softmax(1), repaired.log_softmax(1)
        expected = float((p.exp() * (p - q)).sum(1).mean())
    assert np.isclose(found.before, expected, rtol=0.2)  # of other samples


KINDS = (Kind.FILTER, Kind.HEAD, Kind.NEURON)


@pytest.mark.parametrize(
    ("kind", "shape", "kinds", "seed"),
    [
        (Concat, (3, 16, 16), KINDS, 0),
        (Transformer, (3, 32, 32), KINDS, 0),
        (Transformer, (3, 32, 32), (*KINDS, Kind.BLOCK), 5),  # a draw in which a block goes
    ],
)
def test_what_a_plan_removes_is_read_by_nobody(
    kind: type[nn.Module], shape: tuple[int, ...], kinds: tuple[Kind, ...], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several sets have readers in common: what the plan leaves is as it is behind gates that close the rest."""
    torch.manual_seed(0)
    net = kind().eval()
    task = GivenTask(torch.randn(64, *shape), 6, batch=16)
    analysis = analyse(net, task.example_inputs())
    goal = Goal((Limit(Cost.PARAMETERS, 0.6),), kinds=kinds)
    scores = np.random.default_rng(seed).random(analysis.count)
    plan = solve(analysis, scores, goal).removed
    blocks = [bool(plan[one.structures].any()) for one in analysis.sets if one.kind is Kind.BLOCK]
    assert any(blocks) == (Kind.BLOCK in kinds)
    gates, seen, now = torch.from_numpy(~plan).float(), list[bool](), OutputDistance.now

    def watched(self: OutputDistance, changed: Any = ()) -> float:
        if not seen:
            with torch.no_grad(), StructureGates(net, analysis).applied(gates):
                behind = net(*task.example_inputs())
            with torch.no_grad():
                seen.append(torch.allclose(net(*task.example_inputs()), behind, atol=1e-5))
        return now(self, changed)

    monkeypatch.setattr(OutputDistance, "now", watched)
    exchange = exchange_of(PlanStart.of(analysis, scores), goal, plan)
    found = finish(search(net, analysis, analysis.empty(), task, exchange, plan, text=False, measurements=12))
    assert seen == [True] and found.measured > 1


@pytest.mark.parametrize("bad", ["inputs", "moments"])
def test_numbers_that_are_none_leave_the_plan_and_are_told(bad: str) -> None:
    """A sample without numbers, and one that is too large for sums of squares."""
    inputs = INPUTS.clone()
    inputs[7 if bad == "inputs" else -7] = torch.nan if bad == "inputs" else 1e30
    net, task = _Branches().eval(), GivenTask(inputs, 4, batch=64)
    analysis = analyse(net, task.example_inputs())
    scores, plan = wrong_plan(analysis)
    exchange = exchange_of(PlanStart.of(analysis, scores), GOAL, plan)
    found = finish(search(net, analysis, analysis.empty(), task, exchange, plan, text=False, measurements=20))
    assert (found.removed == plan).all() and not found.moved
    assert "brought the repaired outputs nearer" not in str(found.message)


@pytest.mark.parametrize("most", [1, 2, 4])
def test_no_more_plans_are_measured_than_were_asked_for(most: int) -> None:
    found = searched(_Branches().eval(), most)[2]
    assert found.measured <= max(most, 1) and found.total == most and found.after <= found.before
    assert ("too few to try" in str(found.message)) == (not found.tried)


def test_stopped_it_has_told_the_best_plan_so_far_and_left_the_model() -> None:
    net, task = _Branches().eval(), GivenTask(INPUTS, 4, batch=64)
    before = {name: one.clone() for name, one in net.state_dict().items()}
    analysis = analyse(net, task.example_inputs())
    scores, plan = wrong_plan(analysis)
    token, told = threading.Event(), list[Progress]()
    exchange = exchange_of(PlanStart.of(analysis, scores), GOAL, plan)
    job = search(net, analysis, analysis.empty(), task, exchange, plan, text=False, token=token)

    def note(progress: Progress) -> None:
        told.append(progress)
        if isinstance(progress.made, SearchedPlan):
            token.set()

    with pytest.raises(Cancelled):
        finish(job, note)
    last = told[-1].made
    assert last.moved == 1 and last.after < last.before
    assert costs(analysis, last.removed).parameters <= 0.7 * costs(analysis).parameters
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())


def test_a_plan_that_is_best_stays_and_says_so() -> None:
    torch.manual_seed(0)
    net, task = Residual().eval(), GivenTask(torch.randn(64, 3, 8, 8), 6, batch=16)
    analysis = analyse(net, task.example_inputs())
    goal = Goal((Limit(Cost.MACS, 1.0),))
    plan = solve(analysis, np.ones(analysis.count), goal).removed
    exchange = exchange_of(PlanStart.of(analysis, np.ones(analysis.count)), goal, plan)
    found = finish(search(net, analysis, analysis.empty(), task, exchange, plan, text=False))
    assert (found.removed == plan).all() and found.moved == 0
    assert "The plan by the scores stays" in str(found.message)


def test_moments_that_do_not_fit_leave_the_plan_before_the_data_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share_search, "HELD", 100)

    class Unread(GivenTask):
        def batches(self, split: Any, seed: int | None = None) -> Iterator[Any]:
            raise AssertionError

    net, task = _Branches().eval(), Unread(INPUTS, 4, batch=64)
    analysis = analyse(net, task.example_inputs())
    scores, plan = wrong_plan(analysis)
    exchange = exchange_of(PlanStart.of(analysis, scores), GOAL, plan)
    found = finish(search(net, analysis, analysis.empty(), task, exchange, plan, text=False))
    assert (found.removed == plan).all() and "stays" in str(found.message) and "GB of moments" in str(found.message)


def test_data_of_unknown_length_is_measured_on_as_many_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    known = searched(_Branches().eval(), 4)[2]
    monkeypatch.setattr(GivenTask, "batch_count", lambda *_: 0)
    assert np.isclose(searched(_Branches().eval(), 4)[2].before, known.before, rtol=0.2)


def test_weights_that_are_computed_from_others_give_and_get_nothing() -> None:
    net = _Branches()
    torch.nn.utils.parametrizations.weight_norm(net.other)
    net.eval()
    analysis, plan, found = searched(net)
    second = analysis.sets[1]
    assert (found.removed[second.structures] == plan[second.structures]).all()


def test_a_head_that_is_tied_is_closed_and_its_width_gives_nothing() -> None:
    torch.manual_seed(0)
    net, task = Tied().eval(), GivenTask(torch.randint(0, 11, (64, 7)), 6, batch=16)
    analysis = analyse(net, task.example_inputs())
    goal = Goal((Limit(Cost.PARAMETERS, 0.7),))
    scores = np.random.default_rng(0).random(analysis.count)
    plan = solve(analysis, scores, goal).removed
    exchange = exchange_of(PlanStart.of(analysis, scores), goal, plan)
    found = finish(search(net, analysis, analysis.empty(), task, exchange, plan, text=False, measurements=30))
    width = next(
        one for one in analysis.sets if any(analysis.tensors[t].name == "embed.weight" for t, _ in one.touches)
    )
    assert plan[width.structures].any() and found.measured
    assert (found.removed[width.structures] == plan[width.structures]).all()
    assert net.out.weight is net.embed.weight


class _Normed(nn.Module):
    """Two layers of neurons behind norms of a residual stream; head and embedding are not tied."""

    def __init__(self) -> None:
        super().__init__()
        self.put, self.head = nn.Linear(12, 16), nn.Linear(16, 4)
        self.norms = nn.ModuleList([nn.RMSNorm(16), nn.RMSNorm(16)])
        self.up = nn.ModuleList([nn.Linear(16, 16), nn.Linear(16, 16)])
        self.down = nn.ModuleList([nn.Linear(16, 16), nn.Linear(16, 16)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.put(x)
        for norm, up, down in zip(self.norms, self.up, self.down, strict=True):
            x = x + down(up(norm(x)).relu())
        return self.head(x)


def test_channels_that_norms_go_over_give_and_get_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    among, moved = ShareExchange.among, list[Mask]()
    monkeypatch.setattr(ShareExchange, "among", lambda self, movable: (moved.append(movable), among(self, movable))[1])
    analysis, plan, found = searched(_Normed().eval(), 60)
    width = next(one for one in analysis.sets if one.kind is Kind.WIDTH)
    neurons = [one for one in analysis.sets if one.kind is Kind.NEURON]
    assert not moved[0][width.structures].any() and all(moved[0][one.structures].all() for one in neurons)
    assert found.tried > 0 and np.array_equal(plan[width.structures], found.removed[width.structures])


@pytest.mark.parametrize("columns", [6, 40])
def test_weights_without_some_inputs_are_those_of_least_squares(columns: int) -> None:
    random = torch.Generator().manual_seed(2)
    rows = torch.randn(300, columns, generator=random, dtype=torch.float64)
    weights = [torch.randn(m, columns, generator=random, dtype=torch.float64) for m in (3, 50)]
    moments, gone = rows.T @ rows / len(rows), torch.tensor([0, 4])
    left = [n for n in range(columns) if n not in (0, 4)]
    with_ridge = moments + RIDGE * moments.diagonal().mean() * torch.eye(columns, dtype=torch.float64)
    root = torch.linalg.cholesky(with_ridge).T
    for one, found in zip(weights, refit(weights, add_ridge(moments)[0], gone), strict=True):
        expected = torch.linalg.lstsq(root[:, left], root @ one.T).solution.T
        assert torch.allclose(found[:, left], expected) and not found[:, gone].any()

"""Criteria that read weights, and the choices about slices, are what their formulas say on a small net."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.errors import TaskError
from secateur.engine.jobs import finish
from secateur.engine.scoring import geometric_median, weights
from secateur.engine.scoring.criteria import score
from secateur.engine.scoring.score_options import Choices, Combine, Normalise, Slices
from secateur.engine.scoring.weights import Elementwise
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, CoupledSet, Kind
from tests.engine.builders import HEAD_DIM, INNER, tiny_analysis, tiny_net

ANALYSIS = tiny_analysis()


def _scores(criterion: str, choices: Choices | None = None, seed: int = 0, net: nn.Module | None = None) -> Any:
    return finish(score(net or tiny_net(), ANALYSIS, ANALYSIS.empty(), criterion, choices=choices, seed=seed))


def _set(name: str, kind: Kind, analysis: Analysis = ANALYSIS) -> CoupledSet:
    return next(s for s in analysis.sets if s.name == name and s.kind is kind)


FILTERS = _set("layer1.0.conv1.weight", Kind.FILTER)


def test_batchnorm_scale_of_a_filter_is_that_of_the_norm_behind_it() -> None:
    net = tiny_net()
    net.layer1[0].bn1.weight.data[3] *= -1
    scores = _scores("batchnorm", net=net)
    assert np.allclose(scores[FILTERS.structures], net.layer1[0].bn1.weight.detach().abs())


def test_batchnorm_scale_of_residual_width_is_the_mean_over_the_norms_that_it_passes() -> None:
    net, width = tiny_net(), _set("conv1.weight", Kind.WIDTH)
    scales = [net.bn1.weight, net.layer1[0].bn2.weight, net.layer1[1].bn2.weight]
    assert np.allclose(_scores("batchnorm", net=net)[width.structures], torch.stack(scales).detach().abs().mean(0))
    largest = _scores("batchnorm", Choices(combine=Combine.MAX), net=net)
    assert np.allclose(largest[width.structures], torch.stack(scales).detach().abs().amax(0))


def test_what_passes_no_batchnorm_has_no_score_by_it() -> None:
    assert np.isnan(_scores("batchnorm")[_set("attn.qkv.weight", Kind.HEAD).structures]).all()


def test_a_frozen_batchnorm_counts_though_its_scale_is_a_buffer() -> None:
    frozen = pytest.importorskip("torchvision").ops.FrozenBatchNorm2d(6)
    frozen.weight.copy_(torch.arange(6.0) + 1)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), frozen, nn.ReLU(), nn.Conv2d(6, 2, 3)).eval()
    analysis = analyse(net, (torch.randn(2, 1, 8, 8),))
    scores = finish(score(net, analysis, analysis.empty(), "batchnorm"))
    assert np.allclose(scores, np.arange(6) + 1)


def test_a_batchnorm_that_keeps_no_statistics_counts() -> None:
    norm = nn.BatchNorm2d(6, track_running_stats=False)
    norm.weight.data.copy_(torch.arange(6.0) - 2)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), norm, nn.ReLU(), nn.Conv2d(6, 2, 3)).eval()
    analysis = analyse(net, (torch.randn(2, 1, 8, 8),))
    scores = finish(score(net, analysis, analysis.empty(), "batchnorm"))
    assert np.allclose(scores, [2, 1, 0, 1, 2, 3])


def test_lamp_is_the_share_of_a_filter_in_the_energy_of_all_that_are_at_least_as_strong() -> None:
    net = tiny_net()
    energies = net.layer1[0].conv1.weight.detach().double().square().sum((1, 2, 3)).numpy()
    expected = [e / energies[energies >= e].sum() for e in energies]
    assert np.allclose(_scores("lamp", net=net)[FILTERS.structures], expected)
    assert max(expected) == 1.0


def test_the_geometric_median_scores_lowest_and_scores_are_mean_distances() -> None:
    net = tiny_net()
    rows = net.layer1[0].conv1.weight.detach().double().flatten(1)
    expected = torch.cdist(rows, rows).sum(1) / (len(rows) - 1) / rows.shape[1] ** 0.5
    assert np.allclose(_scores("geometric-median", net=net)[FILTERS.structures], expected, rtol=1e-4)


def test_heads_are_compared_by_all_their_rows() -> None:
    net, heads = tiny_net(), _set("attn.qkv.weight", Kind.HEAD)
    rows = net.attn.qkv.weight.detach().double().reshape(3, INNER // HEAD_DIM, HEAD_DIM, -1)
    rows = rows.transpose(0, 1).flatten(1)  # [heads, 3 d w]
    expected = torch.cdist(rows, rows).sum(1) / (len(rows) - 1) / rows.shape[1] ** 0.5
    assert np.allclose(_scores("geometric-median", net=net)[heads.structures], expected, rtol=1e-4)


def test_a_sampled_geometric_median_is_repeatable_and_agrees_with_the_exact_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = tiny_net()
    net.layer1[0].conv1.weight.data *= torch.linspace(0.2, 3.0, FILTERS.count)[:, None, None, None]
    exact = _scores("geometric-median", net=net)[FILTERS.structures]
    monkeypatch.setattr(geometric_median, "REFERENCES", 8)
    first, again, other = (_scores("geometric-median", seed=s, net=net)[FILTERS.structures] for s in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    ranks = [np.argsort(np.argsort(one)) for one in (exact, first)]
    assert np.corrcoef(ranks[0], ranks[1])[0, 1] > 0.9


def test_random_scores_come_from_the_seed_and_stay_when_others_are_cut() -> None:
    assert (_scores("random", seed=3) == _scores("random", seed=3)).all()
    assert (_scores("random", seed=3) != _scores("random", seed=4)).all()


def test_slices_that_count_may_be_those_that_read_or_all() -> None:
    net = tiny_net()
    made, read = net.layer1[0].conv1.weight.detach(), net.layer1[0].conv2.weight.detach()
    both = torch.cat([made.flatten(1), read.transpose(0, 1).flatten(1)], 1).abs()
    reading = _scores("l1", Choices(slices=Slices.CONSUMERS), net=net)[FILTERS.structures]
    assert np.allclose(reading, read.abs().mean((0, 2, 3)))
    assert np.allclose(_scores("l1", Choices(slices=Slices.ALL), net=net)[FILTERS.structures], both.mean(1))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (Combine.SUM, lambda a, b: a.abs().sum((1, 2, 3)) + b.abs().sum((0, 2, 3))),
        (Combine.MAX, lambda a, b: torch.maximum(a.abs().mean((1, 2, 3)), b.abs().mean((0, 2, 3)))),
    ],
)
def test_slices_are_summed_or_the_largest_counts(how: Combine, expected: Any) -> None:
    net = tiny_net()
    made, read = net.layer1[0].conv1.weight.detach(), net.layer1[0].conv2.weight.detach()
    scores = _scores("l1", Choices(how, Slices.ALL), net=net)
    assert np.allclose(scores[FILTERS.structures], expected(made, read))


@pytest.mark.parametrize(
    ("how", "size"),
    [
        (Normalise.MEAN, lambda one: one.mean()),
        (Normalise.MAX, lambda one: one.max()),
        (Normalise.L2, lambda one: np.sqrt((one**2).sum())),
    ],
)
def test_scores_of_each_set_are_normalised_and_blocks_are_not(how: Normalise, size: Any) -> None:
    plain, divided = _scores("l1"), _scores("l1", Choices(normalise=how))
    for one in ANALYSIS.sets:
        whole = 1.0 if one.kind is Kind.BLOCK else size(plain[one.structures])
        assert np.allclose(divided[one.structures], plain[one.structures] / whole, equal_nan=True)


def test_standardised_scores_have_mean_0_and_deviation_1_in_each_set() -> None:
    scores = _scores("l1", Choices(normalise=Normalise.STANDARD))[FILTERS.structures]
    assert np.isclose(scores.mean(), 0) and np.isclose(scores.std(), 1)


def test_a_choice_that_a_criterion_does_not_leave_is_refused() -> None:
    with pytest.raises(TaskError, match="has no setting for slices"):
        _scores("batchnorm", Choices(slices=Slices.ALL))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(7,), (7, 5), (6, 4, 3, 3), (1, 9), (0, 3), ()])
def test_sums_by_block_are_those_of_the_whole(monkeypatch, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    monkeypatch.setattr(weights, "BLOCK", 10)  # two rows of the second, less than one of the third
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    rated: Any = SimpleNamespace(made={}, parameters={"weight": tensor})
    found = Elementwise(rated, "weight", np.square)
    whole = np.square(tensor.double().numpy())
    assert (found.ndim, found.size) == (whole.ndim, whole.size)
    for kept in range(max(len(shape), 1)):
        axis = tuple(d for d in range(len(shape)) if d != kept)
        np.testing.assert_allclose(found.sum(axis, np.float64), whole.sum(axis=axis), rtol=1e-6)

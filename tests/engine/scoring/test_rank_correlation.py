import numpy as np
import pytest
from scipy import stats

from secateur.engine.scoring.rank_correlation import agreement, ranks, spearman, whole
from tests.app.demo_analysis import scores_of, small_resnet


def test_ranks_and_correlation_are_those_of_scipy_also_with_ties():
    draw = np.random.default_rng(0)
    for _ in range(20):
        one, other = draw.integers(0, 9, (2, 40)).astype(float)
        assert (ranks(one) == stats.rankdata(one)).all()
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other)[0], abs=1e-12)


def test_nothing_is_said_of_two_or_of_equal_scores():
    assert np.isnan(spearman(np.array([1.0, 2.0]), np.array([2.0, 1.0])))
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))


def test_layers_and_the_whole_model_are_compared_where_both_rate():
    analysis = small_resnet()
    one, other = scores_of(analysis), scores_of(analysis, seed=1)
    other[:10] = np.nan
    found = agreement(analysis, one, other)
    known = np.isfinite(other)
    assert found.total == known.sum()
    assert whole(one, other) == pytest.approx(stats.spearmanr(one[known], other[known])[0])
    place = analysis.sets[2].structures
    assert found.correlation[2] == pytest.approx(stats.spearmanr(one[place], other[place])[0])
    assert found.count[0] == analysis.sets[0].count - 10
    lowest = [set(np.argsort(v[place])[: round(0.2 * 32)]) for v in (one, other)]
    assert found.shared[2] == len(lowest[0] & lowest[1]) / round(0.2 * 32)

"""What of a metric is lost."""

import pytest

from secateur.engine.tasks.protocol import Metric, Split, lost


def test_losses_are_points_of_fractions_and_shares_of_other_metrics_whichever_way_is_better():
    fraction = [Metric("top-1", value, 100, 0.03, Split.VAL) for value in (0.9, 0.88)]
    assert lost(*fraction)[0] == pytest.approx(0.02)
    perplexity = [
        Metric("perplexity", value, 100, 0.2, Split.VAL, percent=False, higher_is_better=False)
        for value in (20.0, 21.0)
    ]
    assert lost(*perplexity) == pytest.approx((0.05, 0.2 * 2**0.5 / 20))

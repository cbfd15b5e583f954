"""The measure by which exports are accepted, against its definition."""

import numpy as np

from secateur.engine.export.compare import difference


def test_it_is_the_largest_gap_over_the_largest_value():
    a, b = np.array([1.0, -8.0, 2.0]), np.array([1.0, -8.0, 2.4])
    assert abs(difference([a], [b]) - 0.05) < 1e-12
    assert abs(difference([a, a], [a, b]) - 0.05) < 1e-12


def test_shape_number_and_finiteness_count_as_infinitely_far():
    a = np.ones((2, 3), dtype=np.float32)
    assert difference([a], [a.T]) == float("inf")
    assert difference([a], [a, a]) == float("inf")
    assert difference([a], [a * np.nan]) == float("inf")
    assert difference([a * 0], [a]) == float("inf")


def test_equal_is_zero_also_for_zeros_nan_and_integers():
    for a in (np.zeros(3), np.array([np.nan, 1.0]), np.array([1, 2]), np.zeros((0, 2))):
        assert difference([a], [a.copy()]) == 0.0

"""The measure by which exports are accepted, against its definition."""

import numpy as np

from secateur.engine.export.compare import difference, read_cases, write_cases


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


def test_cases_come_back_in_order(tmp_path):
    cases = [([np.ones(1), np.zeros(2)], [np.arange(3)]), ([np.ones(4), np.zeros(5)], [np.arange(6)])]
    write_cases(tmp_path / "c.npz", cases)
    read = read_cases(tmp_path / "c.npz")
    assert [[a.tolist() for a in part] for case in read for part in case] == [
        [a.tolist() for a in part] for case in cases for part in case
    ]

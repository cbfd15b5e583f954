"""The measure by which exports are accepted, against its definition."""

import numpy as np

from secateur.engine.export.compare import difference, difference_of_boxes


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


def found(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    boxes = random.uniform(0, 64, (count, 4))
    return [
        boxes,
        random.integers(0, 3, count),
        np.sort(random.uniform(0, 1, count))[::-1],
        random.uniform(0, 1, (count, 5)),
    ]


def test_boxes_are_held_against_the_nearest_of_their_class_in_any_order():
    one = found(40)
    order = np.random.default_rng(1).permutation(40)
    other = [part[order] for part in one]
    other[0] = other[0] + 0.064
    assert abs(difference_of_boxes(one, other) - 0.064 / one[0].max()) < 1e-9
    assert difference_of_boxes(one, [part[1:] for part in one]) == 0.0  # one of 40 may be another
    assert difference_of_boxes(one, [part[3:] for part in one]) > 1e-2


def test_another_class_score_mask_or_none_at_all_is_far():
    one = found(40)
    for place, changed in ((1, one[1] + 1), (2, one[2] * 0.5), (3, one[3] + 0.1)):
        assert difference_of_boxes(one, [changed if n == place else part for n, part in enumerate(one)]) > 1e-2
    assert difference_of_boxes(one, [part[:0] for part in one]) == float("inf")
    assert difference_of_boxes([part[:0] for part in one], [part[:0] for part in one]) == 0.0
    assert difference_of_boxes(one, one[:3]) == float("inf")

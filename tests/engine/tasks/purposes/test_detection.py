"""Mean average precision beside values that follow from its definition, and its uncertainty beside a closed formula."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from secateur.engine.errors import TaskError
from secateur.engine.tasks.purposes.detection import PURPOSE, Boxes, jackknife, numbering

FOUR = [[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]]


def test_all_boxes_found_exactly_is_all() -> None:
    assert PURPOSE.statistic(_rows([(FOUR, FOUR, [0.9, 0.8, 0.7, 0.6])])) == pytest.approx(1.0)


def test_half_of_the_boxes_found_has_precision_one_up_to_half_of_the_recall() -> None:
    """COCO reads the precision at 101 recalls: 51 of them are at most one half."""
    assert PURPOSE.statistic(_rows([(FOUR, FOUR[:2], [0.9, 0.8])])) == pytest.approx(51 / 101)


def test_a_wrong_box_that_is_surer_halves_the_precision() -> None:
    found = [[80.0, 80, 90, 90], *FOUR[:1]]
    assert PURPOSE.statistic(_rows([(FOUR[:1], found, [0.9, 0.8])])) == pytest.approx(0.5)


def test_a_box_counts_at_the_overlaps_that_it_reaches() -> None:
    """Two thirds of the box: intersection over union 2/3 passes 0.5, 0.55, 0.6 and 0.65 of ten thresholds."""
    found = [[0.0, 0, 10, 20 / 3]]
    assert PURPOSE.statistic(_rows([(FOUR[:1], found, [0.9])])) == pytest.approx(0.4)


def test_leaving_out_one_sample_at_a_time_gives_the_error_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=(15, 1))
    found = jackknife(values, lambda rows: float(rows.mean()))
    assert found.std(ddof=1) == pytest.approx(values.std(ddof=1) / math.sqrt(15))


def test_groups_give_about_the_same_error() -> None:
    values = np.random.default_rng(1).normal(size=(2000, 1))
    expected = values.std(ddof=1) / math.sqrt(2000)
    assert jackknife(values, lambda rows: float(rows.mean())).std(ddof=1) == pytest.approx(expected, rel=0.5)


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(TaskError, match="NaN or infinity"):
        _rows([(FOUR, [[math.nan, 0, 1, 1]], [0.5])])
    with pytest.raises(TaskError, match="expects boxes, labels and scores"):
        PURPOSE.rows(torch.zeros(2, 3), (), [])


@pytest.mark.parametrize(
    ("ids", "classes", "background", "expected"),
    [
        ((1, 2, 4), 5, True, {1: 1, 2: 2, 4: 4}),  # COCO's own models: a class for each number
        ((1, 2, 4), 4, True, {1: 1, 2: 2, 4: 3}),
        ((1, 2, 4), 3, False, {1: 0, 2: 1, 4: 2}),
        ((1, 2, 4), 4, False, {1: 1, 2: 2, 4: 3}),
        ((0, 1), 2, False, {0: 0, 1: 1}),
        ((0, 1), 3, True, {0: 1, 1: 2}),
        ((5, 6), 0, True, {5: 5, 6: 6}),
        ((0, 1, 2), 3, True, {1: 1, 2: 2}),  # 0 stands above the others, and no box has it
        ((0, 1, 2), 4, True, {0: 1, 1: 2, 2: 3}),
    ],
)
def test_categories_become_the_models_numbers(
    ids: tuple[int, ...], classes: int, background: bool, expected: dict[int, int]
) -> None:
    assert numbering(ids, classes, background, used=ids[1:]) == expected


@pytest.mark.parametrize(("ids", "classes", "background"), [((0, 1), 2, True), ((1, 2, 4), 9, False)])
def test_another_number_of_classes_is_refused(ids: tuple[int, ...], classes: int, background: bool) -> None:
    with pytest.raises(TaskError, match=f"distinguishes {classes} classes"):
        numbering(ids, classes, background, used=ids)


def _rows(images: list[tuple[Any, Any, list[float]]]) -> Any:
    """Rows of images with (boxes that are there, boxes that were found, scores), all of one class."""
    found, targets = [], []
    for right, said, scores in images:
        labels = torch.ones(len(said), dtype=torch.int64)
        found.append({"boxes": torch.tensor(said), "labels": labels, "scores": torch.tensor(scores)})
        count, boxes = len(right), torch.tensor(right)
        area, crowd = torch.full((count,), 100.0), torch.zeros(count, dtype=torch.bool)
        targets.append(Boxes(boxes, torch.ones(count, dtype=torch.int64), crowd, area))
    return PURPOSE.rows(found, (), targets)

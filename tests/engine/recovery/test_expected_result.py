"""What is said before a recovery comes from a benchmark of the same kind, without its cell; or nothing is said."""

from dataclasses import replace

import numpy as np
import pytest

from secateur.engine.recovery.expected_result import BenchmarkPoint, CutModel, Family, cut_model, expectation, family_of
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.costs import costs
from tests.engine.builders import tiny_analysis

MODEL = CutModel(Family.TRANSFORMER, 0.5, 300_000, "top-1", 10)
THREE = RecoverySettings(epochs=3)


def point(kept: float, cut: float = 0.5, epochs: int = 3, family: Family = Family.TRANSFORMER) -> BenchmarkPoint:
    values = ("top-1", True, 0.9, cut, 0.85)
    how = f"{epochs} epochs"
    return BenchmarkPoint(family, "a net", 300_000, 10, kept, *values, epochs, how, f"cell {kept}/{epochs}")


def test_the_nearest_cut_of_the_family_speaks() -> None:
    others = [point(0.65), point(0.5, family=Family.CONVOLUTIONAL)]
    said = expectation(MODEL, THREE, [*others, point(0.6)])
    assert said is not None and said.code == "recovery.expect"
    text = str(said)
    assert "with 50 % of the MACs kept" in text and "60 % kept" in text and "went from 90.0 % to 50.0 %" in text
    assert text.endswith("was 85.0 % after 3 epochs.") and "cell" not in text


def test_of_equal_cuts_the_one_with_the_nearest_budget_speaks() -> None:
    some = [point(0.5, epochs=1), point(0.5, epochs=10), point(0.5, epochs=30)]
    said = expectation(MODEL, RecoverySettings(epochs=8), some)
    assert said is not None and str(said.arguments["how"]) == "10 epochs"


def test_of_equal_cuts_the_model_of_the_nearest_size_speaks() -> None:
    some = [replace(point(0.5), parameters=count, subject=f"net of {count}") for count in (500_000, 290_000, 100_000)]
    said = expectation(MODEL, THREE, some)
    assert said is not None and said.arguments["subject"] == "net of 290000"


def test_half_of_a_resnet_of_cifar_is_expected_to_do_what_the_defaults_did() -> None:
    for epochs in (3, 5):
        net = CutModel(Family.CONVOLUTIONAL, 0.5, 269_722, "top-1", 10)
        said = expectation(net, RecoverySettings(epochs=epochs))
        assert said is not None and "ResNet-20, CIFAR-10" in str(said)
        assert "from 81.0 % to 26.1 % with the cut and was 83.1 % after 5 epochs on 5,000 images" in str(said)


def test_a_model_that_will_answer_at_random_is_called_normal() -> None:
    said = expectation(MODEL, THREE, [point(0.5, cut=0.11)])
    assert said is not None and said.code == "recovery.expect_low" and "are normal" in str(said)


@pytest.mark.parametrize(
    "other",
    [
        {"kept": 0.7},
        {"parameters": 25_000_000},
        {"parameters": 20_000},
        {"classes": 1000},
        {"classes": 0},
        {"metric": "accuracy"},
        {"family": None},
    ],
)
def test_of_another_kind_of_model_data_or_cut_nothing_is_said(other) -> None:
    assert expectation(MODEL, THREE, [point(0.5)]) is not None
    assert expectation(replace(MODEL, **other), THREE, [point(0.5)]) is None


def test_nothing_is_expected_of_a_recovery_that_time_ends() -> None:
    assert expectation(MODEL, RecoverySettings(minutes=1), [point(0.5)]) is None


def test_training_and_repair_without_it_are_not_mixed() -> None:
    repair = RecoverySettings(epochs=0, repair=Repair.LEAST_SQUARES)
    without = [point(0.5, epochs=0)]
    assert expectation(MODEL, repair, [point(0.5)]) is None
    assert expectation(MODEL, repair, without) is not None
    for other in (Repair.NONE, Repair.BIAS, Repair.DISTILLATION):
        assert expectation(MODEL, replace(repair, repair=other), without) is None


def test_what_decides_is_read_off_the_analysis() -> None:
    analysis = tiny_analysis()
    removed = np.arange(analysis.count) % 2 == 0
    for one in analysis.sets:
        if one.kind is Kind.BLOCK:
            removed[one.structures] = False
    found = cut_model(analysis, removed, "top-1", 10)
    whole, left = costs(analysis), costs(analysis, removed)
    assert found == CutModel(Family.TRANSFORMER, left.macs / whole.macs, whole.parameters, "top-1", 10)
    assert family_of(analysis, "perplexity") is Family.LANGUAGE

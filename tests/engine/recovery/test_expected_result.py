"""What is said before a recovery comes from the benchmark's nearest point, with its cell; or nothing is said."""

import numpy as np
import pytest

from secateur.engine.recovery.benchmark_points import BenchmarkPoint, Family
from secateur.engine.recovery.expected_result import expectation, family_of
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.costs import costs
from tests.engine.builders import tiny_analysis


def point(kept: float, cut: float = 0.5, epochs: int = 3, family: Family = Family.TRANSFORMER) -> BenchmarkPoint:
    values = ("top-1", True, 0.9, cut, 0.85)
    return BenchmarkPoint(family, "a net", kept, *values, epochs, f"{epochs} epochs", f"cell {kept}/{epochs}")


@pytest.fixture(scope="module")
def tiny() -> tuple[Analysis, Mask, float]:
    """A net with heads, without half of its structures, and the share of the MACs that is left."""
    analysis = tiny_analysis()
    removed = np.arange(analysis.count) % 2 == 0
    for one in analysis.sets:
        if one.kind is Kind.BLOCK:
            removed[one.structures] = False
    return analysis, removed, costs(analysis, removed).macs / costs(analysis).macs


def test_the_nearest_cut_of_the_family_speaks(tiny: tuple[Analysis, Mask, float]) -> None:
    analysis, removed, kept = tiny
    others = [point(kept + 0.3), point(kept, family=Family.CONVOLUTIONAL)]
    said = expectation(analysis, removed, RecoverySettings(epochs=3), "top-1", [*others, point(kept + 0.1)])
    assert said.code == "recovery.expect_near"
    text = str(said)
    assert f"with {kept:.0%} of the MACs kept" in text and "went from 90.0 % to 50.0 %" in text
    assert "85.0 % after 3 epochs" in text and f"cell {kept + 0.1}/3" in text


def test_of_equal_cuts_the_one_with_the_nearest_budget_speaks(tiny: tuple[Analysis, Mask, float]) -> None:
    analysis, removed, kept = tiny
    some = [point(kept, epochs=1), point(kept, epochs=10), point(kept, epochs=30)]
    said = expectation(analysis, removed, RecoverySettings(epochs=8), "top-1", some)
    assert str(said.arguments["how"]) == "10 epochs"


def test_a_model_that_will_answer_at_random_is_called_normal(tiny: tuple[Analysis, Mask, float]) -> None:
    analysis, removed, kept = tiny
    said = expectation(analysis, removed, RecoverySettings(epochs=3), "top-1", [point(kept, cut=0.11)])
    assert said.code == "recovery.expect_low" and "are normal" in str(said)


def test_a_cut_unlike_all_benchmarks_is_said_to_be_unknown(tiny: tuple[Analysis, Mask, float]) -> None:
    analysis, removed, kept = tiny
    said = expectation(analysis, removed, RecoverySettings(epochs=3), "top-1", [point(kept + 0.2)])
    assert said.code == "recovery.expect_far" and "No benchmark is near" in str(said)


def test_nothing_is_expected_of_a_recovery_that_time_ends(tiny: tuple[Analysis, Mask, float]) -> None:
    analysis, removed, kept = tiny
    assert expectation(analysis, removed, RecoverySettings(minutes=1), "top-1", [point(kept)]) is None


def test_training_and_repair_without_it_are_not_mixed(tiny: tuple[Analysis, Mask, float]) -> None:
    analysis, removed, kept = tiny
    repair = RecoverySettings(epochs=0, repair=Repair.LEAST_SQUARES)
    assert expectation(analysis, removed, repair, "top-1", [point(kept)]) is None
    assert expectation(analysis, removed, repair, "top-1", [point(kept, epochs=0)]) is not None
    assert expectation(analysis, removed, RecoverySettings(epochs=0), "top-1", [point(kept, epochs=0)]) is None


def test_the_family_follows_from_structures_and_metric(tiny: tuple[Analysis, Mask, float]) -> None:
    assert family_of(tiny[0], "top-1") is Family.TRANSFORMER
    assert family_of(tiny[0], "perplexity") is Family.LANGUAGE

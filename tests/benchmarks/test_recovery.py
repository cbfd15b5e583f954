"""The arithmetic of the recovery benchmark's table."""

import pytest

from .recovery import Result, Run, Speed, table

SPEED = Speed(batch=64, original=9.0, again=11.0, pruned=5.0, machine="a machine")
RESULT = Result(
    net="resnet", epochs=3, test=10_000, original=0.93, cut=0.5, parameters=(400, 200), macs=(1000, 480),
    verified=1e-13, runs=(Run(0, pruned=0.92, baseline=0.93), Run(1, pruned=0.925, baseline=0.93)), speeds=(SPEED,),
)  # fmt: skip


def test_loss_is_against_the_uncut_network_with_the_same_epochs() -> None:
    assert pytest.approx([1.0, 0.5]) == RESULT.lost


def test_speed_counts_both_runs_of_the_baseline() -> None:
    assert pytest.approx(2.0) == SPEED.factor
    assert pytest.approx(2 / 11) == SPEED.spread


def test_the_table_says_what_was_measured() -> None:
    words = table([RESULT])
    for part in (
        "(48.0%)",
        "93.00% (n = 10,000)",
        "lost",
        "0.75 +- 0.35 points",
        "2.00 times as fast",
        "18.2%",
        "a machine",
    ):
        assert part in words

"""Settings of a recovery: how many updates they come to."""

import pytest

from secateur.engine.recovery.protocol import FEW_UPDATES, RecoverySettings, Repair
from secateur.engine.tasks.protocol import Split, TaskInfo

BATCHES = 40
TASK = TaskInfo("", {}, (), "accuracy", (), batches={Split.TRAIN: BATCHES})


@pytest.mark.parametrize(
    ("settings", "updates"),
    [
        (RecoverySettings(epochs=0), 0),
        (RecoverySettings(epochs=3), 120),
        (RecoverySettings(epochs=3, accumulate=4), 30),
        (RecoverySettings(epochs=3, steps=7), 7),
        (RecoverySettings(minutes=2.0), None),
        (RecoverySettings(tokens=1_000), None),
    ],
)
def test_updates_follow_from_what_ends_a_recovery(settings: RecoverySettings, updates: float | None) -> None:
    assert settings.updates(BATCHES) == updates
    assert settings.updates(0) == (None if settings.steps == 0 and settings.epochs else updates)


@pytest.mark.parametrize(
    ("settings", "short"),
    [
        (RecoverySettings(steps=FEW_UPDATES), True),
        (RecoverySettings(steps=FEW_UPDATES + 1), False),
        (RecoverySettings(steps=1, repair=Repair.NONE), False),
        (RecoverySettings(steps=1, repair=Repair.BIAS), False),
        (RecoverySettings(epochs=0), False),  # nothing is repaired there by itself
        (RecoverySettings(epochs=0, repair=Repair.LEAST_SQUARES), True),
        (RecoverySettings(epochs=0, repair=Repair.DISTILLATION), True),
        (RecoverySettings(epochs=FEW_UPDATES // BATCHES), True),
        (RecoverySettings(epochs=FEW_UPDATES // BATCHES + 1), False),
        (RecoverySettings(minutes=0.1), False),
    ],
)
def test_a_short_recovery_lives_by_the_repair(settings: RecoverySettings, short: bool) -> None:
    assert settings.lives_by_repair(TASK) is short
    known = settings.steps or not settings.epochs
    assert settings.lives_by_repair(None) is (short and bool(known))

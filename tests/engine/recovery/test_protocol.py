"""Settings of a recovery: how many updates they come to."""

from dataclasses import replace

import pytest

from secateur.engine.planning.protocol import Goal
from secateur.engine.recovery.protocol import (
    DISTILLATION_STEPS,
    DISTILLED,
    FEW_UPDATES,
    RecoverySettings,
    Repair,
    as_recorded,
    chosen_by_repair,
)
from secateur.engine.storage.serialization import to_plain
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
    ("settings", "text", "images"),
    [
        (RecoverySettings(steps=FEW_UPDATES), True, True),
        (RecoverySettings(steps=FEW_UPDATES + 1), False, True),
        (RecoverySettings(steps=1, repair=Repair.NONE), False, False),
        (RecoverySettings(steps=1, repair=Repair.BIAS), False, False),
        (RecoverySettings(epochs=0), True, True),
        (RecoverySettings(epochs=0, repair=Repair.NONE), False, False),
        (RecoverySettings(epochs=0, repair=Repair.LEAST_SQUARES), True, True),
        (RecoverySettings(epochs=0, repair=Repair.DISTILLATION), True, True),
        (RecoverySettings(epochs=FEW_UPDATES // BATCHES), True, True),
        (RecoverySettings(epochs=FEW_UPDATES // BATCHES + 1), False, True),
        (RecoverySettings(minutes=0.1), False, True),
    ],
)
def test_what_counts_on_the_repair_is_chosen_by_it(settings: RecoverySettings, text: bool, images: bool) -> None:
    assert chosen_by_repair(settings, replace(TASK, tokens=128)) is text
    assert chosen_by_repair(settings, TASK) is images
    assert not chosen_by_repair(settings, None) and not chosen_by_repair(None, TASK)
    unknown = settings.counts_on_repair(text=True)
    assert unknown is (text and bool(settings.steps or not settings.epochs))


@pytest.mark.parametrize(
    ("settings", "small", "large"),
    [
        (RecoverySettings(epochs=0), Repair.DISTILLATION, Repair.LEAST_SQUARES),
        (RecoverySettings(epochs=0, repair=Repair.NONE), Repair.NONE, Repair.NONE),
        (RecoverySettings(epochs=0, repair=Repair.DISTILLATION), Repair.DISTILLATION, Repair.DISTILLATION),
        (RecoverySettings(), Repair.AUTO, Repair.AUTO),
    ],
)
def test_without_training_an_automatic_repair_distils_small_models(
    settings: RecoverySettings, small: Repair, large: Repair
) -> None:
    for macs, repair in ((DISTILLED // (DISTILLATION_STEPS * 8), small), (DISTILLED, large)):
        suited = settings.suited_to(int(macs), 8)
        assert suited == replace(settings, repair=repair)
        assert (suited.distilling is not None) is (repair is Repair.DISTILLATION)
    assert settings.repairs is (Repair.NONE if settings.repair is Repair.NONE else Repair.LEAST_SQUARES)


def test_an_automatic_repair_that_was_recorded_without_training_was_none() -> None:
    written = {"state": {"recovery": to_plain(RecoverySettings(epochs=0))}}
    assert as_recorded(written)["state"]["recovery"]["repair"] == "none"
    assert as_recorded({"epochs": 0, "distillation": 0.7, "temperature": 2.0})["repair"] == "none"
    goal = to_plain(Goal(()))
    assert as_recorded(goal) == goal and as_recorded({"limits": [], "multiple": 16})["steps"] == 2
    trained, biased = RecoverySettings(epochs=0, steps=3), RecoverySettings(epochs=0, repair=Repair.BIAS)
    typed = {**to_plain(RecoverySettings(epochs=0)), "no_recover": True}
    for other in (RecoverySettings(), trained, biased, typed):
        assert as_recorded(to_plain(other)) == to_plain(other)

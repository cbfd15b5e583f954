"""Measurements that a busy machine disturbed are made again; speeds are told, none is measured."""

import pytest

from secateur.engine.jobs import finish
from secateur.engine.targets.calm import ATTEMPTS, calmest, usual_of

IMPATIENT, PATIENT = -1.0, 60.0


def speeds(*seconds: float):
    """The original's speed, each time it is asked for."""
    given = iter(seconds)

    def speed():
        return next(given)
        yield

    return speed


def attempts(*meanwhile: tuple[float, ...]):
    """Measurements that give their number, and what the original took meanwhile."""
    made: list[int] = []

    def measure():
        made.append(len(made))
        return made[-1], meanwhile[made[-1]] if meanwhile else ()
        yield

    return measure, made


def test_one_at_the_usual_speed_counts_at_once():
    measure, made = attempts()
    assert finish(calmest(measure, speeds(1.0, 1.04), usual=1.0, patience=IMPATIENT)) == 0 and len(made) == 1


@pytest.mark.parametrize(
    ("seen", "meanwhile"),
    [
        ((1.4, 1.0, 1.0, 1.0), ((), ())),  # slower before it
        ((1.0, 1.4, 1.4, 1.0, 1.0, 1.0), ((), (), ())),  # slower after it, and before the next
        ((1.0, 1.0, 1.0, 1.0), ((1.4,), (1.0,))),  # slower meanwhile
    ],
)
def test_one_while_the_original_was_slower_is_made_again(seen, meanwhile):
    measure, made = attempts(*meanwhile)
    assert finish(calmest(measure, speeds(*seen), usual=1.0, patience=IMPATIENT)) == len(meanwhile) - 1 == made[-1]


def test_of_all_that_were_disturbed_the_calmest_counts():
    slow = [2.0] * (2 * ATTEMPTS)
    slow[2] = slow[3] = 1.5  # before and after the second
    measure, made = attempts()
    assert finish(calmest(measure, speeds(*slow), usual=1.0, patience=IMPATIENT)) == 1 and len(made) == ATTEMPTS


def test_the_fastest_of_some_looks_is_the_usual_speed():
    assert finish(usual_of(speeds(1.4, 1.0, 1.9, 1.1, 1.0))) == 1.0


def test_an_attempt_waits_for_the_usual_speed():
    measure, made = attempts()
    assert finish(calmest(measure, speeds(1.9, 1.4, 1.0, 1.0), usual=1.0, patience=PATIENT)) == 0 and len(made) == 1


def test_attempts_go_on_as_long_as_patience_lasts():
    disturbed = [1.0, 2.0] * (ATTEMPTS + 1)  # slower after each
    measure, made = attempts()
    found = finish(calmest(measure, speeds(*disturbed, 1.0, 1.0), usual=1.0, patience=PATIENT))
    assert found == made[-1] == ATTEMPTS + 1

"""Measurements that a busy machine disturbed are made again; speeds are told, none is measured."""

import pytest

from secateur.engine.jobs import finish
from secateur.engine.targets.timing import ATTEMPTS, TimingRound, quietest, quietest_rounds, usual_speed_of

IMPATIENT, PATIENT = -1.0, 60.0


def speeds(*seconds: float):
    """The original's speed, each time it is asked for."""
    given = iter(seconds)

    def speed():
        return next(given)
        yield

    return speed


def attempts():
    """Measurements that give their number."""
    made: list[int] = []

    def measure():
        made.append(len(made))
        return made[-1]
        yield

    return measure, made


def told(*originals: float):
    """Rounds in which the original and another model ran twice, a tenth of a second in all."""
    for seconds in originals:
        yield TimingRound([[seconds, seconds], [0.05 - seconds] * 2], [[0.0], [0.0]])


def seen(rounds, enough: float, patience: float) -> list[float]:
    """What the original took in those that count."""
    return [one.times[0][0] for one in finish(quietest_rounds(rounds, enough, usual=0.01, patience=patience))]


def test_rounds_at_the_usual_speed_count():
    slow, usual = [0.013, 0.02, 0.0107], [0.0104, 0.01, 0.0095, 0.0101, 0.0102]
    assert sorted(seen(told(*slow, *usual), enough=0.4, patience=PATIENT)) == sorted(usual)
    rounds = told(*usual * 3)
    assert len(seen(rounds, enough=0.7, patience=PATIENT)) == 7 and len(list(rounds)) == 8  # no more than it takes


def test_the_calmest_rounds_count_where_patience_ends():
    rounds = told(0.013, 0.02, 0.01, 0.012, 0.015, 0.014, 0.03)
    assert seen(rounds, enough=0.6, patience=IMPATIENT) == [0.01, 0.012, 0.013, 0.014, 0.015, 0.02]
    assert next(rounds).times[0][0] == 0.03


def test_one_at_the_usual_speed_counts_at_once():
    measure, made = attempts()
    assert finish(quietest(measure, speeds(1.0, 1.04), usual=1.0, patience=IMPATIENT)) == 0 and len(made) == 1


@pytest.mark.parametrize("slow", [(1.4, 1.0), (1.0, 1.4)])  # before it, after it
def test_one_while_the_original_was_slower_is_made_again(slow):
    measure, made = attempts()
    assert finish(quietest(measure, speeds(*slow, 1.0, 1.0), usual=1.0, patience=IMPATIENT)) == 1 == made[-1]


def test_of_all_that_were_disturbed_the_calmest_counts():
    slow = [2.0] * (2 * ATTEMPTS)
    slow[2] = slow[3] = 1.5  # before and after the second
    measure, made = attempts()
    assert finish(quietest(measure, speeds(*slow), usual=1.0, patience=IMPATIENT)) == 1 and len(made) == ATTEMPTS


def test_the_fastest_of_some_looks_is_the_usual_speed():
    assert finish(usual_speed_of(speeds(1.4, 1.0, 1.9, 1.1, 1.0))) == 1.0


def test_an_attempt_waits_for_the_usual_speed():
    measure, made = attempts()
    assert finish(quietest(measure, speeds(1.9, 1.4, 1.0, 1.0), usual=1.0, patience=PATIENT)) == 0 and len(made) == 1


def test_attempts_go_on_as_long_as_patience_lasts():
    disturbed = [1.0, 2.0] * (ATTEMPTS + 1)  # slower after each
    measure, made = attempts()
    found = finish(quietest(measure, speeds(*disturbed, 1.0, 1.0), usual=1.0, patience=PATIENT))
    assert found == made[-1] == ATTEMPTS + 1

"""How much of a whole job is done is told by its parts, whichever stage they are in."""

import math

import pytest

from secateur.engine.jobs import Job, Progress, finish, part_of, spanning


def stage(steps: int) -> Job[None]:
    """A stage that counts its steps."""
    for step in range(steps):
        yield Progress("on", step, steps)


def shares(job: Job[object]) -> list[float]:
    told: list[float] = []
    finish(job, lambda progress: told.append(progress.share))
    return told


def test_a_job_alone_tells_no_share_of_a_whole() -> None:
    assert all(math.isnan(share) for share in shares(stage(3)))


def test_parts_lie_one_behind_the_other_and_never_go_back() -> None:
    def two_stages() -> Job[None]:
        yield from stage(4)
        yield from stage(2)  # counts from the beginning again

    assert shares(spanning(two_stages(), 0.5, 0.9)) == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.8, 0.8])


def test_a_part_that_has_parts_is_counted_by_them() -> None:
    def whole() -> Job[None]:
        yield from spanning(stage(2), 0.0, 0.25)
        yield from spanning(stage(2), 0.25, 1.0)

    assert shares(spanning(whole(), 0.2, 0.6)) == pytest.approx([0.2, 0.25, 0.3, 0.45])


def test_one_step_of_a_longer_job_reaches_to_the_next_step() -> None:
    assert shares(part_of(Progress("trial", 1, 4), stage(2))) == pytest.approx([0.25, 0.375])
    assert shares(part_of(Progress("trial", share=0.5), stage(2), until=0.7)) == pytest.approx([0.5, 0.6])


def test_a_part_that_is_stopped_ends_before_what_holds_it() -> None:
    ended = list[str]()

    def part() -> Job[None]:
        try:
            yield from stage(2)
        finally:
            ended.append("part")

    def whole() -> Job[None]:
        try:
            inner = part()  # somebody else knows it too: it does not end because nobody does any more
            yield from spanning(inner, 0.0, 1.0)
        finally:
            ended.append("whole")

    job = whole()
    next(job)
    job.close()
    assert ended == ["part", "whole"]

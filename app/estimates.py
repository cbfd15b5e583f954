"""About how long training takes, from how long judging the original took; told before anything is started."""

from secateur.engine.tasks.protocol import TaskInfo

TRAINING = 3.0
"""Forward and backward pass of a training step, in forward passes; the teacher's comes on top."""


def training_seconds(task: TaskInfo, epochs: int, share: float) -> float:
    """Seconds of a recovery with the original as teacher; 0 where that cannot be known.

    Args:
        task: Gives the samples, and the seconds that judging the original took for each.
        epochs: Passes over the calibrate split.
        share: MACs of what is trained, as a share of the original's.
    """
    return (1.0 + TRAINING * share) * epochs * task.sizes.get("calibrate", 0) * task.seconds


def judging_seconds(task: TaskInfo, split: str, share: float) -> float:
    """Seconds to judge a model of that share of the original's MACs on a split; 0 where that cannot be known."""
    return share * task.sizes.get(split, 0) * task.seconds

"""What a comparison with baselines gave, as plain data. Loads no torch; `baselines.py` makes it."""

from dataclasses import dataclass

from ..baselines.protocol import Baseline, BaselineSpec
from ..baselines.verdict import Verdict
from ..errors import Message
from ..session.states import State


@dataclass(frozen=True, slots=True)
class Missed:
    """A baseline that could not be made: what was asked for, and why."""

    asked: BaselineSpec
    reason: Message


@dataclass(frozen=True, slots=True)
class Comparison:
    """A state beside its baselines.

    Attributes:
        state: The state, measured.
        baselines: All that stand beside it, also those that were made before.
        missed: Those of the asked that could not be made.
        verdict: What follows.
        classes: Which classes one of them loses and the other does not, a sentence each.
    """

    state: State
    baselines: tuple[Baseline, ...]
    missed: tuple[Missed, ...]
    verdict: Verdict
    classes: tuple[Message, ...] = ()

"""The learning rate that trials found, as plain data; see `rate_trials.py`."""

from dataclasses import dataclass

from ..errors import Message


@dataclass(frozen=True, slots=True)
class FoundRate:
    """What the trials found.

    Attributes:
        rate: Peak of the learning rate.
        steps: Updates that they took together.
    """

    rate: float
    steps: int

    @property
    def message(self) -> Message:
        """For a person."""
        template = "Learning rate {rate}, found by {steps} steps of trial."
        return Message("recovery.rate_found", template, {"rate": f"{self.rate:.3g}", "steps": self.steps})

"""The learning rate that trials found, as plain data; see `rate_trials.py`."""

from dataclasses import dataclass

from ..errors import Message


@dataclass(frozen=True, slots=True)
class FoundRate:
    """What the trials found.

    Attributes:
        rate: Peak of the learning rate.
        steps: Updates that they took together; 0 where there were none, as the model is divided among processes.
    """

    rate: float
    steps: int

    @property
    def message(self) -> Message:
        """For a person."""
        fields = {"rate": f"{self.rate:.3g}", "steps": self.steps}
        if not self.steps:
            template = "Learning rate {rate}: of a model that is divided among processes, none is tried."
            return Message("recovery.rate_untried", template, fields)
        return Message("recovery.rate_found", "Learning rate {rate}, found by {steps} steps of trial.", fields)

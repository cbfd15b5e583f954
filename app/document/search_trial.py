"""A trial of a search for the lowest cost, as the document keeps it beside the state that it made."""

from dataclasses import dataclass

from secateur.engine.planning.protocol import Cost
from secateur.engine.workflows.budget_search import Trial


@dataclass(frozen=True, slots=True)
class Tried:
    """A budget that was tried.

    Attributes:
        number: Its place in the search, from 1.
        trial: What the engine said of it.
        limit: What was allowed to be lost, as `Trial.loss` counts.
        cost: What the search makes as low as possible.
    """

    number: int
    trial: Trial
    limit: float
    cost: Cost

    @property
    def close(self) -> bool:
        """The data cannot tell on which side of the limit it is: it lies within one standard error of it."""
        return bool(self.trial.state) and abs(self.trial.loss - self.limit) <= self.trial.error

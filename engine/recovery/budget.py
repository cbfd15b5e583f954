"""How long a recovery trains: passes over the data, updates, tokens or minutes, as one type."""

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What a budget counts; each is a field of `RecoverySettings`."""

    EPOCHS = "epochs"
    STEPS = "steps"
    TOKENS = "tokens"
    MINUTES = "minutes"


@dataclass(frozen=True, slots=True)
class Budget:
    """So much training.

    Attributes:
        unit: What is counted.
        amount: How many; 0 for no training.
    """

    unit: Unit
    amount: float

    def part(self, share: float) -> "Budget":
        """A share of it; of what is whole, rounded up, so that a part of any training is training."""
        amount = share * self.amount
        return Budget(self.unit, amount if self.unit is Unit.MINUTES else -int(-amount // 1))

"""What a cell of the benchmark works on, and the sets that it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from secateur.engine.tracing.tree import Inputs


@dataclass(frozen=True, slots=True)
class Subject:
    """A model with random weights and what it is run on.

    Attributes:
        make: Builds the model; called under a fixed seed.
        inputs: Makes the example inputs, batch of 2 where the model takes batches.
        outputs: Paths of the outputs that must stay, () for the default.
        afterwards: Raises if the cut model does not do what else it must.
    """

    make: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    outputs: tuple[str, ...] = ()
    afterwards: Callable[[nn.Module], None] | None = None


class ModelSet(Protocol):
    """A module of this package: the models of one library."""

    def names(self) -> list[str]:
        """All models of the set, small ones first."""
        ...

    def subject(self, name: str) -> Subject:
        """One of them."""
        ...

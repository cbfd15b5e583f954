"""What student and teacher are compared on in a batch. Loads no torch."""

from dataclasses import dataclass
from typing import Any

from ..model_inputs import Inputs


@dataclass(frozen=True, slots=True)
class DistillationBatch:
    """What both are asked, and which part of the answer counts.

    Attributes:
        inputs: The inputs that teacher and student get.
        counts: Tensor of bool [N, T], which positions of answers [N, T, values] count; None where all do, or where
            answers have no positions.
        logits: Whether answers [N, values] are logits, of which only the differences within a sample count; None where
            nobody has said what the model is for.
    """

    inputs: Inputs
    counts: Any = None
    logits: bool | None = None

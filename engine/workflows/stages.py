"""What stages of a pruning take and what they are planned for, as plain data. Loads no torch; see `stage_plan.py`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from ..options import Option

TERA = 10**12
FLOPS = 2
"""Floating-point operations of a multiply-accumulate."""


class StageName(StrEnum):
    """What a pruning does, in this order."""

    SCORES = "scores"
    MASKS = "learned masks"
    CUT = "cut"
    VERIFICATION = "verification"
    TUNING = "tuning the teacher"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Devices:
    """What stages are planned for: one device for each process.

    Attributes:
        processes: That score and train together.
        device_tflops: 10^12 floating-point operations that a device sustains a second; 0 where nobody knows.
    """

    processes: Annotated[
        int,
        Option(
            title="Processes",
            help="with --plan: how many processes the stages are divided among, with a device each",
            minimum=1,
            metavar="N",
        ),
    ] = 1
    device_tflops: Annotated[
        float,
        Option(
            title="TFLOP/s of a device",
            help="with --plan: TFLOP/s that one device sustains in such models, as measured; the time of the stages "
            "follows from it",
            minimum=0,
            zero="no times",
            metavar="RATE",
        ),
    ] = 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage takes; one that is run in several rounds, what all of them take.

    Attributes:
        name: Which one.
        held: Bytes of weights, gradients and moments of the optimiser in one process.
        activations: Bytes beside these, of the samples that go through at a time.
        macs: Multiply-accumulates of all processes together; None where only the data says how many, or nothing does.
        processes: That it is divided among.
    """

    name: StageName
    held: int
    activations: int
    macs: int | None
    processes: int = 1

    @property
    def memory(self) -> int:
        """Bytes in one process."""
        return self.held + self.activations

    @property
    def trains(self) -> bool:
        """Whether weights are trained in it."""
        return self.name in (StageName.MASKS, StageName.TUNING, StageName.RECOVERY)

    def seconds(self, device_tflops: float) -> float | None:
        """Time of its MACs at a rate in 10^12 FLOP/s, without communication; None where one of both is unknown or 0."""
        if not device_tflops or not self.macs:
            return None
        return FLOPS * self.macs / (device_tflops * TERA * self.processes)

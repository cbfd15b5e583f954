"""The stages of a planned pruning in words and as plain data: memory, compute and time."""

from collections.abc import Sequence
from typing import Any

from ..text.format import byte_size, counted, size
from ..workflows.stage_plan import StagePlanner
from ..workflows.stages import Devices, Stage
from .tables import columns

UNKNOWN = "The compute of a training by epochs or minutes depends on the data. Give --steps or --tokens."
HOUR = 3600


def stages_content(planner: StagePlanner, stages: Sequence[Stage], devices: Devices) -> dict[str, Any]:
    """The stages for JSON; bytes of one process, seconds where a rate of the device is given."""
    return {
        "stages": {
            "batch": planner.batch,
            "tokens": planner.tokens,
            "processes": devices.processes,
            "device_tflops": devices.device_tflops or None,
            "each": [
                {
                    "name": str(one.name),
                    "weights_bytes": one.held,
                    "activations_bytes": one.activations,
                    "memory_bytes": one.memory,
                    "macs": one.macs,
                    "processes": one.processes,
                    "seconds": one.seconds(devices.device_tflops),
                }
                for one in stages
            ],
        }
    }


def stage_lines(planner: StagePlanner, stages: Sequence[Stage], devices: Devices) -> list[str]:
    """A table with a row for each stage, and what it is for."""
    timed = bool(devices.device_tflops)
    head = ["stage", "weights, states", "activations", "memory", "MACs in all", "processes"]
    rows = [head + ["time"] * timed, *(_row(one, devices.device_tflops) for one in stages)]
    samples = counted(planner.batch, "sample") + (f" of {counted(planner.tokens, 'token')}" if planner.tokens else "")
    lines = ["", f"stages with data, batches of {samples}; memory of one process:", *columns(rows).splitlines()]
    if timed:
        lines.append(f"time of computation at {devices.device_tflops:g} TFLOP/s a device, without communication")
    return [*lines, UNKNOWN] if any(one.macs is None and one.trains for one in stages) else lines


def _row(one: Stage, device_tflops: float) -> list[str]:
    seconds = one.seconds(device_tflops)
    macs = "not counted" if one.macs is None else size(one.macs)
    row = [str(one.name), *map(byte_size, (one.held, one.activations, one.memory)), macs, str(one.processes)]
    return row + ([] if not device_tflops else ["" if seconds is None else _time(seconds)])


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < HOUR else f"{seconds / HOUR:,.1f} h"

"""Describes the machine that measures, because a latency holds for one machine only."""

import os

from ..devices import CPU, title_of
from .bench import processor
from .protocol import TargetSpec
from .table import target_named


def machine_of(target: TargetSpec) -> str:
    """Processor, cores, device and runtime version; the name of another machine, which tells the rest by itself."""
    if target.machine:
        return target.machine
    parts = [f"{processor()}, {os.cpu_count()} cores", target_named(target.runtime).version()]
    return ", ".join(parts if target.device == CPU else [parts[0], title_of(target.device), parts[1]])

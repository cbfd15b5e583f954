"""Collects the time of each fused block over many profiled runs, in execution order."""

from .bench import BlockTimes
from .protocol import Kernel


class KernelTimes(BlockTimes):
    """Times of blocks by name, which is another for each block of a run."""

    def kernels(self) -> list[Kernel]:
        """Each block once, as the fastest of its runs say."""
        return [Kernel(*one) for one in self.blocks()]

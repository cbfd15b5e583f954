"""A runtime that is a formula: what it would measure of any plan of a chain of layers is known exactly."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from secateur.engine.planning.sample_plans import samples
from secateur.engine.structures.analysis import Analysis, Mask
from secateur.engine.structures.costs import kept_sizes
from secateur.engine.targets.latency_table import LatencySample
from secateur.engine.targets.protocol import Kernel


def padded(size: int, padding: int) -> int:
    return -(-size // padding) * padding


@dataclass(frozen=True)
class Invented:
    """Layer n of a `stack` takes 3 us, and 2 ns a product of its padded widths; profiled it takes 4 us more.

    Attributes:
        analysis: A `stack`.
        padding: What it rounds widths up to.
        likes: A layer with a width that is no multiple of it takes half as long again.
        free: Layers that take no time beyond the 3 us.
        noise: Relative, of whole models.
    """

    analysis: Analysis
    padding: int = 1
    likes: int = 1
    free: frozenset[int] = frozenset()
    noise: float = 0.0

    def layers(self, plan: Mask) -> list[tuple[int, int, float]]:
        """Inputs, outputs and seconds of each layer."""
        kept = kept_sizes(self.analysis, plan)
        fixed = self.analysis.input_shapes[0][1]
        widths = [fixed, *(int(k) for k in kept[:-1]), fixed]
        pairs = [(padded(a, self.padding), padded(b, self.padding)) for a, b in pairwise(widths)]
        each = [2e-9 * a * b * (1.5 if a % self.likes or b % self.likes else 1.0) for a, b in pairs]
        return [(a, b, 3e-6 + (0 if n in self.free else each[n])) for n, (a, b) in enumerate(pairs)]

    def seconds(self, plan: Mask) -> float:
        """Of a run."""
        return sum(seconds for _, _, seconds in self.layers(plan))

    def sample(self, plan: Mask, number: int = 0, slower: float = 1.0) -> LatencySample:
        """As it is measured, on a machine that may be slower just then."""
        kernels: list[Kernel] = []
        for n, (a, b, seconds) in enumerate(self.layers(plan)):
            if n == number % 3 + 1:  # a change of layout that only some models have
                kernels.append(Kernel(f"reorder{number}", "Reorder", ((2, a),), 1e-9))
            kind, sizes = "Free" if n in self.free else "Gemm", ((2, a), (b, a), (2, b))
            taken = slower * (seconds + 4e-6)
            if number % 2:  # here it fuses the layer with what follows, and calls it after the last of them
                kernels.append(Kernel(f"fused block{n}.1/nchwc", kind, sizes, taken))
            else:
                kernels.append(Kernel(f"block{n}.0", kind, sizes, 0.9 * taken))
                kernels.append(Kernel(f"block{n}.1", "Relu", ((2, b), (2, b)), 0.1 * taken))
        off = 1 + self.noise * float(np.random.default_rng(number).normal())
        kept = kept_sizes(self.analysis, plan)
        original = slower * self.seconds(self.analysis.empty())
        return LatencySample(
            kept, slower * off * self.seconds(plan), original, slower * self.seconds(plan), tuple(kernels)
        )

    def samples(self, multiple: int = 8, count: int = 12) -> list[LatencySample]:
        """What a table is made of; in the last third the machine is half as fast."""
        plans = enumerate(samples(self.analysis, multiple, count))
        return [self.sample(plan, n, 1.0 if n < 2 * count / 3 else 2.0) for n, plan in plans]

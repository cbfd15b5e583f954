"""Hard-concrete gates: random numbers from 0 to 1 that are often exactly 0 or 1, and have gradients (Louizos 2018).

A gate is a stretched concrete variable, clamped to 0 and 1; how often it is open follows from its logit. The usual
ways to say how many shall be open are penalties, whose weights small groups of gates overrun and large ones ignore,
and Lagrange multipliers, which can run away. Here the logits of each group are shifted after every step until the
*expected* number of open gates is the wanted one (`HardConcrete.project`).
"""

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import SecateurError

LOWEST, HIGHEST = -0.1, 1.1
"""What the concrete variable is stretched to before it is clamped to 0 and 1."""
SHIFT = log(-LOWEST / HIGHEST)
"""A gate is open with the probability sigmoid(logit - temperature * SHIFT)."""
HALVINGS = 60
"""Of the interval of a shift: to below the rounding of a float64."""
MEAN, SQUARE = 0.9, 0.99
"""Decay of the running means of gradients, and of their squares, at each update."""
FAR = 60.0
"""Logits beyond which a gate is open, or closed, for certain."""
SEEDS = 1_000_003
"""More than a training has steps, so that each has a seed of its own."""


@dataclass(frozen=True, slots=True)
class MaskGroups:
    """Structures that compete for a number of places.

    Attributes:
        structures: [F] numbers of the structures whose gates are learned.
        groups: [F] the group that each belongs to, 0..G.
        keep: [G] how many of each group stay in the end; at least one, and not all.
        decided: [S] gates, 0 or 1, as a plan has them; those of all other structures stay so.
    """

    structures: NDArray[np.int64]
    groups: NDArray[np.int64]
    keep: NDArray[np.int64]
    decided: NDArray[np.float64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """[G] how many structures each group has."""
        return np.bincount(self.groups, minlength=len(self.keep))


class HardConcrete:
    """The gates [S] of a model's structures, those of groups at random.

    Updates are those of Adam (Kingma and Ba 2015) but for one thing: the running mean of squared gradients is that of
    the whole group. With one for each logit, a gate that hardly matters would move as far as its competitor that
    matters much.

    Attributes:
        logits: [F] what is learned; float32, on the CPU.
    """

    def __init__(self, groups: MaskGroups, logits: NDArray[np.float64], seed: int) -> None:
        """Take the groups, their first logits [F], and the seed of what is drawn."""
        self.logits = nn.Parameter(torch.from_numpy(logits).float())
        self._seed = seed
        self._decided = torch.from_numpy(groups.decided).float()
        self._structures = torch.from_numpy(groups.structures)
        self._groups = torch.from_numpy(groups.groups)
        self._keep, self._sizes = torch.from_numpy(groups.keep), torch.from_numpy(groups.sizes)
        self._updates = 0
        self._mean = torch.zeros(len(logits))
        self._square = torch.zeros(len(self._keep))

    def draw(self, step: int, temperature: float) -> Tensor:
        """[S] gates of a step, drawn by the seed and the step alone: a resumed training draws the same."""
        generator = torch.Generator().manual_seed(self._seed * SEEDS + step)
        uniform = torch.rand(len(self.logits), generator=generator).clamp(1e-6, 1 - 1e-6)
        noise = uniform.log() - (-uniform).log1p()
        return self._gates(torch.sigmoid((self.logits + noise) / temperature))

    def median(self, temperature: float) -> Tensor:
        """[S] gates of the middle draw; above 0 where a gate is open more often than not."""
        with torch.no_grad():
            return self._gates(torch.sigmoid(self.logits / temperature))

    def open(self, temperature: float) -> Tensor:
        """[F] the probability that each learned gate is above 0."""
        return torch.sigmoid(self.logits.detach().double() - temperature * SHIFT)

    def expected(self, temperature: float) -> Tensor:
        """[G] how many gates of each group are above 0 on average."""
        return self._sums(self.open(temperature))

    def counts(self, share: float) -> Tensor:
        """[G] how many are to be open when this share, above 0 and up to 1, of those that go have gone."""
        return self._sizes - share * (self._sizes - self._keep).double()

    def update(self, rate: float) -> None:
        """Move the logits by their gradients, those that matter most of a group the furthest; then clear the gradients.

        Raises:
            SecateurError: A gradient is NaN or infinite; no logit was changed.
        """
        gradient, self.logits.grad = self.logits.grad, None
        if gradient is None:
            return
        if not bool(torch.isfinite(gradient).all()):
            template = (
                "Learning masks diverged: gradients of the gates are NaN or infinity. Try a lower learning rate, or a "
                "lower gradient norm."
            )
            raise SecateurError("masks.diverged", template)
        self._updates += 1
        self._mean.lerp_(gradient, 1 - MEAN)
        self._square.lerp_(self._sums(gradient.square()) / self._sizes, 1 - SQUARE)
        mean, square = self._mean / (1 - MEAN**self._updates), self._square / (1 - SQUARE**self._updates)
        with torch.no_grad():
            self.logits.sub_(rate * mean / (square.sqrt() + 1e-12)[self._groups])

    def state_dict(self) -> dict[str, Any]:
        """What it takes to resume; what is drawn depends on the seed and the step."""
        return {
            "logits": self.logits.detach(),
            "mean": self._mean,
            "square": self._square,
            "updates": self._updates,
        }

    def load_state_dict(self, found: dict[str, Any]) -> None:
        """Go on from there."""
        with torch.no_grad():
            self.logits.copy_(found["logits"])
        self._mean, self._square, self._updates = found["mean"], found["square"], int(found["updates"])

    def project(self, share: float, temperature: float) -> None:
        """Shift the logits of each group, all alike, so that the expected number of open gates is `counts(share)`.

        The number grows with the shift, which is found by bisection; no weight of a penalty and no multiplier is
        involved that could run away. Logits stay within `FAR`, beyond which nothing is more certain.
        """
        logits, wanted = self.logits.detach().double() - temperature * SHIFT, self.counts(share)
        reach = float(logits.abs().max()) + FAR if len(logits) else FAR
        low, high = torch.full_like(wanted, -reach), torch.full_like(wanted, reach)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            enough = self._sums(torch.sigmoid(logits + middle[self._groups])) >= wanted
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        with torch.no_grad():
            self.logits.add_(((low + high) / 2)[self._groups].float()).clamp_(-FAR, FAR)

    def _sums(self, values: Tensor) -> Tensor:
        return values.new_zeros(len(self._keep)).index_add(0, self._groups, values)

    def _gates(self, concrete: Tensor) -> Tensor:
        """[S] the gates that concrete variables [F] are stretched and clamped to, among the decided ones."""
        gates = (concrete * (HIGHEST - LOWEST) + LOWEST).clamp(0.0, 1.0)
        return self._decided.index_put((self._structures,), gates)

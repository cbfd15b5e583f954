"""Named domains of text, mixed anew after every evaluation by where the loss lags (Xia et al. 2023). Numpy only.

LLM-Shearing's dynamic batch loading: a domain whose loss is further above its reference than others' is drawn more
often from then on. Which sequence comes next in each domain is a cursor, so that a training that is gone on with draws
what it would have drawn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..jobs import CancelToken, Job
from .protocol import Portion, Split, Task

Floats = NDArray[np.float64]
SMOOTHING = 1e-4
"""Share of the proportions that is equal for all domains, so that none is forgotten."""

UNNAMED = "unnamed"
"""The domain of text to train on whose file names none, where others do."""


def updated_proportions(
    proportions: Floats, losses: Floats, references: Floats, *, clamped: bool = False, smoothing: float = SMOOTHING
) -> Floats:
    """[k] proportions by which domains are drawn next: w <- softmax(log w + loss - reference), then smoothed.

    Args:
        proportions: [k] until now, above 0, with the sum 1.
        losses: [k] of the model, in nats a token; NaN where none was measured.
        references: [k] what they should be; NaN where that is unknown.
        clamped: Losses below their reference count as equal to it, as in the paper; not in its code.
        smoothing: Share c of (1 - c) w + c / k.
    """
    excess = np.nan_to_num(losses - references, nan=0.0, posinf=0.0, neginf=0.0)
    if clamped:
        excess = np.maximum(excess, 0.0)
    logits = np.log(proportions) + excess
    weights = np.exp(logits - logits.max())
    return (1 - smoothing) * weights / weights.sum() + smoothing / len(weights)


@dataclass(frozen=True, slots=True)
class DomainMixture:
    """In which proportions domains are drawn, and how far.

    Attributes:
        names: [k] of the domains.
        proportions: [k] with the sum 1.
        cursors: [k] sequences drawn so far; a domain that has been gone through begins anew in another order.
        references: [k] losses that the proportions are led by, in nats a token; NaN unknown.
        seed: Of the order in each domain.
        passed: Sequences of the present pass that were drawn in earlier proportions.
    """

    names: tuple[str, ...]
    proportions: Floats
    cursors: NDArray[np.int64]
    references: Floats
    seed: int = 0
    passed: int = 0

    def led_by(self, losses: Floats, clamped: bool) -> "DomainMixture":
        """The same with the proportions that follow from losses [k]."""
        return replace(
            self, proportions=updated_proportions(self.proportions, losses, self.references, clamped=clamped)
        )

    def batches(
        self, rows: Sequence[NDArray[np.int64]], count: int, size: int, start: int = 0
    ) -> Iterator[NDArray[np.int64]]:
        """The rows of each batch of a pass; from every domain as near to its proportion as whole sequences are.

        Args:
            rows: [k] the rows of each domain.
            count: Sequences that are drawn.
            size: Of a batch.
            start: How many of them come before the first batch.
        """
        drawn = self._draw_domains(count)
        cursors = self.cursors + np.bincount(drawn[:start], minlength=len(self.names))
        for first in range(start, count, size):
            batch: list[int] = []
            domains: list[int] = drawn[first : first + size].tolist()
            for domain in domains:
                # Every pass over a domain has an order of its own.
                turn, place = divmod(int(cursors[domain]), len(rows[domain]))
                order = _shuffled(len(rows[domain]), (self.seed, domain, turn))
                batch.append(int(rows[domain][order[place]]))
                cursors[domain] += 1
            yield np.array(batch, np.int64)

    def after(self, count: int) -> "DomainMixture":
        """With the cursors behind a pass of so many sequences."""
        return replace(self, cursors=self.cursors + np.bincount(self._draw_domains(count), minlength=len(self.names)))

    def begun(self) -> "DomainMixture":
        """The same at the begin of a pass."""
        return replace(self, passed=0)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, as a checkpoint holds them."""
        return {
            "proportions": self.proportions.tolist(),
            "cursors": self.cursors.tolist(),
            "references": self.references.tolist(),
            "passed": self.passed,
        }

    def restored(self, found: dict[str, Any]) -> "DomainMixture":
        """The same as a checkpoint has it."""
        return replace(
            self,
            proportions=np.array(found["proportions"], np.float64),
            cursors=np.array(found["cursors"], np.int64),
            references=np.array(found["references"], np.float64),
            passed=int(found.get("passed", 0)),
        )

    def _draw_domains(self, count: int) -> NDArray[np.int64]:
        """[count] the domain of each sequence: the one that is furthest behind its proportion."""
        owed, found = np.zeros(len(self.names)), np.empty(count, np.int64)
        for number in range(count):
            owed += self.proportions
            found[number] = chosen = int(owed.argmax())
            owed[chosen] -= 1
        return found


@runtime_checkable
class DomainTask(Task, Protocol):
    """A task that may have domains."""

    def mixture(self) -> DomainMixture | None:
        """The mixture that its data has by itself; None where it names no domains."""
        ...

    def advanced(self, mixture: DomainMixture, batches: int) -> DomainMixture:
        """A mixture behind so many batches of a pass over the train split, all of them where it is over."""
        ...

    def mixed_batches(self, mixture: DomainMixture, start: int = 0, portion: Portion | None = None) -> Iterator[Any]:
        """The batches of a pass over the train split, mixed so, without the first `start`; or a portion of each."""
        ...

    def domain_losses(self, predict: Any, split: Split, token: CancelToken) -> Job[Floats]:
        """[k] the mean loss of each domain in a split, in nats a token; NaN where it has none of it."""
        ...


def mixture_of(names: tuple[str, ...], rows: Sequence[NDArray[np.int64]]) -> DomainMixture:
    """The mixture that data has by itself: domains by the number of their sequences.

    Raises:
        DataError: A domain has no sequence to train on.
    """
    for name, some in zip(names, rows, strict=True):
        if not len(some):
            template = "The domain {name} has no sequence to train on. Add text to it, or choose a shorter length."
            raise DataError("text.empty_domain", template, name=name)
    sizes = np.array([len(some) for some in rows], np.float64)
    unknown = np.full(len(names), np.nan)
    return DomainMixture(names, sizes / sizes.sum(), np.zeros(len(names), np.int64), unknown)


def require_judged(names: tuple[str, ...], rows: Sequence[NDArray[np.int64]]) -> None:
    """Refuse domains without a row [k] in the val split: nothing would lead their shares. Raises DataError."""
    missing = [name for name, some in zip(names, rows, strict=True) if not len(some)]
    if missing:
        files = ", ".join("val.txt" if name == UNNAMED else f"val-{name}.txt" for name in missing)
        template = "Domains are mixed by their losses on the val split, which has no text of some. Add {files}."
        raise DataError("text.unjudged_domain", template, files=files)


def require_losses(names: Sequence[str], given: Sequence[str]) -> None:
    """Refuse losses `given` by domain that are not of these domains, all of them. Raises DataError."""
    unknown = [name for name in given if name not in names]
    if unknown and not names:
        template = (
            "There are reference losses for {domains}, but the data has no domains. Name them in its files, as in "
            "train-wiki.txt and val-wiki.txt, or leave the losses out."
        )
        raise DataError("text.no_domains", template, domains=", ".join(given))
    if unknown:
        template = "The data has no domain {unknown}. Give losses for {domains}."
        raise DataError("text.unknown_domain", template, unknown=", ".join(unknown), domains=", ".join(names))
    if missing := [name for name in names if name not in given]:
        template = "There is no reference loss for {missing}. Give one for each domain."
        raise DataError("text.no_reference", template, missing=", ".join(missing))


@lru_cache(maxsize=64)
def _shuffled(count: int, seed: tuple[int, ...]) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(count)

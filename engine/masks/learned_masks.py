"""Masks that are learned with the weights: from gates that are drawn at random to the structures that stay.

As LLM-Shearing does (Xia et al. 2023), but for any model. In the first part of the training the number of gates that
are open falls to what a plan keeps; until `SETTLING` the logits learn which, at a temperature that falls; then the
structures are chosen, exactly as many as the plan keeps. Gates that stay are multiplied into the weights where they
are in weights alone. What remains of the training closes the others, and opens those of norms, routers and blocks, so
that in the end the model computes what the cut model computes.

A plan says how many structures each coupled set keeps; masks only choose others. Whole blocks compete with blocks of
the same cost. So the result costs what the plan costs, and keeps its constraints.
"""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..planning.isomorphic_classes import held_by_blocks, isomorphic_class, with_their_blocks
from ..planning.protocol import PlanStart
from ..planning.target_shape import reshape_plan
from ..structures.analysis import Analysis, Kind, Mask
from ..structures.costs import costs
from .gates import StructureGates
from .hard_concrete import HardConcrete, MaskGroups
from .learned_gates import GateCount, LearnedGates

FEWER = 0.2
"""Share of the training after which as few gates are open as the plan keeps."""
AT_FIRST = 0.1
"""Share of what goes that is gone when it begins: with all gates open no logit could change anything."""
SETTLING = 0.8
"""Share of the training after which it is chosen what stays."""
WARM, COLD = 2 / 3, 1 / 3
"""Temperatures at the beginning and when it is chosen."""
RATE = 0.2
"""Learning rate of the logits."""
SPREAD = 1.0
"""Logits of the structure with the highest score of a group at first; that of the lowest has its negative."""
UNDECIDED = 0.1
"""A gate is undecided while it is open, and while it is closed, in more than this share of the draws."""


class LearnedMasks:
    """The gates of a model while they are learned.

    Attributes:
        chosen: [S] what goes, once that is chosen; None before.
    """

    def __init__(self, model: nn.Module, start: PlanStart, plan: Mask, seed: int) -> None:
        """Put a gate on every structure.

        Args:
            model: Is trained, and gets the gates that are folded.
            start: What the plan was made from; its scores say which gates are likelier to be open at first.
            plan: [S] how many structures of each set go; which ones is learned.
            seed: Of what is drawn.
        """
        analysis = start.analysis
        self._model, self._gates, self._analysis, self._plan = model, StructureGates(model, analysis), analysis, plan
        self._groups = groups_of(start, plan)
        self._concrete = HardConcrete(self._groups, first_logits(self._groups, start.scores, SPREAD), seed)
        # [K] what the plan keeps of each set.
        self._final = np.array([int((~plan[one.structures]).sum()) for one in analysis.sets], np.int64)
        # [S] kinds.
        self._kinds = np.array([one.kind for one in analysis.sets], np.str_)[analysis.set_numbers()]
        # [S] gates when it was chosen what stays.
        self._last: Tensor = torch.ones(analysis.count)
        self.chosen: Mask | None = None
        self._concrete.project(AT_FIRST, WARM)

    @property
    def _device(self) -> torch.device:
        """Where the model is now: it may move to a device after this was made."""
        return next((one.device for one in self._model.parameters()), torch.device("cpu"))

    @property
    def undecided(self) -> float:
        """Share of the learned gates that are often open and often closed."""
        if self.chosen is not None or not len(self._groups.structures):
            return 0.0
        likely = self._concrete.open(COLD)
        return float(((likely > UNDECIDED) & (likely < 1 - UNDECIDED)).double().mean())

    def gates(self, step: int, steps: int, position: float) -> LearnedGates:
        """How open the gates are after a step, at a position of the training from 0 to 1, for display."""
        groups, kinds = self._groups, self._kinds
        likely, wanted = np.where(self._plan, 0.0, 1.0), np.where(self._plan, 0.0, 1.0)
        if self.chosen is not None:
            likely = wanted = np.where(self.chosen, 0.0, 1.0)
        elif len(groups.structures):
            share, temperature = _course(position)
            likely[groups.structures] = self._concrete.open(temperature).numpy()
            # [G] what a gate of each group is open.
            mean = self._concrete.counts(share).numpy() / groups.sizes
            wanted[groups.structures] = mean[groups.groups]
        undecided = (likely > UNDECIDED) & (likely < 1 - UNDECIDED)
        counts = tuple(
            GateCount(
                kind,
                int(here.sum()),
                float(likely[here].sum()),
                float(wanted[here].sum()),
                int((~self._plan[here]).sum()),
                int(undecided[here].sum()),
            )
            for kind in Kind
            if (kinds[groups.structures] == kind).any()
            for here in (kinds == kind,)
        )
        return LearnedGates(likely.astype(np.float32), self._final, counts, step, steps, self.chosen is not None)

    def applied(self, step: int, position: float) -> AbstractContextManager[None]:
        """Context in which the model runs with the gates of a step, at a position of the training from 0 to 1."""
        if self.chosen is None:
            gates = self._concrete.draw(step, _course(position)[1])
        else:
            # From what the gates were to 0 and 1, evenly, so that at the end the model computes what the cut one does.
            share = min(max((position - SETTLING) / (1 - SETTLING), 0.0), 1.0)
            gates = torch.lerp(self._last, torch.from_numpy(~self.chosen).float(), share)
        return self._gates.applied(gates.to(self._device))

    def step(self, position: float) -> None:
        """Update the logits by their gradients; `position` is how far the training is after the step."""
        if self.chosen is not None:
            return
        self._concrete.update(RATE)
        self._concrete.project(*_course(position))
        if position >= SETTLING:
            self.settle()

    def settle(self) -> None:
        """Choose what stays, and fold its gates into the weights where they are in weights alone."""
        worth = self._concrete.logits.detach().double().numpy()
        self.chosen = plan_by(self._analysis, self._plan, self._groups, worth)
        stays, gates = torch.from_numpy(~self.chosen), self._concrete.median(COLD)
        folded = stays & self._gates.foldable & (gates > 0)
        self._gates.fold(torch.where(folded, gates, 1.0).to(self._device))
        self._last = torch.where(folded, 1.0, gates)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What gets gradients: the logits, until it is chosen what stays."""
        return [self._concrete.logits] if self.chosen is None else []

    def state_dict(self) -> dict[str, Any]:
        """What it takes to resume: tensors and plain numbers."""
        chosen = None if self.chosen is None else torch.from_numpy(self.chosen)
        return {
            "concrete": self._concrete.state_dict(),
            "last": self._last,
            "chosen": chosen,
        }

    def load_state_dict(self, found: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self._concrete.load_state_dict(found["concrete"])
        self._last = found["last"]
        self.chosen = None if found["chosen"] is None else found["chosen"].numpy()


def _course(position: float) -> tuple[float, float]:
    """(share of what goes that has gone, temperature) at a position of the training from 0 to 1."""
    gone = AT_FIRST + (1 - AT_FIRST) * min(position / FEWER, 1.0)
    return gone, WARM + (COLD - WARM) * min(position / SETTLING, 1.0)


def groups_of(start: PlanStart, plan: Mask) -> MaskGroups:
    """The groups of structures whose gates are learned.

    Args:
        start: What the plan was made from; what has no score (NaN) stays as the plan has it.
        plan: [S] a plan that keeps all constraints: what goes, what was gone before included.
    """
    analysis = start.analysis
    free = np.isfinite(start.scores) & ~start.removed & ~with_their_blocks(analysis, start.locked)
    members: list[NDArray[np.int64]] = []
    classes: dict[tuple[object, ...], list[int]] = {}
    for one in analysis.sets:
        if one.kind is Kind.BLOCK:
            classes.setdefault(isomorphic_class(analysis, one), []).append(one.first)
    for blocks in classes.values():
        here = np.array([block for block in blocks if free[block]], np.int64)
        if _leaves_choice(plan, here) and _has_one_cost(analysis, plan, here):
            members.append(here)
    learned = set(np.concatenate([np.zeros(0, np.int64), *members]).tolist())
    # What goes with a block in any case has no gates of its own.
    for block, held in held_by_blocks(analysis).items():
        if plan[block] and block not in learned:
            free[held] = False
    for one in analysis.sets:
        here = one.first + np.flatnonzero(free[one.structures])
        if one.kind is not Kind.BLOCK and _leaves_choice(plan, here):
            members.append(here)
    return MaskGroups(
        np.concatenate([np.zeros(0, np.int64), *members]),
        np.repeat(np.arange(len(members)), [len(here) for here in members]),
        np.array([int((~plan[here]).sum()) for here in members], np.int64),
        (~plan).astype(np.float64),
    )


def plan_by(analysis: Analysis, plan: Mask, groups: MaskGroups, worth: NDArray[np.float64]) -> Mask:
    """[S] the plan with as many structures of each set, those of groups by their worth.

    Args:
        analysis: Of the original model.
        plan: [S] the plan that the groups were made of.
        groups: What may be chosen anew.
        worth: [F] of the structures of groups; the least go.

    Raises:
        PlanError: The choice breaks a constraint.
    """
    scores, learned = np.zeros(analysis.count), analysis.empty()
    scores[groups.structures], learned[groups.structures] = worth, True
    gone, kept = plan & ~learned, dict[int, int]()
    for number, one in enumerate(analysis.sets):
        if one.kind is not Kind.BLOCK:
            kept[number] = int((~plan[one.structures]).sum())
    for number, keep in enumerate(groups.keep.tolist()):
        here = groups.structures[groups.groups == number]
        if analysis.set_of(int(here[0])).kind is Kind.BLOCK:
            gone[here[np.argsort(scores[here], kind="stable")[: len(here) - keep]]] = True
    return reshape_plan(PlanStart(analysis, scores, gone, ~learned), kept)


def first_logits(groups: MaskGroups, scores: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    """[F] logits by rank in each group, from `-spread` to `spread`: what the plan removes first, then by scores [S]."""
    logits = np.zeros(len(groups.structures))
    for number in range(len(groups.keep)):
        places = np.flatnonzero(groups.groups == number)
        structures = groups.structures[places]
        order = np.lexsort((scores[structures], groups.decided[structures]))
        logits[places[order]] = spread * ((2 * np.arange(len(places)) + 1) / len(places) - 1)
    return logits


def _leaves_choice(plan: Mask, here: NDArray[np.int64]) -> bool:
    """Whether some of these go, and some stay."""
    return 0 < int(plan[here].sum()) < len(here)


def _has_one_cost(analysis: Analysis, plan: Mask, blocks: NDArray[np.int64]) -> bool:
    """Whether a plan costs the same whichever of these blocks go."""
    found = set[tuple[int, int]]()
    for block in blocks.tolist():
        tried = plan.copy()
        tried[blocks] = False
        tried[block] = True
        total = costs(analysis, tried)
        found.add((total.parameters, total.macs))
    return len(found) == 1

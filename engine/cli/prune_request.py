"""What is asked of a pruning, from the arguments: the goal, and how it is reached."""

import argparse
from dataclasses import dataclass, replace
from typing import Any

from ..distributed import group
from ..planning.protocol import KINDS_WITH_BLOCKS, MULTIPLE, Choose, Cost, Goal, Limit
from ..planning.scope import touching
from ..recovery.protocol import RecoverySettings, Repair, require_possible, require_whole
from ..scoring.criteria import CRITERIA, ranked
from ..scoring.score_options import Choices
from ..storage.serialization import to_plain
from ..structures.analysis import Analysis, Kind, identities
from ..workflows.prune import PruneSettings
from .latency_text import USUAL, target_of
from .settings import given_settings, read_settings

HALF = Limit(Cost.MACS, 0.5)
"""What is kept at most where no cost is limited."""
DEFAULT = PruneSettings(Goal((HALF,), multiple=MULTIPLE, finer=True), "", RecoverySettings())
"""The way to half of the MACs, by the best criterion that is possible."""

SERVED = {str(Kind.NEURON): 128}
"""Multiples that serving likes, for uniform layers: of the width of feed-forward layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRequest:
    """What is asked of a pruning.

    Attributes:
        settings: The way to the goal; no criterion ("") for the best that is possible. Its recovery is for where there
            is data; epochs, seed and threads are not in it, and the locks are not.
        epochs: Of fine-tuning in each round; None for the default where there is data; 0 for none.
        threads: Of fine-tuning, 0 for the default.
        loss: Of the metric that may be lost; 0 where the goal says how much goes.
        lowered: The cost that is made as low as that loss allows.
        locks: Modules that stay as they are: paths or patterns.
    """

    settings: PruneSettings = DEFAULT
    epochs: int | None = None
    threads: int = 0
    loss: float = 0.0
    lowered: Cost = Cost.MACS
    locks: tuple[str, ...] = ()

    @property
    def goal(self) -> Goal:
        """What to reach."""
        return self.settings.goal

    def settings_by(self, criterion: str, data: bool) -> PruneSettings:
        """The way to the goal by a criterion, but for the locks; recovers where there is data."""
        recovery = self.settings.recovery or RecoverySettings()
        epochs = recovery.epochs if self.epochs is None else self.epochs
        training = replace(recovery, epochs=epochs, seed=self.settings.seed, threads=self.threads)
        wanted = data and (training.trains or training.repairs is not Repair.NONE)
        return replace(self.settings, criterion=criterion, recovery=training if wanted else None)

    def settings_on(self, analysis: Analysis, criterion: str, data: bool) -> PruneSettings:
        """The way to the goal on a model. Raises PlanError for locks on what is not there."""
        locked = identities(analysis, touching(analysis, self.locks))
        settings = self.settings_by(criterion, data)
        return replace(settings, locked=locked, goal=ranked(settings.goal, criterion))

    def at_multiple(self, multiple: int) -> "PruneRequest":
        """The same with kept widths that are multiples of another number."""
        return replace(self, settings=replace(self.settings, goal=replace(self.goal, multiple=multiple, finer=False)))

    def as_json(self) -> dict[str, Any]:
        """The same for `--json`: the settings, and beside them what is asked for apart."""
        plain = to_plain(self)
        settings = plain.pop("settings")
        share = next((limit.share for limit in self.goal.limits if limit.cost is Cost.MACS), None)
        return settings | plain | {"keep_macs": share, "multiple": self.goal.multiple}


def request_from(arguments: argparse.Namespace, limits: tuple[Limit, ...]) -> PruneRequest:
    """What the arguments ask for, with these limits; raises SecateurError for a training that cannot be."""
    loss = getattr(arguments, "max_loss", None) or 0.0
    timed = any(limit.cost is Cost.LATENCY for limit in limits)
    fastest = bool(loss and (arguments.runtime or arguments.over_ssh) and not timed)
    goal = _goal(arguments, limits)
    goal = replace(goal, target=target_of(arguments) if timed or fastest else None)
    settings = read_settings(
        PruneSettings,
        arguments,
        goal=goal,
        criterion=arguments.criterion or "",
        recovery=_recovery(arguments),
        seed=arguments.seed,
        locked={},
        choices=read_settings(Choices, arguments),
    )
    if settings.choose is Choose.MASKS and settings.recovery is not None:
        require_whole(settings.recovery, group().place.size)
    return PruneRequest(
        settings=settings,
        epochs=0 if arguments.no_recover else arguments.epochs,
        threads=arguments.threads or 0,
        loss=loss,
        lowered=Cost.LATENCY if fastest else Cost.MACS,
        locks=tuple(arguments.lock or ()),
    )


def _recovery(arguments: argparse.Namespace) -> RecoverySettings:
    """What to train with, and how to repair: `--no-recover` leaves nothing but a repair that was named.

    Raises:
        SecateurError: No training can have these settings.
    """
    usual = RecoverySettings()
    found = read_settings(RecoverySettings, arguments, epochs=usual.epochs, seed=usual.seed, threads=usual.threads)
    require_possible(found)
    return replace(found, repair=Repair.NONE) if arguments.no_recover and found.repair is Repair.AUTO else found


def limits_of(arguments: argparse.Namespace) -> tuple[Limit, ...]:
    """The costs that the arguments limit; half of the MACs where they limit neither a cost, a kind nor the loss."""
    asked = given_settings(Goal, arguments)
    return asked.get("limits", ()) or (() if arguments.max_loss or asked.get("kept") or asked.get("shape") else (HALF,))


def kinds_of(arguments: argparse.Namespace) -> tuple[Kind, ...]:
    """Kinds that the criterion rates, or () for the default."""
    only = CRITERIA[arguments.criterion].kinds if arguments.criterion else ()
    return tuple(only) or (KINDS_WITH_BLOCKS if arguments.depth else ())


def _goal(arguments: argparse.Namespace, limits: tuple[Limit, ...]) -> Goal:
    multiple = arguments.multiple or USUAL
    finer = not arguments.multiple
    goal = read_settings(Goal, arguments, limits=limits, multiple=multiple, finer=finer, kinds=kinds_of(arguments))
    return replace(goal, multiples=SERVED | goal.multiples) if arguments.uniform else goal

"""What is asked of a pruning, from the arguments: the goal, and how it is reached."""

import argparse
from dataclasses import dataclass, field, replace

from ..planning.goal import touching
from ..planning.isomorphic_classes import DEEP
from ..planning.protocol import Cost, Goal, Limit, Ranking
from ..recovery.protocol import RecoverySettings, Repair, require_possible
from ..scoring.criteria import CRITERIA
from ..scoring.score_options import Choices
from ..structures.analysis import Analysis, Kind, identities
from ..workflows.prune import PruneSettings
from .latency_text import USUAL, target_of
from .settings import read_settings

HALF = Limit(Cost.MACS, 0.5)
"""What is kept at most where no cost is limited."""
DEFAULT = Goal((HALF,), multiple=16)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a pruning.

    Attributes:
        goal: What to reach.
        criterion: What rates structures, "" for the best that is possible.
        epochs: Of fine-tuning in each round; None for the default where there is data; 0 for none.
        rounds: How often to score, cut and recover.
        seed: Of what is random.
        threads: Of fine-tuning, 0 for the default.
        recovery: How it is recovered, but for epochs, seed and threads.
        choices: About the scores.
        loss: Of the metric that may be lost; 0 where the goal says how much goes.
        lowered: The cost that is made as low as that loss allows.
        locks: Modules that stay as they are: paths or patterns.
    """

    goal: Goal = DEFAULT
    criterion: str = ""
    epochs: int | None = None
    rounds: int = 1
    seed: int = 0
    threads: int = 0
    recovery: RecoverySettings = field(default_factory=RecoverySettings)
    choices: Choices = field(default_factory=Choices)
    loss: float = 0.0
    lowered: Cost = Cost.MACS
    locks: tuple[str, ...] = ()

    @property
    def keep_macs(self) -> float | None:
        """Share of the MACs to keep, None where that is not limited."""
        return next((limit.share for limit in self.goal.limits if limit.cost is Cost.MACS), None)

    def settings(self, criterion: str, data: bool) -> PruneSettings:
        """The way to the goal by a criterion, but for the locks; recovers where there is data."""
        epochs = self.recovery.epochs if self.epochs is None else self.epochs
        training = replace(self.recovery, epochs=epochs, seed=self.seed, threads=self.threads)
        wanted = data and (epochs > 0 or training.repair is not Repair.NONE)
        recovery = training if wanted else None
        return PruneSettings(self.goal, criterion, recovery, self.rounds, self.seed, choices=self.choices)

    def settings_on(self, analysis: Analysis, criterion: str, data: bool) -> PruneSettings:
        """The way to the goal on a model. Raises PlanError for locks on what is not there."""
        locked = identities(analysis, touching(analysis, self.locks))
        return replace(self.settings(criterion, data), locked=locked)


def asked_of(arguments: argparse.Namespace, limits: tuple[Limit, ...]) -> Asked:
    """What the arguments ask for, with these limits; raises SecateurError for a training that cannot be."""
    epochs = 0 if arguments.no_recover else arguments.epochs
    criterion, threads = arguments.criterion or "", arguments.threads or 0
    loss = getattr(arguments, "max_loss", None) or 0.0
    timed = any(limit.cost is Cost.LATENCY for limit in limits)
    fastest = bool(loss and arguments.runtime and not timed)
    goal, rounds = _goal(arguments, limits), arguments.rounds
    goal = replace(goal, target=target_of(arguments) if timed or fastest else None)
    recovery, choices = _recovery(arguments), read_settings(Choices, arguments)
    asked = Asked(goal, criterion, epochs, rounds, arguments.seed, threads, recovery, choices)
    lowered, locks = Cost.LATENCY if fastest else Cost.MACS, tuple(arguments.lock or ())
    return replace(asked, loss=loss, lowered=lowered, locks=locks)


def _recovery(arguments: argparse.Namespace) -> RecoverySettings:
    """What to train with; raises SecateurError at once for what no training can have."""
    usual = RecoverySettings()
    settings = read_settings(RecoverySettings, arguments, epochs=usual.epochs, seed=usual.seed, threads=usual.threads)
    require_possible(settings)
    return settings


def limits_of(arguments: argparse.Namespace) -> tuple[Limit, ...]:
    """The costs that the arguments limit; half of the MACs where they limit neither a cost nor the loss."""
    asked: dict[Cost, float | int | None] = {
        Cost.MACS: arguments.keep_macs,
        Cost.PARAMETERS: arguments.keep_params,
        Cost.SIZE: arguments.max_size,
        Cost.PEAK: arguments.max_memory,
        Cost.LATENCY: arguments.max_latency,
    }
    given = [(cost, value) for cost, value in asked.items() if value is not None]
    limits = (Limit(cost, amount=n) if isinstance(n, int) else Limit(cost, n) for cost, n in given)
    return tuple(limits) or (() if arguments.max_loss else (HALF,))


def kinds_of(arguments: argparse.Namespace) -> tuple[Kind, ...]:
    """Kinds that the criterion rates, or () for the default."""
    only = CRITERIA[arguments.criterion].kinds if arguments.criterion else ()
    return tuple(only) or (DEEP if arguments.depth else ())


def _goal(arguments: argparse.Namespace, limits: tuple[Limit, ...]) -> Goal:
    least = arguments.min_keep
    whole = isinstance(least, int)
    return Goal(
        limits,
        scope=tuple(arguments.scope or ()),
        least=least if whole else 1,
        least_share=0.0 if whole else least,
        multiple=arguments.multiple or USUAL,
        multiples=dict(arguments.multiple_of or ()),
        kinds=kinds_of(arguments),
        dtype=arguments.size_as,
        ranking=Ranking(arguments.ranking),
    )

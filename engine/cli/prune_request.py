"""What is asked of a pruning, from the arguments: the goal, and how it is reached."""

import argparse
from dataclasses import replace
from typing import Any

from ..distributed import group
from ..planning.protocol import KINDS_WITH_BLOCKS, MULTIPLE, Choose, Cost, Goal, Limit, QualityLimits
from ..recovery.protocol import RecoverySettings, Repair, require_possible, require_whole
from ..scoring.criteria import CRITERIA
from ..scoring.score_options import Choices
from ..storage.serialization import to_plain
from ..structures.analysis import Kind
from ..workflows.prune import PruneRequest
from .latency_text import USUAL, target_of
from .settings import given_settings, read_settings

HALF = Limit(Cost.MACS, 0.5)
"""What is kept at most where no cost is limited."""
DEFAULT = PruneRequest(Goal((HALF,), multiple=MULTIPLE, finer=True), recovery=RecoverySettings())
"""The way to half of the MACs, by the best criterion that is possible."""

SERVED = {str(Kind.NEURON): 128}
"""Multiples that serving likes, for uniform layers: of the width of feed-forward layers."""


def request_from(arguments: argparse.Namespace, limits: tuple[Limit, ...] | None = None) -> PruneRequest:
    """What the arguments ask for; raises SecateurError for a training that cannot be.

    Args:
        arguments: Parsed.
        limits: The costs that are limited, None for those of the arguments, or half of the MACs where they limit
            neither a cost, a kind nor the loss.
    """
    given = given_settings(Goal, arguments)
    if limits is None:
        without = arguments.max_loss or given.get("kept") or given.get("shape")
        limits = tuple[Limit, ...](given.get("limits", ()) or (() if without else (HALF,)))
    loss = getattr(arguments, "max_loss", None) or 0.0
    timed = any(limit.cost is Cost.LATENCY for limit in limits)
    # A named runtime with a tolerated loss, and no limit of the latency, asks for the fastest model there.
    fastest = bool(loss and (arguments.runtime or arguments.over_ssh) and not timed)
    given |= {"multiple": arguments.multiple or USUAL, "finer": not arguments.multiple}
    given |= {"limits": limits, "kinds": kinds_of(arguments)}
    goal = Goal(**given, target=target_of(arguments) if timed or fastest else None)
    goal = replace(goal, multiples=SERVED | goal.multiples) if arguments.uniform else goal
    usual = RecoverySettings()
    recovery = read_settings(RecoverySettings, arguments, epochs=usual.epochs, seed=usual.seed, threads=usual.threads)
    require_possible(recovery)
    # Every process needs a whole copy to learn masks on, which is known before anything is opened.
    if arguments.choose == Choose.MASKS:
        require_whole(recovery, group().place.size)
    epochs = 0 if arguments.no_recover else usual.epochs if arguments.epochs is None else arguments.epochs
    recovery = replace(recovery, epochs=epochs, seed=arguments.seed, threads=arguments.threads or 0)
    # Nothing is left but a repair that was named.
    if arguments.no_recover and recovery.repair is Repair.AUTO:
        recovery = replace(recovery, repair=Repair.NONE)
    return read_settings(
        PruneRequest,
        arguments,
        goal=goal,
        criterion=arguments.criterion or "",
        recovery=recovery if recovery.trains or recovery.repairs is not Repair.NONE else None,
        seed=arguments.seed,
        lock=tuple(arguments.lock or ()),
        choices=read_settings(Choices, arguments),
        lose=loss or None,
        quality=read_settings(QualityLimits, arguments),
        lowered=Cost.LATENCY if fastest else Cost.MACS,
    )


def request_as_json(arguments: argparse.Namespace, asked: PruneRequest, decided: PruneRequest) -> dict[str, Any]:
    """What was asked for, for `--json`: the request, and what scripts of earlier versions read under other names."""
    # As it was asked, but for the multiple that was measured to pay.
    goal = replace(asked.goal, multiple=decided.goal.multiple, finer=decided.goal.finer)
    request = replace(asked, goal=goal)
    share = next((limit.share for limit in request.goal.limits if limit.cost is Cost.MACS), None)
    return to_plain(request) | {
        "epochs": 0 if arguments.no_recover else arguments.epochs,
        "threads": arguments.threads or 0,
        "loss": request.lose or 0.0,
        "locks": list(request.lock),
        "keep_macs": share,
        "multiple": request.goal.multiple,
    }


def kinds_of(arguments: argparse.Namespace) -> tuple[Kind, ...]:
    """Kinds that the criterion rates, or () for the default."""
    only = CRITERIA[arguments.criterion].kinds if arguments.criterion else ()
    return tuple(only) or (KINDS_WITH_BLOCKS if arguments.depth else ())

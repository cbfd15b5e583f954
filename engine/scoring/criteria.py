"""The table of criteria, their cost and availability, and the function that scores by any of them."""

from collections.abc import Callable, Generator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from traceback import format_exc
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..distributed import ALONE, Group
from ..errors import Message, SecateurError, TaskError
from ..inference.batch_parts import PassLimit, in_fitting_parts
from ..inference.model_inputs import Inputs
from ..jobs import CancelToken, Job, NeverCancelled
from ..machine.devices import CPU, device_for, placed
from ..messages import title
from ..planning.protocol import Goal, Ranking
from ..planning.share_exchange import ShareExchange
from ..structures.analysis import Analysis, Mask
from ..structures.transition import KeptIndices
from ..tasks.protocol import Split, Task, TaskInfo
from .ablation import ABLATION
from .aggregate import fill_blocks, normalise
from .batchnorm import BATCHNORM
from .block_influence import INFLUENCE
from .fisher import FISHER
from .flap import FLUCTUATION
from .gates import GATES
from .geometric_median import GEOMETRIC_MEDIAN
from .l1 import L1
from .l2 import L2
from .lamp import LAMP
from .protocol import Criterion, Needs, PassCost, RatedModel, ScoringContext, finished_scores, no_loss
from .random_draw import RANDOM
from .score_options import Choices, Combine, Slices
from .share_search import SearchedPlan, search_shares
from .structured_obs import STRUCTURED_OBS
from .taylor import TAYLOR
from .wanda import WANDA
from .weight_slices import WeightSlices, factors_of, slices_of
from .weights import further_uses, parameters_of

CRITERIA: dict[str, Criterion] = {
    one.name: one
    for one in (
        L1, L2, STRUCTURED_OBS, TAYLOR, GATES, FISHER, BATCHNORM, WANDA, FLUCTUATION, GEOMETRIC_MEDIAN, LAMP,
        INFLUENCE, ABLATION, RANDOM,
    )
}  # fmt: skip
"""To add a criterion: a file beside `l1.py`, and its value here."""
DEFAULTS = ("taylor", "l1")
"""What rates structures by default: the first of these that is available."""
FIRST = DEFAULTS[-1]
"""What rates structures until the scores of a criterion that needs data are there: it reads the weights alone."""
REPAIRED = ("obs", *DEFAULTS)
"""The same where what is chosen counts on a repair by least squares."""


Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class CriterionOffer:
    """A criterion, as far as a model and its task allow it.

    Attributes:
        criterion: The rule.
        cost: What it costs.
        reason: Why it is not available, None where it is.
    """

    criterion: Criterion
    cost: PassCost
    reason: Message | None


def offers(
    analysis: Analysis, removed: Mask, task: TaskInfo | None, choices: Choices | None = None
) -> tuple[CriterionOffer, ...]:
    """All criteria, each with what it costs and why it is not available; needs neither model nor data."""
    context, choices = context_of(analysis, removed, task), choices or Choices()
    return tuple(
        CriterionOffer(one, one.cost(context, choices), unavailable(one, context)) for one in CRITERIA.values()
    )


def context_of(analysis: Analysis, removed: Mask, task: TaskInfo | None) -> ScoringContext:
    """What is known of a model and what an attached task shows."""
    if task is None:
        return ScoringContext(analysis, removed)
    # A task may only evaluate.
    given = task.batches if task.batches or task.samples else None
    return ScoringContext(analysis, removed, given, task.batch, task.loss)


def unavailable(rule: Criterion, context: ScoringContext) -> Message | None:
    """Why a criterion is not available, None where it is."""
    if rule.needs_data and context.batches is None:
        template = "{title} needs data. Attach data, or choose L1 or L2."
        return Message("scoring.no_task", template, {"title": title(rule.title)})
    if rule.needs is Needs.LOSS and not context.loss:
        return no_loss(title(rule.title))
    return rule.missing(context)


def default_criterion(analysis: Analysis, removed: Mask, task: TaskInfo | None, repaired: bool = False) -> str:
    """What rates structures by default: the best that the task allows.

    Args:
        analysis: Of the original model.
        removed: [S] what the model no longer has.
        task: What data there is; None for none.
        repaired: The choice counts on a repair by least squares (`RecoverySettings.counts_on_repair`).
    """
    return best_criterion(context_of(analysis, removed, task), repaired)


def search_helps(criterion: str, task: TaskInfo | None, repaired: bool) -> bool:
    """Whether a search of shares is worth its time by default: in our benchmarks it was so on text.

    Args:
        criterion: What the plan is by.
        task: What data there is; None for none.
        repaired: The choice counts on a repair by least squares (`RecoverySettings.counts_on_repair`).
    """
    return task is not None and task.tokens > 0 and repaired and criterion == REPAIRED[0]


def best_criterion(context: ScoringContext, repaired: bool = False) -> str:
    """The same where it is known what there is."""
    names = REPAIRED if repaired else DEFAULTS
    return next((name for name in names if unavailable(CRITERIA[name], context) is None), names[-1])


def ranked(goal: Goal, criterion: str) -> Goal:
    """A goal that says what competes by the scores of a criterion, as they compare where it did not say so itself."""
    return replace(goal, ranking=CRITERIA[criterion].ranking) if goal.ranking is Ranking.AUTO else goal


def score(
    model: Any,
    analysis: Analysis,
    removed: Mask,
    criterion: str,
    task: Task | None = None,
    *,
    choices: Choices | None = None,
    seed: int = 0,
    kept_before: KeptIndices | None = None,
    known: MutableMapping[int, float] | None = None,
    device: str = CPU,
    limit: PassLimit | None = None,
    group: Group = ALONE,
    remarks: list[Message] | None = None,
    token: CancelToken | None = None,
) -> Job[NDArray[np.float64]]:
    """Rate all structures of a model; the model is left exactly as it was, also when cancelled or when it raises.

    `Progress.so_far` are `PartialScores` on the way, where the criterion tells any.

    Args:
        model: A `torch.nn.Module` from which `removed` is already cut.
        analysis: Of the original model.
        removed: [S] what the model no longer has.
        criterion: A key of `CRITERIA`.
        task: Gives the data and the loss for criteria that need them.
        choices: How slices are combined, which count, how scores are normalised; the criterion's own where not said.
        seed: Of what is random: the order of the data, draws, samples.
        kept_before: `analysis.kept_indices(removed)`, where the caller has it.
        known: What ablation has measured before, of this model, task and choices; it adds to it.
        device: Where the model runs on data; scores of weights alone are computed on the CPU.
        limit: How many samples run at a time there, kept from one score to the next; None to find out.
        group: The processes that rate the same model by the same arguments, each its part; for a criterion that is
            `parallel`.
        remarks: Gets what a person should know of the scores; None to drop it.
        token: Cancels the job.

    Returns:
        [S] scores in original coordinates, higher is more important. NaN for what is removed, and for what has no
        weights that count; a block gets the mean of what it holds, unless the criterion rates blocks.
    """
    choices = choices or Choices()
    rule = CRITERIA.get(criterion)
    if rule is None:
        template = "Unknown criterion {name}. Choose one of {known}."
        raise TaskError("scoring.unknown", template, name=criterion, known=", ".join(CRITERIA))
    if choices.combine is not None and rule.combine is None:
        template = "{title} has no setting for how weights are combined. Leave it out."
        raise TaskError("scoring.no_combine", template, title=title(rule.title))
    if choices.slices is not None and rule.slices is None:
        template = "{title} has no setting for slices. Leave it out."
        raise TaskError("scoring.no_slices", template, title=title(rule.title))
    # Refused by what the criterion needs, before the model is copied or moved.
    reason = unavailable(rule, ScoringContext(analysis, removed, None if task is None else {}))
    if reason is not None:
        raise TaskError.saying(reason)
    token = token or NeverCancelled()

    def finish(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        # Blocks first: their mean is of raw scores, which a normalisation by set would make alike.
        filled = fill_blocks(analysis, np.where(removed, np.nan, scores))
        return np.where(removed, np.nan, normalise(analysis, filled, choices.normalise or rule.normalise))

    def rate(rated: RatedModel) -> Job[NDArray[np.float64]]:
        rated = rated if remarks is None else replace(rated, remarks=remarks)
        return finished_scores(rule.rate(rated, token), finish)

    kept = analysis.kept_indices(removed) if kept_before is None else kept_before
    job = use_rated(model, analysis, removed, rule, task, choices, seed, rate, device, limit, kept, group, known)
    return (yield from job)


def search(
    model: Any,
    analysis: Analysis,
    removed: Mask,
    task: Task,
    exchange: ShareExchange,
    plan: Mask,
    *,
    text: bool,
    measurements: int = 0,
    seed: int = 0,
    device: str = CPU,
    limit: PassLimit | None = None,
    token: CancelToken | None = None,
) -> Job[SearchedPlan]:
    """Move shares between the coupled sets of a plan while the outputs come nearer to the original's.

    The model is left exactly as it was, also when cancelled or when it raises; `Progress.made` is the best plan so far.

    Args:
        model: A `torch.nn.Module` from which `removed` is already cut.
        analysis: Of the original model.
        removed: [S] what the model no longer has.
        task: Gives the data.
        exchange: What sets can give each other.
        plan: [S] to begin with.
        text: The data is text.
        measurements: Plans to measure at most, 0 for as many as fit into the time of one recovery epoch.
        seed: Of what is random: the order of the data, draws.
        device: Where the model runs.
        limit: How many samples run at a time there, kept from one job to the next; None to find out.
        token: Cancels the job.

    Raises:
        TaskError: The moments of all layers do not fit into memory.
    """
    token = token or NeverCancelled()

    def search_rated(rated: RatedModel) -> Job[SearchedPlan]:
        return search_shares(rated, exchange, plan, text, measurements, token)

    rule, kept = STRUCTURED_OBS, analysis.kept_indices(removed)
    job = use_rated(model, analysis, removed, rule, task, Choices(), seed, search_rated, device, limit, kept)
    return (yield from job)


def use_rated(
    model: Any,
    analysis: Analysis,
    removed: Mask,
    rule: Criterion,
    task: Task | None,
    choices: Choices,
    seed: int,
    use: Callable[[RatedModel], Job[Found]],
    device: str,
    limit: PassLimit | None,
    kept: KeptIndices,
    group: Group = ALONE,
    known: MutableMapping[int, float] | None = None,
) -> Job[Found]:
    """A job on a model as a criterion rates it; the model is left exactly as it was."""
    slices = slices_of(analysis, kept, choices.slices or rule.slices or Slices.CONSUMERS)
    combine = choices.combine or rule.combine or Combine.SUM
    place = CPU
    if rule.needs_data:
        place = yield from device_for(device, model, scored=True, watched=rule.watches)
    with placed(place, model), _eval_with_gradients(model), np.errstate(invalid="ignore"):
        parameters = parameters_of(model, analysis, kept)
        parameters |= further_uses(parameters, slices, rule.needs_data)
        made = _running_weights(model, analysis, parameters, slices) if rule.reads_weights else {}
        # A limit found on another device says nothing of this one.
        limit = PassLimit() if limit is None or place != device else limit
        limit.begin(place)
        known = {} if known is None else known
        rated = RatedModel(
            model, analysis, removed, kept, parameters, slices, combine, task, choices, seed, known, made, group, limit
        )

        def inputs() -> Inputs | None:
            """The model's inputs in the first calibration batch."""
            batch: Any = None if task is None else next(iter(task.batches(Split.TRAIN)), None)
            return None if task is None or batch is None else task.inputs(batch)

        try:
            # Several processes start over together or not at all.
            if not rule.needs_data or not group.is_alone:
                return (yield from use(rated))
            return (yield from in_fitting_parts(partial(use, rated), model, inputs, limit))
        except (SecateurError, GeneratorExit):
            raise
        except Exception as error:
            template = "The model failed on the calibration samples: {error}"
            shown = f"{type(error).__name__}: {error}"
            raise TaskError("scoring.failed", template, details=format_exc(), error=shown) from error


def _running_weights(
    model: Any, analysis: Analysis, parameters: dict[str, Any], slices: WeightSlices
) -> dict[str, Any]:
    """The weights that run where layers make them; raises where a factor counts and what is made of it is not seen."""
    from .reparametrised_weights import running_weights

    made = running_weights(model, parameters)
    counting = {one.tensor for one in slices.slices}
    for weight, group in factors_of(analysis.tensors).items():
        if any(analysis.tensors[n].name in counting and analysis.tensors[n].name not in made for n in group):
            raise TaskError(
                "scoring.factors",
                "{weight} is computed from other parameters in a way that cannot be followed, so it cannot be scored. "
                "Make it one parameter first (remove_parametrizations), or choose measured ablation.",
                weight=weight,
            )
    return made


@contextmanager
def _eval_with_gradients(model: Any) -> Generator[None]:
    """Eval mode and gradients for all parameters inside; the model as it was afterwards."""
    from ..tracing.isolated_forward import uncompiled
    from ..tracing.model_state import model_state_restored

    with uncompiled(), model_state_restored(model):
        model.eval()
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        yield

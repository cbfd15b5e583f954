"""How much the metric falls as each coupled set of a state loses structures; what was measured once stays measured."""

from ..jobs import CancelToken, Job, NeverCancelled, spanning
from ..planning.protocol import Goal
from ..scoring.score_options import Choices
from ..sensitivity.measure import TrialModel, sensitivity
from ..sensitivity.protocol import SHARES, Sensitivity, sets_of
from ..session.measurement_cache import Stored, points_of
from ..session.session import Session
from ..tasks.protocol import Metric

NEVER = NeverCancelled()
SCORED = 0.03
"""About what share of the time the scores take, where they are not known yet."""


def measure_sensitivity(
    session: Session,
    state: str,
    criterion: str,
    shares: tuple[float, ...] = SHARES,
    goal: Goal | None = None,
    choices: Choices | None = None,
    seed: int = 0,
    token: CancelToken = NEVER,
) -> Job[Sensitivity]:
    """The metric against the removed share of each coupled set; what was measured once is not measured again.

    Args:
        session: Of the state; keeps what is measured.
        state: What is cut on trial.
        criterion: What says which structures of a set go first.
        shares: Of what remains of a set.
        goal: Its scope and kinds say which sets, None for all of `DEFAULT_KINDS`.
        choices: About the scores.
        seed: Of what is random in them.
        token: Cancels; what was measured is kept.
    """
    one, task = session.history.state(state), session.task
    scores = yield from spanning(session.score(state, criterion, choices, seed, token), 0.0, SCORED)
    removed = session.removed(state)
    subject = TrialModel(
        model=session.model(state),
        analysis=session.analysis,
        removed=removed,
        edits=one.edits,
        inputs=session.prepared.inputs,
        task=task,
        scores=scores,
        criterion=criterion,
        device=session.device,
        limit=session.passes,
    )
    file = points_of(session.location.cache / "sensitivity", one, session.loaded, task.spec)
    numbers = sets_of(session.analysis, removed, goal or Goal(()))
    job = sensitivity(subject, numbers, shares, Stored(file, Metric), token)
    return (yield from spanning(job, SCORED, 1.0))

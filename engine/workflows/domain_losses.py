"""Measures what a model loses in each domain of text, as reference losses for other models take it."""

from typing import TYPE_CHECKING

from ..batch_parts import PassLimit
from ..errors import TaskError
from ..jobs import CancelToken, Job, NeverCancelled
from ..recovery.reference_losses import ReferenceLosses
from ..tasks.domain_mixture import DomainTask
from ..tasks.evaluate_on import fitting_domain_losses
from ..tasks.protocol import Split

if TYPE_CHECKING:
    from ..session.session import Session  # brings torch

NEVER = NeverCancelled()


def domain_losses(session: "Session", state: str, token: CancelToken = NEVER) -> Job[ReferenceLosses]:
    """What a state loses in each domain on the val split, with its number of parameters.

    Raises:
        TaskError: The data names no domains.
        DataError: A domain has no sequence to train on or to be judged by.
    """
    task = session.task if session.has_task else None
    mixture = task.mixture() if isinstance(task, DomainTask) else None
    if mixture is None or not isinstance(task, DomainTask):
        template = "The data names no domains. Give text whose files do, such as train-wiki.txt and val-wiki.txt."
        raise TaskError("domains.none", template)
    with session.running(state) as model:
        limit = PassLimit(device=session.device)
        losses = yield from fitting_domain_losses(task, model, Split.VAL, token, limit)
    pairs = zip(mixture.names, losses.tolist(), strict=True)
    return ReferenceLosses(tuple(pairs), session.history.state(state).parameters)

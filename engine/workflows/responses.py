"""What the structures of a state do on the session's data: those of a layer in full, those of all in two numbers."""

from ..inspection.activity import measure_activity
from ..inspection.response_data import LayerResponses, ModelActivity
from ..inspection.responses import SAMPLES, measure_responses
from ..jobs import CancelToken, Job, NeverCancelled
from ..session.session import Session

NEVER = NeverCancelled()


def read_responses(
    session: Session, state: str, key: str, module: str, samples: int = SAMPLES, token: CancelToken = NEVER
) -> Job[LayerResponses]:
    """What the structures of a coupled set do on samples of the train split; the first ones are shown on the way.

    Args:
        session: With data attached.
        state: Whose model runs.
        key: Of the set.
        module: Which of the layers that the set couples.
        samples: How many to look at, at most.
        token: Cancels.

    Raises:
        TaskError: There is no such set in the state, or nothing can be seen of it.
    """
    info = session.loaded.info
    return (
        yield from measure_responses(
            session.model(state),
            session.analysis,
            session.removed(state),
            key,
            module,
            session.task,
            classes=() if info is None else info.classes,
            samples=samples,
            device=session.device,
            limit=session.passes,
            token=token,
        )
    )


def read_activity(session: Session, state: str, token: CancelToken = NEVER) -> Job[ModelActivity]:
    """How active all structures of a state are on samples of the train split, and how redundant.

    Args:
        session: With data attached.
        state: Whose model runs.
        token: Cancels.

    Raises:
        TaskError: There is no data, or a layer computes NaN.
    """
    return (
        yield from measure_activity(
            session.model(state),
            session.analysis,
            session.removed(state),
            session.task,
            device=session.device,
            limit=session.passes,
            token=token,
        )
    )

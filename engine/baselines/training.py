"""Trains a baseline with the recovery settings of the state that it is compared with. Loads torch."""

from typing import Any

from ..errors import Message
from ..jobs import CancelToken, Job
from ..recovery.protocol import RecoverySettings
from ..recovery.recover import recover
from ..structures.transition import KeptIndices
from .protocol import ComparedState


def train(
    model: Any,
    compared: ComparedState,
    settings: RecoverySettings,
    token: CancelToken,
    kept: KeptIndices | None = None,
    reference: tuple[Any, KeptIndices] | None = None,
) -> Job[tuple[Message, ...]]:
    """Train a model in place, the original as teacher; the best weights by the val split are kept.

    A training that was stopped or killed is resumed, where the compared state has a place for its checkpoint.

    Args:
        model: A `torch.nn.Module` of the original's outputs.
        compared: Gives teacher and task.
        settings: How.
        token: Cancels.
        kept: What the model keeps of each of the original's tensors (`Analysis.kept_indices`); None for a model with
            nothing in common, whose blocks are not compared.
        reference: The model that it was cut from and what it keeps of its tensors, for a repair; None for no cut.

    Returns:
        What to know of the training: why it ended before its time, where it did.
    """
    done = yield from recover(
        model,
        compared.original,
        compared.task,
        settings,
        outputs=compared.spec.outputs,
        kept=kept,
        reference=reference,
        checkpoint=compared.resumed(model, settings),
        device=compared.device,
        token=token,
    )
    model.load_state_dict(done.state_dict)
    return () if done.stopped is None else (done.stopped,)

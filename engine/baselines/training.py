"""How every baseline is trained: with the recovery of the state that it stands beside. Loads torch."""

from typing import Any

from ..errors import Message
from ..jobs import CancelToken, Job
from ..recovery.finetune import recover
from ..recovery.protocol import RecoverySettings
from ..recovery.reading_layers import Kept
from .protocol import Standing


def train(
    model: Any, standing: Standing, settings: RecoverySettings, token: CancelToken, kept: Kept | None = None
) -> Job[tuple[Message, ...]]:
    """Train a model in place, the original as teacher; the best weights by the choose split are kept.

    Args:
        model: A `torch.nn.Module` of the original's outputs.
        standing: Gives teacher and task.
        settings: How.
        token: Cancels.
        kept: What the model keeps of each of the original's tensors (`Analysis.kept_indices`); None for a model with
            nothing in common, whose blocks are not compared.

    Returns:
        What to know of the training: why it ended before its time, where it did.
    """
    told = (standing.task, settings, token, standing.spec.outputs, kept)
    done = yield from recover(model, standing.original, *told, device=standing.device)
    model.load_state_dict(done.state_dict)
    return () if done.stopped is None else (done.stopped,)

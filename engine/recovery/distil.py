"""What a student learns from its teacher: a loss between the outputs of two models. Loads torch."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import SecateurError


def distillation_loss(student: Any, teacher: Any, temperature: float) -> Tensor:
    """Scalar distance of a student's outputs to its teacher's, averaged over the tensors among them.

    Logits [N, C] are compared as softened distributions (Hinton et al. 2015); any other tensor by its mean squared
    error over the variance of the teacher's, so that 1 is what a constant output would score.
    """
    pairs = list(zip(tensors_of(student), tensors_of(teacher), strict=True))
    if not pairs:
        raise SecateurError(
            "recovery.outputs", "The model's outputs hold no tensor of floats, there is nothing to distil from."
        )
    return torch.stack([_distance(s, t, temperature) for s, t in pairs]).mean()


def tensors_of(outputs: Any) -> list[Tensor]:
    """All floating tensors among a model's outputs: a tensor, or tuples, lists and mappings of them."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.is_floating_point() else []
    held: Iterable[Any] = ()
    if isinstance(outputs, Mapping):
        held = cast("Mapping[str, Any]", outputs).values()
    elif isinstance(outputs, (list, tuple)):
        held = cast("list[Any]", outputs)
    return [t for value in held for t in tensors_of(value)]


def _distance(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    if student.ndim == 2 and student.shape[1] > 1:
        soft = F.log_softmax(teacher / temperature, dim=1)
        guess = F.log_softmax(student / temperature, dim=1)
        return F.kl_div(guess, soft, reduction="batchmean", log_target=True) * temperature**2
    variance = teacher.var(unbiased=False).clamp_min(1e-12)
    return F.mse_loss(student, teacher) / variance

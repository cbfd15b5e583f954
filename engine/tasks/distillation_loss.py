"""The distillation loss between the outputs of student and teacher. Loads torch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import SecateurError
from ..machine.device_list import CPU
from ..tracing.tree import outputs_of
from .model_outputs import main_output, widened

TOKEN_TEMPERATURE, CLASS_TEMPERATURE = 1.0, 2.0
"""For the logits of each token of a text, and for those of a sample, where no other is given."""
CACHED = 1 << 18
"""Logits that are compared at a time on a CPU: more of them leave its caches."""


def distillation_loss(
    student: Any,
    teacher: Any,
    temperature: float,
    chosen: Sequence[str] = (),
    counts: Tensor | None = None,
    logits: bool | None = None,
) -> Tensor:
    """Scalar distance of a student's answer to its teacher's, averaged over the tensors of floats in it.

    The answer is the `chosen` outputs, by default all but what was computed on the way: that has other widths in a cut
    student. The student trains, and some models answer in another form then (GoogLeNet adds classifiers, YOLO does not
    decode its boxes): what both give is compared.

    Logits are compared as softened distributions (Hinton et al. 2015): [N, C] as they are, those of a language model
    [N, T, V] at the positions [N, T] that count, each alike, so that padding teaches nothing. Any other tensor is
    compared by its mean squared error over the variance of the teacher's, so that 1 is what a constant would score,
    vectors of tokens [N, T, H] at the positions that count.

    Whether answers [N, values] are `logits` is for the task to say: distributions forget what is added to all values of
    a sample, which is nothing to a class and everything to a regression. Where it is open (a `task.py` with a
    metric of its own and no class numbers), both distances are added up: no answer but the teacher's own brings both to
    zero.

    Args:
        student: Outputs of the student, in any nesting.
        teacher: Outputs of the teacher.
        temperature: What softens logits; 0 for automatic: 1 for those of tokens, else 2.
        chosen: Paths of the outputs that count, () for all.
        counts: [N, T] bool, which positions count; None where there are none.
        logits: Whether outputs [N, values] are logits, None where it is open.
    """
    main, distances = main_output(teacher), list[Tensor]()
    for s, t in _pair_outputs(student, teacher, chosen):
        by_token = (t is main or logits is False) and _has_positions(t, counts)
        softening = temperature or (TOKEN_TEMPERATURE if by_token else CLASS_TEMPERATURE)
        pair = (at(s, counts), at(t, counts)) if by_token else (s, t)
        distances.append(_distance(*pair, softening, logits))
    return torch.stack(distances).mean()


def _pair_outputs(student: Any, teacher: Any, chosen: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
    """Each output of the student's with the teacher's of the same name; raises SecateurError where there is none."""
    learned, taught = (
        [one for one in outputs_of(given, chosen) if one.tensor.is_floating_point()] for given in (student, teacher)
    )
    kept = [[one for one in every if one.preserved] for every in (learned, taught)]
    if kept[1] and [one.path for one in kept[0]] == [one.path for one in kept[1]]:
        return [(one.tensor, other.tensor) for one, other in zip(*kept, strict=True)]
    # Outputs that have another form in training: those at the same path, or at the end of it from a name on, such as
    # "boxes" for "1.boxes". Where none fits, the tensors that the teacher's outputs were computed from.
    own = {one.path: one.tensor for one in learned}
    for every in (kept[1], taught):
        pairs: list[tuple[Tensor, Tensor]] = []
        for one in every:
            parts = one.path.split(".")
            ends = (parts[start:] for start in range(len(parts)))
            names = (".".join(end) for end in ends if end == parts or not end[0].isdecimal())
            found = next((own[name] for name in names if name in own), None)
            if found is not None and found.shape == one.tensor.shape:
                pairs.append((found, one.tensor))
        if pairs:
            return pairs
    main = main_output(student), main_output(teacher)
    if all(isinstance(one, Tensor) and one.is_floating_point() for one in main) and main[0].shape == main[1].shape:
        return [main]
    if not taught:
        template = (
            "The model outputs no floating-point tensor, so there is nothing to distil from. Set the distillation "
            "weight to 0."
        )
        raise SecateurError("recovery.outputs", template)
    template = (
        "In training the model has none of the outputs {outputs}, so there is nothing to distil from. Set the "
        "distillation weight to 0."
    )
    raise SecateurError("recovery.training_outputs", template, outputs=", ".join(one.path for one in taught))


def at(answer: Tensor, counts: Tensor | None) -> Tensor:
    """[n, V] of [N, T, V], at the positions [N, T] that count; what has no such positions stays."""
    if counts is None or not _has_positions(answer, counts):
        return answer
    return answer.flatten(0, 1) if bool(counts.all()) else answer[counts]


def _has_positions(output: Tensor, counts: Tensor | None) -> bool:
    """Whether an output [N, T, V] has values for each of the positions [N, T]."""
    return counts is not None and output.ndim == 3 and output.shape[:2] == counts.shape


def _distance(student: Tensor, teacher: Tensor, temperature: float, logits: bool | None) -> Tensor:
    """The distance of two tensors: of distributions where they are or may be `logits`, else of numbers."""
    # With eight bits of mantissa the softened distributions of two similar models are the same. The teacher may be in
    # half precision where the student is trained in single precision.
    student = widened(student)
    teacher = teacher.to(student.dtype)
    distributions = logits is not False and student.ndim == 2 and student.shape[1] > 1
    if not distributions:
        return _error(student, teacher)
    rows = max(CACHED // student.shape[1], 1) if student.device.type == CPU else max(len(student), 1)
    divergences: list[Tensor] = []
    for own, right in zip(torch.split(student, rows), torch.split(teacher, rows), strict=True):
        guess = F.log_softmax(own if temperature == 1 else own / temperature, dim=1)
        soft = F.log_softmax(right if temperature == 1 else right / temperature, dim=1)
        divergences.append(F.kl_div(guess, soft, reduction="sum", log_target=True))
    distance = torch.stack(divergences).sum()
    distance = distance / max(len(student), 1) * temperature**2
    return distance if logits else distance + _error(student, teacher)


def _error(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error over the teacher's variance."""
    return F.mse_loss(student, teacher) / variance_of(teacher)


def variance_of(teacher: Tensor) -> Tensor:
    """Scalar to compare squared errors with; of values that are all alike, or a single one, their mean square."""
    variance, square = teacher.var(unbiased=False), teacher.square().mean()
    return torch.where(variance > 0, variance, torch.where(square > 0, square, torch.ones_like(square)))

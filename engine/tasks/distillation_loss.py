"""The distillation loss between the outputs of student and teacher. Loads torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import SecateurError
from ..machine.device_list import CPU
from ..tracing.tree import outputs_of
from .model_outputs import main_output, widened

TOKEN_TEMPERATURE, CLASS_TEMPERATURE = 1.0, 2.0
"""For the logits of each token of a text, and for those of a sample, where nobody has said another."""
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
    a sample, which is nothing to a class and everything to a regression. Where nobody has said it (a `task.py` with a
    metric of its own and no class numbers), both distances are added up: no answer but the teacher's own brings both to
    zero.

    Args:
        student: Outputs of the student, in any nesting.
        teacher: Outputs of the teacher.
        temperature: What softens logits; 0 for automatic: 1 for those of tokens, else 2.
        chosen: Paths of the outputs that count, () for all.
        counts: [N, T] bool, which positions count; None where there are none.
        logits: Whether outputs [N, values] are logits, None where nobody has said it.
    """
    main, distances = main_output(teacher), list[Tensor]()
    for s, t in _pairs(student, teacher, chosen):
        by_token = (t is main or logits is False) and _has_positions(t, counts)
        softening = temperature or (TOKEN_TEMPERATURE if by_token else CLASS_TEMPERATURE)
        pair = (at(s, counts), at(t, counts)) if by_token else (s, t)
        distances.append(_distance(*pair, softening, logits))
    return torch.stack(distances).mean()


def _pairs(student: Any, teacher: Any, chosen: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
    """Each output of the student's with the teacher's of the same name; raises SecateurError where there is none."""
    learned, taught = (
        [one for one in outputs_of(given, chosen) if one.tensor.is_floating_point()] for given in (student, teacher)
    )
    kept = [[one for one in every if one.preserved] for every in (learned, taught)]
    if kept[1] and [one.path for one in kept[0]] == [one.path for one in kept[1]]:
        return [(one.tensor, other.tensor) for one, other in zip(*kept, strict=True)]
    answers = {one.path: one.tensor for one in learned}
    for every in (kept[1], taught):  # of outputs that have another form in training, what they were computed from
        found = ((_counterpart(one.path, answers), one.tensor) for one in every)
        pairs = [(own, other) for own, other in found if own is not None and own.shape == other.shape]
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


def _counterpart(path: str, answers: Mapping[str, Tensor]) -> Tensor | None:
    """The output at a path, or at the end of it from a name on: "boxes" for "1.boxes"."""
    parts = path.split(".")
    ends = (parts[start:] for start in range(len(parts)))
    named = (".".join(end) for end in ends if end == parts or not end[0].isdecimal())
    return next((answers[one] for one in named if one in answers), None)


def at(answer: Tensor, counts: Tensor | None) -> Tensor:
    """[n, V] of [N, T, V], at the positions [N, T] that count; what has no such positions stays."""
    if counts is None or not _has_positions(answer, counts):
        return answer
    return answer.flatten(0, 1) if bool(counts.all()) else answer[counts]


def _has_positions(output: Tensor, counts: Tensor | None) -> bool:
    """Whether an output [N, T, V] has values for each of the positions [N, T]."""
    return counts is not None and output.ndim == 3 and output.shape[:2] == counts.shape


def _distance(student: Tensor, teacher: Tensor, temperature: float, logits: bool | None) -> Tensor:
    student = widened(student)  # in eight bits the softened distributions of two like models are the same
    teacher = teacher.to(student.dtype)  # a student that is trained in single precision has one in half
    distributions = logits is not False and student.ndim == 2 and student.shape[1] > 1
    if not distributions:
        return _error(student, teacher)
    rows = max(CACHED // student.shape[1], 1) if student.device.type == CPU else max(len(student), 1)
    parts = zip(torch.split(student, rows), torch.split(teacher, rows), strict=True)
    distance = torch.stack([_divergence(*part, temperature) for part in parts]).sum()
    distance = distance / max(len(student), 1) * temperature**2
    return distance if logits else distance + _error(student, teacher)


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Sum over answers [N, C] of the Kullback-Leibler divergence of what is guessed from what is taught."""
    if temperature != 1:
        student, teacher = student / temperature, teacher / temperature
    soft, guess = F.log_softmax(teacher, dim=1), F.log_softmax(student, dim=1)
    return F.kl_div(guess, soft, reduction="sum", log_target=True)


def _error(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error over the teacher's variance."""
    return F.mse_loss(student, teacher) / variance_of(teacher)


def variance_of(teacher: Tensor) -> Tensor:
    """Scalar to compare squared errors with; of values that are all alike, or a single one, their mean square."""
    variance, square = teacher.var(unbiased=False), teacher.square().mean()
    return torch.where(variance > 0, variance, torch.where(square > 0, square, torch.ones_like(square)))

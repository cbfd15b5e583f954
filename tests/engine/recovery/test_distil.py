"""The distance to the teacher is what the papers say, whatever the outputs are."""

import pytest
import torch
from torch.nn import functional as F

from secateur.engine.errors import SecateurError
from secateur.engine.recovery.distil import distillation_loss
from secateur.engine.recovery.schedule import END, START, one_cycle


def test_logits_are_compared_as_softened_distributions() -> None:
    student, teacher = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    p, q = (teacher / 3).softmax(1), (student / 3).softmax(1)
    expected = 9 * (p * (p / q).log()).sum(1).mean()
    assert torch.isclose(distillation_loss(student, teacher, 3.0), expected)


def test_a_constant_answer_to_anything_else_scores_one() -> None:
    teacher = 50 * torch.randn(4, 6, 8)
    assert torch.isclose(distillation_loss(teacher.mean().expand_as(teacher), teacher, 2.0), torch.tensor(1.0))


def test_one_number_a_sample_is_no_distribution() -> None:
    assert distillation_loss(torch.zeros(8, 1), torch.arange(8.0)[:, None], 2.0) > 0


def test_all_outputs_count() -> None:
    a, b = torch.randn(2, 3, 4), torch.randn(3, 5)
    teacher, student = {"hidden": a, "more": [b, torch.arange(3)]}, {"hidden": a + 1, "more": (b, torch.arange(3))}
    assert torch.isclose(distillation_loss(student, teacher, 1.0), F.mse_loss(a + 1, a) / a.var(unbiased=False) / 2)


def test_outputs_without_floats_are_refused() -> None:
    with pytest.raises(SecateurError, match="nothing to distil from"):
        distillation_loss(torch.arange(3), torch.arange(3), 1.0)


def test_the_rate_rises_once_and_falls() -> None:
    rates = [one_cycle(step, 101) for step in range(101)]
    peak = rates.index(max(rates))
    assert rates[0] == pytest.approx(START) and rates[-1] == pytest.approx(END) and max(rates) == pytest.approx(1.0)
    assert rates[: peak + 1] == sorted(rates[: peak + 1]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    assert one_cycle(500, 101) == pytest.approx(END) and one_cycle(0, 1) > 0

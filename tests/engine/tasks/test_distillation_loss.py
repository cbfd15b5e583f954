"""The distance to the teacher is what the papers say, whatever the outputs are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from secateur.engine.errors import SecateurError
from secateur.engine.jobs import finish
from secateur.engine.recovery.optimizers import END, START, one_cycle
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.recovery.recover import recover
from secateur.engine.tasks import distillation_loss as distillation_loss_module
from secateur.engine.tasks.distillation_loss import distillation_loss
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.purposes.table import purpose_named
from tests.engine.tasks.makers import spec, write_npz


def test_logits_are_compared_as_softened_distributions() -> None:
    student, teacher = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    p, q = (teacher / 3).softmax(1), (student / 3).softmax(1)
    expected = 9 * (p * (p / q).log()).sum(1).mean()
    assert torch.isclose(distillation_loss(student, teacher, 3.0, logits=True), expected)


def test_a_constant_answer_to_anything_else_scores_one() -> None:
    teacher = 50 * torch.randn(4, 6, 8)
    assert torch.isclose(distillation_loss(teacher.mean().expand_as(teacher), teacher, 2.0), torch.tensor(1.0))


def test_one_number_a_sample_is_no_distribution() -> None:
    assert distillation_loss(torch.zeros(8, 1), torch.arange(8.0)[:, None], 2.0) > 0


def test_an_offset_is_nothing_to_classes_and_counts_for_numbers() -> None:
    teacher = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    expected = 25 / teacher.var(unbiased=False)
    assert distillation_loss(teacher + 5, teacher, 2.0, logits=True).abs() < 1e-6
    for unsaid in (False, None):
        assert torch.isclose(distillation_loss(teacher + 5, teacher, 2.0, logits=unsaid), expected)
    student = teacher + torch.randn(16, 3)
    both = sum(distillation_loss(student, teacher, 2.0, logits=said) for said in (True, False))
    assert torch.isclose(distillation_loss(student, teacher, 2.0), torch.as_tensor(both))


@pytest.mark.parametrize(("purpose", "far"), [("regression", 0.05), ("classification", 4.0)])
def test_numbers_come_back_to_those_of_the_teacher_without_targets(tmp_path: Path, purpose: str, far: float) -> None:
    x = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
    task = open_task(spec("arrays", write_npz(tmp_path / "a.npz", x=x), batch=8, options=(("purpose", purpose),)))
    torch.manual_seed(0)
    teacher, student = nn.Linear(4, 3), nn.Linear(4, 3)
    student.load_state_dict({"weight": teacher.weight, "bias": teacher.bias + 5})
    task.info(teacher)  # whom the metric agrees with
    settings = RecoverySettings(epochs=20, learning_rate=0.1, threads=1)
    bias = finish(recover(student, teacher, task, settings)).state_dict["bias"]
    assert (float((bias - teacher.bias).detach().abs().max()) < far) is (purpose == "regression")


def test_padded_tokens_of_sentences_teach_nothing() -> None:
    states = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]])
    purpose = purpose_named("similarity")
    assert purpose.counts is not None
    counts = purpose.counts({"input_ids": mask, "attention_mask": mask}, torch.zeros(2))
    student = states + 1 + 100 * torch.randn(4, 5, 8) * (mask == 0)[:, :, None]
    for answer in (lambda one: one, lambda one: {"sentence_embedding": states[:, 0], "tokens": one}):
        found = distillation_loss(answer(student), answer(states), 2.0, counts=counts, logits=purpose.logits)
        expected = 1 / states[mask == 1].var(unbiased=False)
        assert torch.isclose(found, expected / (1 if answer(states) is states else 2))
    assert purpose.counts((mask,), torch.zeros(2)) is None


@pytest.mark.parametrize("teacher", [torch.tensor([[3.0]]), torch.full((4, 1), 3.0), torch.zeros(4, 1)])
def test_answers_without_a_variance_are_compared_by_their_size(teacher: torch.Tensor) -> None:
    expected = 1.0 / (9.0 if teacher.any() else 1.0)
    assert torch.isclose(distillation_loss(teacher + 1, teacher, 2.0, logits=False), torch.tensor(expected))


def test_all_outputs_count() -> None:
    a, b = torch.randn(2, 3, 4), torch.randn(3, 5)
    teacher, student = {"hidden": a, "more": [b, torch.arange(3)]}, {"hidden": a + 1, "more": (b, torch.arange(3))}
    assert torch.isclose(distillation_loss(student, teacher, 1.0), F.mse_loss(a + 1, a) / a.var(unbiased=False) / 2)


def test_logits_of_tokens_are_compared_where_they_count() -> None:
    """T^2 times the sum over the vocabulary of p log(p / q), averaged over the positions that count."""
    student, teacher = torch.randn(2, 3, 4, 9, generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    p, q = (teacher / 2).softmax(2), (student / 2).softmax(2)
    each = 4 * (p * (p / q).log()).sum(2)
    expected = (each[0, :3].sum() + each[1, 0]) / 4
    assert torch.isclose(distillation_loss(student, teacher, 2.0, counts=counts, logits=True), expected)
    student[~counts] += 100 * torch.randn(8, 9)  # padding teaches nothing
    assert torch.isclose(distillation_loss(student, teacher, 2.0, counts=counts, logits=True), expected)
    assert distillation_loss(student, teacher, 2.0, counts=torch.zeros_like(counts), logits=True) == 0


@pytest.mark.parametrize("cached", [1 << 18, 100, 1])
@pytest.mark.parametrize("counting", [5, 2, 0])
def test_many_logits_are_compared_in_parts(cached: int, counting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation_loss_module, "CACHED", cached)
    random = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(3, 5, 40, generator=random, requires_grad=n == 0) for n in range(2))
    counts = torch.arange(5).expand(3, 5) < counting
    loss = distillation_loss({"logits": student}, {"logits": teacher}, 3.0, (), counts, logits=True)
    told, guessed = ((one[:, :counting].double() / 3).softmax(2).clamp_min(1e-30) for one in (teacher, student))
    expected = 9 * (told * (told / guessed).log()).sum() / max(3 * counting, 1)
    assert torch.allclose(loss.double(), expected)
    (gradient,) = torch.autograd.grad(loss, student, retain_graph=True)
    assert torch.allclose(gradient, torch.autograd.grad(expected, student)[0].float(), atol=1e-7)


def test_automatic_temperature_is_one_for_tokens_and_two_for_classes() -> None:
    student, teacher = torch.randn(2, 3, 4, 9, generator=torch.Generator().manual_seed(0))
    counts = torch.ones(3, 4, dtype=torch.bool)
    for shape, given, expected in (((3, 4, 9), counts, 1.0), ((12, 9), counts, 2.0), ((12, 9), None, 2.0)):
        pair = student.reshape(shape), teacher.reshape(shape)
        p, q = ((one.reshape(12, 9) / expected).softmax(1) for one in reversed(pair))
        known = expected**2 * (p * (p / q).log()).sum(1).mean()
        assert torch.isclose(distillation_loss(*pair, 0.0, counts=given, logits=True), known)
    student, teacher = ({"logits": one, "next": one[:, 0]} for one in (student, teacher))  # as of a BERT with two heads
    alone = [distillation_loss(student, teacher, at, ["logits"], counts, True) for at in (0.0, 1.0)]
    alone += [distillation_loss(student, teacher, at, ["next"], counts, True) for at in (0.0, 2.0)]
    assert alone[0] == alone[1] and alone[2] == alone[3]


def test_only_the_logits_of_a_language_model_are_distributions() -> None:
    logits, hidden = torch.randn(2, 5, 7), torch.randn(2, 5, 3)
    counts = torch.ones(2, 5, dtype=torch.bool)
    student, teacher = ({"logits": logits, "more": hidden + shift} for shift in (1.0, 0.0))
    expected = F.mse_loss(hidden + 1, hidden) / hidden.var(unbiased=False) / 2
    assert torch.isclose(distillation_loss(student, teacher, 1.0, counts=counts, logits=True), expected)


def test_outputs_without_floats_are_refused() -> None:
    with pytest.raises(SecateurError, match="nothing to distil from"):
        distillation_loss(torch.arange(3), torch.arange(3), 1.0)


def test_the_rate_rises_once_and_falls() -> None:
    rates = [one_cycle(step / 100) for step in range(101)]
    peak = rates.index(max(rates))
    assert rates[0] == pytest.approx(START) and rates[-1] == pytest.approx(END) and max(rates) == pytest.approx(1.0)
    assert rates[: peak + 1] == sorted(rates[: peak + 1]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    assert one_cycle(0.05) < one_cycle(0.05, warm_up=0.05) == pytest.approx(1.0)


def test_in_eight_bits_two_like_answers_differ_as_they_do_in_more() -> None:
    teacher = torch.randn(32, 10, generator=torch.Generator().manual_seed(0)).bfloat16()
    student = (teacher.float() + 0.02 * torch.randn(32, 10, generator=torch.Generator().manual_seed(1))).bfloat16()
    given = student.clone().requires_grad_()
    loss = distillation_loss(given, teacher, 4.0, logits=True)
    exact = distillation_loss(student.double(), teacher.double(), 4.0, logits=True)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-3) and exact > 0
    loss.backward()
    assert given.grad is not None and given.grad.dtype == torch.bfloat16


def test_outputs_of_another_form_in_training_are_paired_by_name() -> None:
    random = torch.Generator().manual_seed(0)
    boxes, scores, wide, narrow = (torch.randn(2, n, 8, generator=random) for n in (4, 3, 6, 5))
    student = {"boxes": boxes + 1, "scores": scores, "feats": [narrow]}  # as YOLO answers while it trains
    teacher = torch.cat([boxes, scores], 1).sigmoid(), {"boxes": boxes, "scores": scores, "feats": [wide]}
    expected = 1 / boxes.var(unbiased=False) / 2  # the mean over boxes, each one off, and scores, which are right
    for chosen in ((), ("0",), ("0", "1.boxes", "1.scores")):
        assert torch.isclose(distillation_loss(student, teacher, 2.0, chosen, logits=False), expected)


def test_classifiers_that_are_there_in_training_alone_learn_nothing_from_the_teacher() -> None:
    teacher = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    for student in ({"logits": teacher, "aux": teacher + 1}, (teacher, teacher + 1)):
        assert distillation_loss(student, teacher, 2.0, logits=False) == 0.0


def test_a_model_without_the_teachers_outputs_in_training_is_refused_by_their_names() -> None:
    with pytest.raises(SecateurError, match="In training the model has none of the outputs scores"):
        distillation_loss({"loss": torch.ones(())}, {"scores": torch.ones(2, 3)}, 2.0)

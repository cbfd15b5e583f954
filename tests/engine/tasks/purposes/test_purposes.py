"""Every metric beside torchmetrics, which computes it in its own way, and its uncertainty beside a closed formula."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.regression import MeanSquaredError, SpearmanCorrCoef
from torchmetrics.text import Perplexity

from secateur.engine.errors import Message, TaskError
from secateur.engine.tasks.protocol import NOT_ASKED
from secateur.engine.tasks.purposes.protocol import bootstrap
from secateur.engine.tasks.purposes.table import PURPOSES, purpose_named

RANDOM = torch.Generator().manual_seed(0)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=RANDOM)


def classes(high: int, *shape: int) -> torch.Tensor:
    return torch.randint(high, shape, generator=RANDOM)


def in_two(purpose, outputs, inputs, targets):
    """The metric of two batches of unequal size."""
    parts = [(slice(None, 5),) * 2, (slice(5, None),) * 2]
    rows = [purpose.rows(outputs[a], inputs, targets[b]) for a, b in parts]
    return purpose.statistic(np.concatenate(rows))


def test_every_purpose_of_the_table_can_be_loaded_by_its_name():
    assert all(purpose_named(name).metric for name in PURPOSES)
    with pytest.raises(TaskError, match=r"Unknown purpose luck\. Choose one of classification, regression"):
        purpose_named("luck")


@pytest.mark.parametrize("width", [(), (1,), (3,)])
def test_the_error_of_a_regression(width: tuple[int, ...]):
    answers, targets = noise(13, *width), noise(13, *width).double()
    expected = MeanSquaredError(squared=False)(answers, targets.float())
    purpose = purpose_named("regression")
    assert in_two(purpose, answers, (), targets) == pytest.approx(float(expected), rel=1e-5)
    assert float(purpose.loss(answers, (), targets)) == pytest.approx(float(expected) ** 2, rel=1e-5)


def test_a_regression_takes_one_number_a_sample_as_a_column_or_without():
    purpose, targets = purpose_named("regression"), noise(7)
    assert purpose.statistic(purpose.rows(targets[:, None], (), targets)) == 0.0
    with pytest.raises(TaskError, match="2 target numbers a sample, but the model has 3 outputs"):
        purpose.rows(noise(7, 3), (), noise(7, 2))


@pytest.mark.filterwarnings("ignore:Metric `SpearmanCorrcoef`:UserWarning")
def test_the_correlation_of_similarities_with_scores_that_are_often_alike():
    first, second, scores = noise(40, 8), noise(40, 8), classes(5, 40).double()
    purpose = purpose_named("similarity")
    cosines = torch.nn.functional.cosine_similarity(first, second)
    rows = purpose.rows(torch.cat([first, second]), (), scores)
    assert purpose.statistic(rows) == pytest.approx(float(SpearmanCorrCoef()(cosines.double(), scores)), abs=1e-6)
    assert purpose.statistic(rows[:, [1, 1]]) == pytest.approx(1.0)
    assert purpose.statistic(np.stack([np.ones(9), np.arange(9.0)], 1)) == 0.0
    loss = float(purpose.loss(torch.cat([first, second]), (), scores))
    assert loss == pytest.approx(1 - np.corrcoef(cosines, scores)[0, 1], abs=1e-5)


def test_tokens_that_only_fill_up_do_not_enter_the_vector_of_a_sentence():
    purpose, tokens = purpose_named("similarity"), noise(2, 3, 8)
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    expected = torch.nn.functional.cosine_similarity(tokens[0, :2].mean(0), tokens[1].mean(0), dim=0)
    assert purpose.answer(tokens, {"attention_mask": mask}).tolist() == pytest.approx([float(expected)], abs=1e-6)


@pytest.mark.parametrize("name", ["causal", "masked"])
def test_the_perplexity_of_tokens(name: str):
    logits, targets = noise(11, 6, 9), classes(9, 11, 6)
    targets[:, 2:4] = NOT_ASKED
    purpose = purpose_named(name)
    expected = float(Perplexity(ignore_index=NOT_ASKED)(logits, targets))
    assert in_two(purpose, logits, (), targets) == pytest.approx(expected, rel=1e-5)
    assert purpose.count(purpose.rows(logits, (), targets)) == 11 * 4
    assert float(purpose.loss(logits, (), targets).exp()) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(TaskError, match=r"ids up to 12, but the model output is \[1, 2, 9\]"):
        purpose.rows(logits[:1, :2], (), torch.tensor([[3, 12]]))


def test_the_overlap_of_segments():
    logits, masks = noise(9, 4, 6, 6), classes(3, 9, 6, 6)  # the fourth class is in no mask
    masks[:, 0] = 255
    purpose = purpose_named("segmentation")
    expected = float(MulticlassJaccardIndex(4, ignore_index=255)(logits, masks))
    assert in_two(purpose, {"out": logits}["out"], (), masks) == pytest.approx(expected, rel=1e-5)
    large = torch.nn.functional.interpolate(logits, (12, 12), mode="bilinear", align_corners=False).argmax(1)
    assert purpose.statistic(purpose.rows({"out": logits}, (), large)) == 1.0
    with pytest.raises(TaskError, match="class 7, but the model has 4 outputs"):
        purpose.rows(logits, (), masks.where(masks == 255, torch.tensor(7)))


def test_the_bootstrap_agrees_with_the_closed_formulas():
    """Of a mean: the deviation over the root of n; of a share, the binomial one."""
    values = np.random.default_rng(1).normal(size=(400, 1))
    assert bootstrap(values, lambda rows: float(rows.mean())).std() == pytest.approx(values.std() / 20, rel=0.15)
    purpose, right = purpose_named("classification"), (values > 1).astype(float)
    assert purpose.error is not None
    assert bootstrap(right, purpose.statistic).std() == pytest.approx(purpose.error(right), rel=0.15)
    assert (bootstrap(right, purpose.statistic) == bootstrap(right, purpose.statistic)).all()


@pytest.mark.parametrize("name", [name for name in PURPOSES if name != "detection"])
def test_outputs_of_another_form_are_refused_in_words_of_any_language(name: str):
    with pytest.raises(TaskError, match=r"output is a tensor \[2, 2, 2, 2, 2\]") as refused:
        purpose_named(name).rows(torch.zeros(2, 2, 2, 2, 2), (), torch.zeros(2))
    given = refused.value.message.arguments["given"]
    assert isinstance(given, Message) and given.template == "a tensor {shape}"


@pytest.mark.parametrize("name", [name for name in PURPOSES if name != "detection"])  # has tensors for each image
def test_answers_that_are_no_numbers_are_refused(name: str):
    shapes = {"classification": (4, 3), "regression": (4,), "similarity": (8, 3), "segmentation": (4, 3, 2, 2)}
    targets = {"segmentation": classes(3, 4, 2, 2), "classification": classes(3, 4)}
    outputs = torch.full(shapes.get(name, (4, 2, 3)), torch.nan)
    wanted = targets.get(name, classes(3, 4, 2) if name in ("causal", "masked") else noise(4))
    with pytest.raises(TaskError) as caught:
        purpose_named(name).rows(outputs, (), wanted)
    expected = "task.likelihood_not_finite" if name in ("causal", "masked") else "task.not_finite"
    assert caught.value.message.code == expected


def test_answers_of_half_precision_are_compared_with_targets_that_are_not_rounded():
    answers, vectors, targets = noise(9).bfloat16(), noise(18, 8).bfloat16(), noise(9)
    squares = purpose_named("regression").rows(answers, (), targets)[:, 0]
    assert squares == pytest.approx((answers.double() - targets.double()).square().numpy(), rel=1e-6)
    first, second = vectors.double().chunk(2)
    cosines = torch.nn.functional.cosine_similarity(first, second)
    rows = purpose_named("similarity").rows(vectors, (), targets)
    assert rows == pytest.approx(torch.stack([cosines, targets.double()], 1).numpy(), rel=1e-5)


def test_answers_of_double_precision_keep_it():
    answers, targets = noise(9).double() / 3, noise(9).double()
    squares = purpose_named("regression").rows(answers, (), targets)[:, 0]
    assert squares == pytest.approx((answers - targets).square().numpy(), rel=1e-14)

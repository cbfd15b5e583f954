"""What a user's metric is taken for by its name, where nothing else is said."""

import math

import numpy as np
import pytest

from secateur.engine.errors import TaskError
from secateur.engine.tasks.protocol import Metric, Split
from secateur.engine.tasks.user_task import assumed_direction, to_metric

LOWER = "loss val_loss valLoss WER wer cer eer ppl nll mape MAPE fid fid50k bits_per_byte top1-error RMSE mean_error"
COMPOUND = "valloss testloss mseloss bceloss crossentropyloss pixelerror errorrate distances MAEs perplexities"
HIGHER = "answer_accuracy power terrain_iou accuracy Top1Accuracy mAP map50 mIoU MeanIoU macroF1 bleu reward lossless"
SHARES = "answer_accuracy acc@5 top1 top-5 mAP mAP50 mIoU MeanIoU f1 F1Score macroF1 dice AUC exact_precision"
COMPOUND_SHARES = "valacc testacc rocauc dicescore accuracies terrain_iou"
NO_SHARES = "mape power landmarks stop bleu heatmap valloss"


def metric(name: str, value: float = 0.5, **beside: object) -> Metric:
    return to_metric({name: value, **beside}, Split.TEST, "task.py")


@pytest.mark.parametrize("name", [*LOWER.split(), *COMPOUND.split(), "word error rate"])
def test_metrics_that_the_field_wants_small_are_better_when_lower(name: str) -> None:
    assert not metric(name).higher_is_better


@pytest.mark.parametrize("name", HIGHER.split())
def test_letters_within_a_word_say_nothing_of_the_direction(name: str) -> None:
    assert metric(name).higher_is_better


def test_shares_are_told_by_words() -> None:
    assert [name for name in (*SHARES.split(), *COMPOUND_SHARES.split()) if not metric(name).percent] == []
    assert [name for name in NO_SHARES.split() if metric(name).percent] == []


def test_what_is_said_beside_it_counts_more_than_its_name() -> None:
    assert metric("loss", higher_is_better=True).higher_is_better
    assert not metric("accuracy", percent=False).percent


def test_a_direction_that_was_read_off_the_name_is_told() -> None:
    for name, direction in (("nll", "A lower nll"), ("reward", "A higher reward")):
        (remark,) = assumed_direction(metric(name), {name: 0.5}, "task.py")
        assert str(remark).startswith(direction) and "evaluate in task.py" in str(remark)
    assert assumed_direction(metric("nll"), {"nll": 0.5, "higher_is_better": False}, "task.py") == ()


@pytest.mark.parametrize("name", ["accuracy", "val_acc", "top-1", "top5", "Top1Accuracy", "test accuracy"])
def test_an_accuracy_on_n_samples_has_the_error_of_a_share(name: str) -> None:
    assert metric(name, n=400).error == pytest.approx(0.025) and metric(name, n=400).certain
    assert metric(name, n=400, standard_error=0.1).error == 0.1
    assert metric(name).error == 0 and not metric(name).certain


@pytest.mark.parametrize("name", ["f1", "mIoU", "balanced_accuracy", "pixel_accuracy", "loss", "auc"])
def test_other_metrics_have_an_error_where_it_is_said(name: str) -> None:
    assert metric(name, n=400).error == 0 and not metric(name, n=400).certain
    assert metric(name, n=400, standard_error=0.1).certain


def test_values_of_each_sample_give_the_error_and_pairs() -> None:
    """Two models that differ at four of 400 samples: one point apart, by pairs half a point, else two."""
    right = np.arange(400) % 2
    other = np.where(np.arange(400) < 8, 0, right)
    mine, its = (metric("accuracy", rows.mean(), samples=rows) for rows in (right, other))
    assert (mine.count, mine.error) == (400, pytest.approx(right.std(ddof=1) / 20))
    assert mine.difference_error(its) == pytest.approx((right - other).std() / 20, rel=0.2)
    assert mine.difference_error(its) < mine.error / 4


@pytest.mark.parametrize("samples", [[], [1.0, 0.0], [math.nan, 1.0], ["yes", "no"], [[1.0], [1.0, 0.0]]])
def test_samples_whose_mean_is_another_number_are_refused(samples: list[object]) -> None:
    with pytest.raises(TaskError, match="samples whose mean is not accuracy"):
        metric("accuracy", 0.8, samples=samples)


def test_a_count_that_is_called_samples_is_no_value_of_any() -> None:
    found = metric("accuracy", 0.8, samples=1000)
    assert (found.value, found.replicates) == (0.8, ())

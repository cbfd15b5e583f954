"""Loss, metric, batches and refusals of the built-in classification."""

from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.errors import TaskError
from secateur.engine.jobs import Cancelled, NeverCancelled, finish
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split, Task

from .makers import Brightest, bands, spec, write_npz

LABELS = np.arange(100) % 4


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Four classes, 80 + 10 + 10 samples, a tenth of the report's labels wrong on purpose."""
    wrong = LABELS[:10].copy()
    wrong[0] = 3
    x = bands(LABELS, 4)
    path = write_npz(
        tmp_path / "bands.npz", x_train=x[:80], y_train=LABELS[:80], x_val=x[80:90], y_val=LABELS[80:90],
        x_test=x[:10] + 1, y_test=wrong,
    )  # fmt: skip
    return open_task(spec("arrays", path, batch=4))


def test_top1_counts_right_answers_and_gives_its_standard_error(task: Task) -> None:
    metric = finish(task.evaluate(Brightest(4), Split.TEST, NeverCancelled()))
    assert (metric.name, metric.value, metric.count, metric.split) == ("top-1", 0.9, 10, Split.TEST)
    assert metric.error == pytest.approx((0.9 * 0.1 / 10) ** 0.5)


def test_evaluation_reports_every_batch(task: Task) -> None:
    seen = []
    finish(task.evaluate(Brightest(4), Split.TEST, NeverCancelled()), seen.append)
    assert [(progress.done, progress.total) for progress in seen] == [(4, 10), (8, 10), (10, 10)]


def test_evaluation_stops_at_the_next_batch_and_puts_the_mode_back(task: Task) -> None:
    model, token, calls = Brightest(4).train(), Event(), []
    model.register_forward_hook(lambda *_: calls.append(model.training))
    job = task.evaluate(model, Split.TRAIN, token)
    next(job)
    token.set()
    with pytest.raises(Cancelled):
        next(job)
    assert calls == [False]
    assert model.training
    assert model.dropout.training


def test_parts_that_were_in_evaluation_mode_stay_in_it(task: Task) -> None:
    model = Brightest(4).train()
    model.dropout.eval()
    finish(task.evaluate(model, Split.TEST, NeverCancelled()))
    assert model.training
    assert not model.dropout.training


def test_a_caller_between_two_batches_still_has_gradients(task: Task) -> None:
    job = task.evaluate(Brightest(4), Split.TEST, NeverCancelled())
    next(job)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    job.close()


def test_a_session_of_a_file_is_judged_like_a_model(task: Task) -> None:
    """A runtime answers with numpy arrays, and often with a list of them."""
    model = Brightest(4).eval()
    metric = finish(task.evaluate(lambda x: [model(x).detach().numpy()], Split.TEST, NeverCancelled()))
    assert metric.value == 0.9


def test_loss_is_the_mean_negative_log_likelihood(task: Task) -> None:
    model = Brightest(4).eval()
    x, y = next(task.batches(Split.TRAIN))
    probabilities = model(x).detach().double().softmax(1)
    expected = -probabilities[torch.arange(4), y].log().mean()
    loss = task.loss(model, (x, y))
    assert loss is not None
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert model.conv.weight.grad is not None


def test_a_seed_fixes_the_order_and_every_sample_comes_once(task: Task) -> None:
    def order(seed: int | None) -> list[bytes]:
        return [row.numpy().tobytes() for x, _ in task.batches(Split.TRAIN, seed) for row in x]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == sorted(order(None))
    assert len(list(task.batches(Split.TRAIN))) == task.batch_count(Split.TRAIN) == 20


def test_more_classes_than_outputs_are_refused_in_evaluation_loss_and_info(task: Task) -> None:
    sentence = "The data has 4 classes, but the model has 2 outputs"
    model = Brightest(2)
    with pytest.raises(TaskError, match=sentence):
        finish(task.evaluate(model, Split.TEST, NeverCancelled()))
    with pytest.raises(TaskError, match=sentence):
        task.loss(model, next(task.batches(Split.TRAIN)))
    with pytest.raises(TaskError, match=sentence):
        task.info(model)


def test_other_channels_than_the_model_takes_are_refused(task: Task) -> None:
    with pytest.raises(TaskError, match="The images have 1 channels, but the model takes 3"):
        task.info(Brightest(4, channels=3))


def test_other_sizes_than_the_model_takes_are_refused_with_the_shape(task: Task) -> None:
    with pytest.raises(TaskError, match=r"cannot take a batch of shape \[4, 1, 8, 8\]"):
        finish(task.evaluate(nn.Sequential(nn.Flatten(), nn.Linear(99, 4)), Split.TEST, NeverCancelled()))


def test_answers_that_are_no_logits_are_refused(task: Task) -> None:
    with pytest.raises(TaskError, match=r"output is a tensor \[4, 1, 8, 8\]"):
        finish(task.evaluate(nn.Identity(), Split.TEST, NeverCancelled()))


def test_answers_that_are_no_numbers_are_refused(task: Task) -> None:
    with pytest.raises(TaskError, match="NaN or infinity"):
        finish(task.evaluate(lambda x: torch.full((len(x), 4), torch.nan), Split.TEST, NeverCancelled()))


def test_a_model_with_named_outputs_is_understood(task: Task) -> None:
    model = Brightest(4).eval()
    metric = finish(task.evaluate(lambda x: {"features": x, "logits": model(x)}, Split.TEST, NeverCancelled()))
    assert metric.value == 0.9


def test_without_labels_the_metric_is_agreement_with_the_original(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "bare.npz", x=bands(LABELS, 4))
    task = open_task(spec("arrays", path))
    with pytest.raises(TaskError, match="no original"):
        finish(task.evaluate(Brightest(4), Split.TEST, NeverCancelled()))
    info = task.info(Brightest(4))
    assert (info.metric, info.labelled, info.samples[0].label) == ("agreement", False, "")
    metric = finish(task.evaluate(Brightest(4), Split.TEST, NeverCancelled()))
    assert (metric.name, metric.value) == ("agreement", 1.0)
    always_zero = finish(task.evaluate(lambda x: torch.eye(4)[:1].expand(len(x), 4), Split.TEST, NeverCancelled()))
    (x, _), *rest = task.batches(Split.TEST)
    assert not rest
    assert always_zero.value == pytest.approx((Brightest(4).eval()(x).argmax(1) == 0).float().mean().item())
    assert task.loss(Brightest(4), (x, None)) is None


def test_a_batch_size_below_one_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "bare.npz", x=bands(LABELS, 4))
    with pytest.raises(TaskError, match="batch size"):
        open_task(spec("arrays", path, batch=0))

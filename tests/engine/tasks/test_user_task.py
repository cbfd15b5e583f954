"""The user's own task.py: what it may define, what stands in for the rest, and how its errors are told."""

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
from secateur.engine.tracing.tree import tensors_of

from .makers import spec

BATCHES = """
import torch

def batches(split):
    torch.manual_seed({"train": 0, "val": 1, "test": 2}[split])
    for _ in range(3):
        x = torch.randn(4, 5)
        yield x, x.argmax(1)
"""


def written(folder: Path, text: str) -> Task:
    (folder / "task.py").write_text(text)
    return open_task(spec("file", folder / "task.py"))


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def test_batches_with_class_numbers_are_enough(tmp_path: Path) -> None:
    task = written(tmp_path, BATCHES)
    info = task.info(nn.Identity())
    assert (info.metric, info.labelled, len(info.samples)) == ("top-1", True, 4)
    assert all(sample.label == sample.predicted for sample in info.samples)
    assert tensors_of(task.example_inputs())[0].shape == (2, 5)
    metric = finish(task.evaluate(nn.Identity(), Split.TEST, NeverCancelled()))
    assert (metric.name, metric.value, metric.count) == ("top-1", 1.0, 12)
    reversed_answers = finish(task.evaluate(lambda x: -x, Split.TEST, NeverCancelled()))
    assert reversed_answers.value == 0.0
    assert task.loss(nn.Identity(), next(task.batches(Split.TRAIN))) is None


def test_without_labels_the_metric_is_agreement(tmp_path: Path) -> None:
    task = written(tmp_path, BATCHES.replace("yield x, x.argmax(1)", "yield x"))
    assert task.info(nn.Identity()).metric == "agreement"
    assert finish(task.evaluate(nn.Identity(), Split.VAL, NeverCancelled())).value == 1.0
    assert finish(task.evaluate(lambda x: -x, Split.VAL, NeverCancelled())).value == 0.0


def test_the_files_own_loss_and_metric_are_used(tmp_path: Path) -> None:
    text = BATCHES + (
        "def loss(model, batch):\n    return (model(batch[0]) ** 2).mean()\n"
        "def evaluate(model, split):\n    assert not model.training\n"
        "    return {'rmse': 0.25, 'n': 7, 'standard_error': 0.01, 'where': split}\n"
    )
    task = written(tmp_path, text)
    x, y = next(task.batches(Split.TRAIN))
    loss = task.loss(nn.Identity(), (x, y))
    assert loss is not None
    assert loss.item() == pytest.approx((x**2).mean().item())
    metric = finish(task.evaluate(nn.Identity().train(), Split.VAL, NeverCancelled()))
    assert (metric.name, metric.value, metric.count, metric.error) == ("rmse", 0.25, 7, 0.01)
    assert (metric.percent, metric.higher_is_better) == (False, False)


def test_a_share_is_shown_as_per_cent(tmp_path: Path) -> None:
    task = written(tmp_path, "def evaluate(model):\n    return {'accuracy': 0.5}\n")
    metric = finish(task.evaluate(nn.Identity(), Split.TEST, NeverCancelled()))
    assert (metric.percent, metric.higher_is_better, metric.count) == (True, True, 0)


def test_evaluate_takes_a_session_of_a_file_as_a_module(tmp_path: Path) -> None:
    text = (
        "import torch\ndef evaluate(model):\n    device = next(model.parameters()).device\n    model.eval()\n"
        "    return {'score': model(torch.ones(2, 3, device=device)).sum()}\n"
    )
    assert finish(written(tmp_path, text).evaluate(lambda x: 2 * x, Split.TEST, NeverCancelled())).value == 12.0


def test_the_users_evaluate_can_be_stopped(tmp_path: Path) -> None:
    token, calls = Event(), []
    task = written(tmp_path, "def evaluate(model):\n    while True:\n        model(1)\n")

    def predict(x: int) -> int:
        calls.append(x)
        if len(calls) == 3:
            token.set()
        return x

    with pytest.raises(Cancelled):
        finish(task.evaluate(predict, Split.TEST, token))
    assert len(calls) == 3


def test_neighbours_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text("SCORE = 0.75\n")
    (tmp_path / "utils.py").write_text("NAME = 'accuracy'\n")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("def half(x):\n    return x / 2\n")
    text = (
        "import engine, utils\ndef evaluate(model):\n    from app import half\n"
        "    return {utils.NAME: half(engine.SCORE)}\n"
    )
    assert finish(written(tmp_path, text).evaluate(nn.Identity(), Split.TEST, NeverCancelled())).value == 0.375


@pytest.mark.parametrize(
    ("text", "part", "sentence"),
    [
        (
            "import torch\n\nrows = 3\nrows.append(4)\n",
            "append",
            "AttributeError: 'int' object has no attribute 'append'",
        ),
        ("def loss(model, batch)\n    return 0\n", "def loss", "SyntaxError"),
        ("import torch\nimport absent_package\n", "absent", "ModuleNotFoundError: No module named 'absent_package'"),
    ],
)
def test_an_error_on_loading_names_file_line_and_cause(tmp_path: Path, text: str, part: str, sentence: str) -> None:
    with pytest.raises(TaskError) as caught:
        written(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'task.py'}, line {line_of(text, part)}: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("function", ["batches", "loss", "evaluate", "example_inputs"])
def test_an_error_in_a_function_names_its_line(tmp_path: Path, function: str) -> None:
    text = BATCHES + (
        "def loss(model, batch):\n    return batch.absent\n"
        "def evaluate(model):\n    return {'a': 1 / 0}\n"
        "def example_inputs():\n    raise ValueError('no inputs today')\n"
    )
    if function == "batches":
        text = text.replace("        yield x", "        x.absent_too\n        yield x")
    task = written(tmp_path, text)
    part = {"batches": "absent_too", "loss": "batch.absent", "evaluate": "1 / 0", "example_inputs": "no inputs"}[
        function
    ]
    calls = {
        "batches": lambda: list(task.batches(Split.TRAIN)),
        "loss": lambda: task.loss(nn.Identity(), (1, 2)),
        "evaluate": lambda: finish(task.evaluate(nn.Identity(), Split.TEST, NeverCancelled())),
        "example_inputs": task.example_inputs,
    }
    with pytest.raises(TaskError) as caught:
        calls[function]()
    assert str(caught.value).startswith(f"{tmp_path / 'task.py'}, line {line_of(text, part)}: ")
    assert "Traceback" in caught.value.details


def test_an_error_in_a_neighbour_names_the_neighbour(tmp_path: Path) -> None:
    (tmp_path / "scoring.py").write_text("def score():\n    return [][0]\n")
    task = written(tmp_path, "import scoring\ndef evaluate(model):\n    return scoring.score()\n")
    with pytest.raises(TaskError, match=r"scoring\.py, line 2: IndexError: list index out of range"):
        finish(task.evaluate(nn.Identity(), Split.TEST, NeverCancelled()))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("answer = 42\n", "defines none of model"),
        ("def evaluate(model):\n    return 'good'\n", r"returned str\. Return a dict"),
        ("def evaluate(model):\n    return {'verdict': 'good'}\n", "contains no number"),
        ("def evaluate(model):\n    return {'loss': float('nan')}\n", "returned NaN or infinity"),
        ("def loss(model, batch):\n    return 0\n", "no function batches"),
        ("def batches(split):\n    return []\n", "returned no batches"),
        ("def batches(split):\n    return [{'x': 1}]\n", r"Define inputs\(batch\)"),
    ],
)
def test_files_that_say_too_little_are_told_what_is_needed(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        task = written(tmp_path, text)
        finish(task.evaluate(nn.Identity(), Split.TEST, NeverCancelled()))
        task.example_inputs()


def test_a_loss_that_is_no_scalar_is_refused(tmp_path: Path) -> None:
    task = written(tmp_path, BATCHES + "def loss(model, batch):\n    return batch[0]\n")
    with pytest.raises(TaskError, match=r"returned a tensor \[4, 5\]"):
        task.loss(nn.Identity(), next(task.batches(Split.TRAIN)))


def test_batches_of_another_form_are_taken_by_the_files_own_inputs(tmp_path: Path) -> None:
    text = (
        "import torch\ndef batches(split):\n    return [{'a': torch.ones(4, 2), 'b': torch.zeros(4, 2)}] * 3\n"
        "def inputs(batch):\n    return batch['a'], batch['b']\n"
    )
    task = written(tmp_path, text)
    assert [x.shape for x in tensors_of(task.example_inputs())] == [(2, 2), (2, 2)]
    assert task.batch_count(Split.TRAIN) == 3


def test_a_seed_reaches_batches_that_take_one(tmp_path: Path) -> None:
    text = (
        "import torch\ndef batches(split, seed=None):\n"
        "    return [torch.full((2, 2), -1.0 if seed is None else seed)]\n"
    )
    task = written(tmp_path, text)
    assert [batch[0, 0].item() for seed in (None, 3) for batch in task.batches(Split.TRAIN, seed)] == [-1, 3]


def test_the_count_of_lazy_batches_is_known_after_a_pass(tmp_path: Path) -> None:
    task = written(tmp_path, BATCHES)
    assert task.batch_count(Split.TRAIN) == 0
    assert len(list(task.batches(Split.TRAIN))) == 3
    assert task.batch_count(Split.TRAIN) == 3


def test_gradients_flow_through_the_files_loss(tmp_path: Path) -> None:
    task = written(tmp_path, BATCHES + "def loss(model, batch):\n    return model(batch[0]).pow(2).mean()\n")
    model = nn.Linear(5, 5)
    loss = task.loss(model, next(task.batches(Split.TRAIN)))
    assert loss is not None
    loss.backward()
    assert model.weight.grad is not None
    assert torch.isfinite(model.weight.grad).all()


def test_labels_that_the_model_has_no_output_for_are_refused(tmp_path: Path) -> None:
    task = written(tmp_path, BATCHES.replace("x.argmax(1)", "x.argmax(1) + 30"))
    with pytest.raises(TaskError, match=r"has the label 3\d, but the model has 5 outputs \(0 to 4\)"):
        finish(task.evaluate(nn.Identity(), Split.TEST, NeverCancelled()))


def test_batches_of_tokens_say_where_a_student_learns_from_its_teacher(tmp_path: Path) -> None:
    tokens = "torch.ones(2, 3).long(), torch.tensor([[4, -100, 5], [-100, -100, 6]])"
    text = f"import torch\n\ndef batches(split):\n    yield {tokens}\n"
    task = written(tmp_path, text)
    distillation_batch = task.distillation_batch(next(task.batches(Split.TRAIN)))
    assert distillation_batch.counts.tolist() == [[True, False, True], [False, False, True]]
    task = written(tmp_path, BATCHES)
    assert task.distillation_batch(next(task.batches(Split.TRAIN))).counts is None


EVALUATE = "\n\ndef evaluate(predict, split):\n    return 0.5\n"
BY_NAME = """
import torch

def batches(split):
    yield {"input_ids": torch.ones(4, 3).long(), "labels": LABELS}

def inputs(batch):
    return batch
"""


@pytest.mark.parametrize(
    ("text", "logits"),
    [
        (BATCHES, True),
        (BATCHES + EVALUATE, True),
        (BATCHES.replace("x.argmax(1)", "x.sum(1)"), True),  # without a metric of its own: agreement of classes
        (BATCHES.replace("x.argmax(1)", "x.sum(1)") + EVALUATE, None),
        (BATCHES.replace("x.argmax(1)", "x.long()") + EVALUATE, None),  # any of five classes
        (BY_NAME.replace("LABELS", "torch.arange(4)") + EVALUATE, True),
        (BY_NAME.replace("LABELS", "torch.ones(4, 3).long()") + EVALUATE, True),
        (BY_NAME.replace("LABELS", "torch.ones(4, 5).long()") + EVALUATE, None),
        (BY_NAME.replace("LABELS", "torch.ones(4, 3)") + EVALUATE, None),
    ],
)
def test_answers_are_logits_where_the_batch_or_the_metric_says_so(tmp_path: Path, text: str, logits: bool | None):
    task = written(tmp_path, text)
    distillation_batch = task.distillation_batch(next(task.batches(Split.TRAIN)))
    assert distillation_batch.logits is logits
    assert (distillation_batch.counts is not None) == ("ones(4, 3).long()}" in text)


def test_a_loader_over_a_stream_is_opened_though_it_refuses_to_say_its_length(tmp_path: Path) -> None:
    text = (
        "import torch\nfrom torch.utils.data import DataLoader, IterableDataset\n"
        "class Stream(IterableDataset):\n    def __iter__(self):\n        yield from torch.eye(6)\n"
        "def batches(split):\n    return DataLoader(Stream(), batch_size=2)\n"
    )
    task = written(tmp_path, text)
    assert task.batch_count(Split.TRAIN) == 0
    assert len(list(task.batches(Split.TRAIN))) == task.batch_count(Split.TRAIN) == 3


@pytest.mark.parametrize(("arguments", "told"), [("model", True), ("model, split", False)])
def test_a_metric_that_takes_no_split_is_told_to_choose_and_report_by_the_same(
    tmp_path: Path, arguments: str, told: bool
) -> None:
    task = written(tmp_path, f"def evaluate({arguments}): return {{'accuracy': 0.5, 'n': 10}}")
    finish(task.evaluate(nn.Identity(), Split.TEST, NeverCancelled()))
    assert any("takes no split" in str(one) for one in task.remarks) is told  # type: ignore[attr-defined]


READING = """
import numpy, torch
from torch.utils.data import DataLoader, TensorDataset

def batches(split):
    x = torch.from_numpy(numpy.load(__file__.replace("task.py", "x.npy")))
    return DataLoader(TensorDataset(x, x.argmax(1)), 4, shuffle=True)
"""


def test_data_that_the_file_reads_and_files_beside_it_tell_measurements_apart(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32))
    task = written(tmp_path, READING)
    given = [task.given()]  # type: ignore[attr-defined]
    assert task.given() == given[0]  # type: ignore[attr-defined]
    np.save(tmp_path / "x.npy", np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32))
    given.append(task.given())  # type: ignore[attr-defined]
    (tmp_path / "losses.py").write_text("")
    given.append(task.given())  # type: ignore[attr-defined]
    assert len(set(given)) == 3


@pytest.mark.parametrize(
    "batch",
    [
        "numpy.array(['a', 'b']), torch.ones(2, dtype=torch.bfloat16)",
        "numpy.array([{}, 2], dtype=object), numpy.ones((2, 2))[::-1]",
        "torch.eye(2).to_sparse(), torch.tensor(3)",
        "torch.rand(2, generator=RANDOM), torch.zeros(2)",
    ],
)
def test_whatever_batches_hold_the_same_is_told_of_them(tmp_path: Path, batch: str) -> None:
    text = "import numpy, torch\nRANDOM = torch.Generator()\ndef batches(split):\n"
    text += f"    if split == 'val': raise ValueError('none')\n    yield {batch}\n"
    task = written(tmp_path, text)
    (tmp_path / ".#task.py").symlink_to("nowhere")
    assert task.given() == task.given()  # type: ignore[attr-defined]

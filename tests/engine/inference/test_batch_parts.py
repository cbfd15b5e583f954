"""Out of memory: batches go through the model in parts, and everything comes out as if there had been enough."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secateur.engine.errors import OutOfMemory, SecateurError
from secateur.engine.inference.batch_parts import PassLimit, in_parts, independent, input_parts, joined
from secateur.engine.jobs import Job, NeverCancelled, Progress, finish
from secateur.engine.machine.out_of_memory import lack_of_memory, runs_out_of_memory
from secateur.engine.recovery import finetune
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.recovery.recover import recover
from secateur.engine.scoring import criteria
from secateur.engine.scoring.criteria import CRITERIA, score
from secateur.engine.structures.analyse import analyse
from secateur.engine.tasks.evaluate import evaluate_on
from secateur.engine.tasks.protocol import Split
from tests.engine.builders import tiny_net
from tests.engine.nets import Transformer, image
from tests.engine.scoring.given_task import GivenTask
from tests.engine.toy_task import ToyTask

TEXTS = (
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 "
    "bytes.",
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.10 GiB",
    "CUDA error: out of memory",
    "HIP out of memory. Tried to allocate 2.00 GiB",
    "XPU out of memory. Tried to allocate 2.00 GiB",
    "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB, max allowed: 9.07 GB).",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
)


def hungry(model: nn.Module, most: int, text: str = TEXTS[0]) -> nn.Module:
    """The model, whose first layer finds memory for so many samples."""
    first = next(one for one in model.modules() if isinstance(one, nn.Conv2d | nn.Linear))

    def refuse(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
        if len(given[0]) > most:
            raise RuntimeError(text)

    first.register_forward_pre_hook(refuse)
    return model


def steps(job: Job[Any]) -> tuple[Any, list[str]]:
    """(what a job returns, codes of what it said)."""
    codes = list[str]()
    try:
        while True:
            said: Progress = next(job)
            codes.append(said.message.code)
    except StopIteration as stop:
        return stop.value, codes


@pytest.mark.parametrize("text", TEXTS)
def test_lack_of_memory_is_known_by_what_each_device_says(text: str):
    assert runs_out_of_memory(RuntimeError(text)) and lack_of_memory(RuntimeError(text)) is not None
    wrapped = SecateurError("scoring.failed", "It failed.")
    wrapped.__cause__ = RuntimeError(text)
    assert runs_out_of_memory(wrapped) and not runs_out_of_memory(RuntimeError("shapes do not match"))


def test_an_evaluation_goes_on_with_half_the_samples_and_gives_the_same():
    task, model = ToyTask(64, 16), tiny_net().eval()
    whole = finish(evaluate_on(task, model, Split.VAL, NeverCancelled()))
    limit = PassLimit()
    found, codes = steps(evaluate_on(task, hungry(model, 5), Split.VAL, NeverCancelled(), limit=limit))
    assert found == whole and codes.count("memory.halved") == 2 and limit.most == 4
    assert "forward" not in vars(model)
    again, codes = steps(evaluate_on(task, model, Split.VAL, NeverCancelled(), limit=limit))
    assert again == whole and "memory.halved" not in codes, "what was found out is kept"


def test_a_single_sample_that_does_not_fit_is_told_in_a_sentence():
    task, model = ToyTask(8, 4), hungry(tiny_net().eval(), 0)
    with pytest.raises(OutOfMemory, match="not enough memory for a single sample") as told:
        finish(evaluate_on(task, model, Split.VAL, NeverCancelled()))
    assert told.value.message.code == "memory.one_sample" and lack_of_memory(told.value) is None


class Centred(nn.Module):
    """Its outputs depend on the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.net = tiny_net()

    def forward(self, x: Tensor) -> Tensor:
        found = self.net(x)
        return found - found.mean(0)


def test_a_model_whose_samples_depend_on_each_other_is_not_divided():
    task, model = ToyTask(16, 8), hungry(Centred().eval(), 4)
    with pytest.raises(OutOfMemory, match="depend on the whole batch"):
        finish(evaluate_on(task, model, Split.VAL, NeverCancelled()))


def test_what_is_no_lack_of_memory_is_not_tried_again():
    calls = list[int]()

    def fail(x: Tensor) -> Tensor:
        calls.append(len(x))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        finish(evaluate_on(ToyTask(8, 4), fail, Split.VAL, NeverCancelled()))
    assert calls == [4]


@pytest.mark.parametrize("criterion", [name for name, one in CRITERIA.items() if one.needs_data])
def test_scores_of_divided_batches_are_those_of_whole_ones(criterion: str):
    torch.manual_seed(0)
    model, task = Transformer().eval(), GivenTask(image(batch=8)[0], 6, batch=4)
    analysis = analyse(model, task.example_inputs(), "net")
    whole = finish(score(model, analysis, analysis.empty(), criterion, task))
    limit = PassLimit()
    job = score(hungry(model, 1), analysis, analysis.empty(), criterion, task, limit=limit)
    found, codes = steps(job)
    if CRITERIA[criterion].cost.__name__ == "sample_cost":
        assert not limit.most, "it looks at one sample at a time anyway"
    else:
        assert limit.most == 1 and codes.count("memory.halved") == 2
    known = np.isfinite(whole)
    if criterion == "obs":  # inverts moments of few rows: roundings count
        assert np.corrcoef(found[known], whole[known])[0, 1] > 0.999
    else:
        np.testing.assert_allclose(found, whole, rtol=2e-3, atol=1e-6 * np.max(np.abs(whole[known])))


@pytest.mark.parametrize("criterion", ["l1", "wanda"])
def test_what_runs_on_the_cpu_instead_leaves_the_limit_of_the_device(criterion: str, monkeypatch: pytest.MonkeyPatch):
    def cpu(*_: Any, **__: Any) -> Job[str]:
        yield Progress("computing on the CPU")
        return "cpu"

    monkeypatch.setattr(criteria, "device_for", cpu)
    task, model, limit = ToyTask(8, 4), tiny_net().eval(), PassLimit(2, "mps")
    analysis = analyse(model, task.example_inputs(), "net")
    finish(score(model, analysis, analysis.empty(), criterion, task, device="mps", limit=limit))
    assert (limit.most, limit.device) == (2, "mps")


def course(make: Callable[[], nn.Module], task: Any, **how: Any) -> tuple[dict[str, Tensor], list[float], list[str]]:
    """(weights, losses, codes of what was said) of a recovery of a fresh model, taught by another one."""
    torch.manual_seed(1)
    student, teacher = make().eval(), make().eval()
    settings = RecoverySettings(epochs=2, threads=1, repair=Repair.NONE, learning_rate=1e-3, mirror=False, **how)
    losses, codes, job = list[float](), list[str](), recover(student, teacher, task, settings)
    try:
        while True:
            said = next(job)
            codes.append(said.message.code)
            losses += [said.values["loss"]] if "loss" in said.values else []
    except StopIteration as stop:
        codes += [one.code for one in stop.value.messages]
        return stop.value.state_dict, losses, codes


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_training_that_runs_out_of_memory_takes_the_same_course(accumulate: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(finetune, "SPOKEN", 1)
    task = GivenTask(image(batch=12)[0], 6, batch=4)
    whole = course(Transformer, task, accumulate=accumulate)
    divided = course(lambda: hungry(Transformer(), 1, TEXTS[1]), task, accumulate=accumulate)
    assert divided[2].count("memory.halved") == 2 and divided[2][-1] == "memory.divided"
    np.testing.assert_allclose(divided[1], whole[1], rtol=1e-4)
    for name, one in whole[0].items():
        torch.testing.assert_close(divided[0][name], one, rtol=1e-3, atol=1e-4)


def test_statistics_of_norms_count_each_part_once():
    norm, given = nn.BatchNorm1d(3, momentum=None), torch.randn(8, 3)
    model = nn.Sequential(norm, nn.Linear(3, 2))
    with in_parts(model, PassLimit(4)):
        model.train()(given).sum().backward()
    assert norm.state_dict()["num_batches_tracked"] == 2
    torch.testing.assert_close(norm.running_mean, given.mean(0))


def test_no_part_is_a_single_sample_that_a_norm_cannot_train_on():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    with in_parts(model, PassLimit(4)):
        assert len(model.train()(torch.randn(9, 3))) == 9


@dataclass
class Answer:
    """Outputs as a library gives them."""

    logits: Tensor
    boxes: list[Tensor]
    extra: dict[str, Any]


def test_outputs_of_all_forms_are_put_together():
    def part(first: int, last: int) -> Answer:
        numbers = torch.arange(float(first), float(last))
        return Answer(numbers[:, None], list(numbers), {"grid": torch.ones(2, 3), "both": (numbers, None)})

    found = joined([part(0, 3), part(3, 5)], [3, 2])
    whole = part(0, 5)
    assert torch.equal(found.logits, whole.logits) and torch.equal(torch.stack(found.boxes), torch.arange(5.0))
    assert torch.equal(found.extra["both"][0], torch.arange(5.0)) and found.extra["grid"].shape == (2, 3)
    with pytest.raises(OutOfMemory, match="cannot be divided"):
        joined([torch.tensor(1.0), torch.tensor(2.0)], [3, 2])


def test_inputs_are_cut_by_samples_and_the_rest_stays():
    given: dict[str, Any] = {"ids": torch.arange(10).reshape(5, 2), "scale": torch.ones(1), "flag": True}
    parts: list[Any] = list(input_parts(given, PassLimit(2)))
    assert [len(one["ids"]) for one in parts] == [1, 2, 2]
    assert torch.equal(torch.cat([one["ids"] for one in parts]), given["ids"])
    assert all(one["scale"].shape == (1,) and one["flag"] for one in parts)
    assert list(input_parts(given, PassLimit())) == [given]


def test_samples_with_outputs_that_cannot_be_put_together_are_not_independent():
    grid = torch.ones(2, 3)

    def constant(x: Tensor) -> Any:
        return 2 * x, [grid]

    def by_size(x: Tensor) -> Any:
        return {f"of {len(x)}": x}

    assert not independent(constant, (torch.ones(4, 3),)) and not independent(by_size, (torch.ones(4, 3),))
    assert independent(lambda x: {"a": 2 * x}, (torch.ones(4, 3),))
    assert not independent(lambda x: x - x.mean(0), (torch.arange(12.0).view(4, 3),))

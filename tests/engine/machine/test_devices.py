"""Models on a device for a while: inputs follow them, answers come back, and afterwards nothing is left behind."""

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.errors import SecateurError
from secateur.engine.jobs import finish
from secateur.engine.machine.devices import available, device_named, moved, placed
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.recovery.recover import recover
from secateur.engine.targets.measure import check_target
from secateur.engine.targets.protocol import TargetSpec
from tests.engine.tiny_net import TinyNet
from tests.engine.toy_task import ToyTask


class Elsewhere(nn.Module):
    """Says where its inputs are; its weight cannot leave the CPU, as this machine has no other device with memory."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.moves: list[str] = []
        self.seen: list[str] = []

    def to(self, device):
        self.moves.append(str(device))
        return self

    def forward(self, first: Tensor, named: dict[str, Tensor], flag: bool = False) -> dict[str, Tensor]:
        self.seen += [first.device.type, named["second"].device.type]
        return {"sum": torch.ones(2), "flag": torch.tensor(flag)}


def test_inputs_go_to_the_device_and_answers_come_back_to_where_inputs_were():
    model, given = Elsewhere(), torch.ones(2)
    with placed("meta", model):
        answer = model(given, {"second": given}, flag=True)
    assert model.seen == ["meta"] * 2 and model.moves == ["meta", "cpu"]
    assert {one.device.type for one in answer.values()} == {"cpu"} and bool(answer["flag"])
    assert not model._forward_hooks and not model._forward_pre_hooks
    model(given, {"second": given})
    assert model.seen[-1] == "cpu"


def test_outputs_of_mixed_precision_come_back_in_single_precision(monkeypatch: pytest.MonkeyPatch):
    class Half(Elsewhere):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return torch.ones(2, dtype=torch.float16), torch.tensor([1])

    def types(on: bool) -> list[torch.dtype]:
        monkeypatch.setattr(torch.amp, "is_autocast_available", lambda kind: kind == "meta")
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: on and kind == "meta")
        model = Half()
        with placed("meta", model):
            return [one.dtype for one in model(torch.ones(2))]

    assert types(True) == [torch.float32, torch.int64] and types(False) == [torch.float16, torch.int64]


def test_a_model_that_raises_is_given_back():
    model = Elsewhere()
    with pytest.raises(KeyError), placed("meta", model):
        model(torch.ones(1), {})
    assert model.moves == ["meta", "cpu"] and not model._forward_hooks


def test_memory_that_runs_out_says_what_to_lower():
    with pytest.raises(SecateurError, match="Lower the batch size"), placed("meta", Elsewhere()):
        raise torch.OutOfMemoryError("no room")


def test_a_model_that_is_there_already_is_not_moved_again():
    model = nn.Linear(2, 2, device="meta")
    with placed("meta", model):
        assert not model._forward_hooks
    assert model.weight.device.type == "meta"


def test_what_holds_no_tensors_and_what_is_no_module_is_left_alone():
    with placed("meta", nn.ReLU(), lambda x: x):
        assert nn.ReLU()(torch.ones(1)).device.type == "cpu"
    assert moved({"a": [torch.ones(1), 3, None]}, "meta")["a"][0].device.type == "meta"


def test_names_are_those_that_torch_sees_and_others_are_refused_with_them():
    assert available()[0] == "cpu" and device_named("cpu") == "cpu"
    with pytest.raises(SecateurError, match=r"Device quantum is not available. Choose one of: cpu"):
        device_named("quantum")


def test_a_runtime_without_the_device_is_refused_before_it_starts(tmp_path):
    with pytest.raises(SecateurError, match="measures on the CPU here, not on cuda:0"):
        check_target([tmp_path], TargetSpec("onnxruntime", device="cuda:0"))
    assert TargetSpec(device="cuda:0").place != TargetSpec().place == TargetSpec(device="cpu").place


def test_a_recovery_on_the_processor_is_the_same_whether_that_is_said_or_not():
    torch.manual_seed(0)
    teacher, student = (
        TinyNet(width=12, hidden=(8, 8), heads=2).eval(),
        TinyNet(width=12, hidden=(8, 8), heads=2).eval(),
    )
    settings = RecoverySettings(epochs=1, threads=1)
    silent = finish(recover(student, teacher, ToyTask(), settings))
    said = finish(recover(student, teacher, ToyTask(), settings, device="cpu"))
    assert all(torch.equal(value, said.state_dict[name]) for name, value in silent.state_dict.items())

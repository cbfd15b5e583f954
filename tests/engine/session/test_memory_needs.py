"""What will not fit is said before it is loaded: sizes come from the headers of files, or from the analysis."""

import json
import os
from collections import OrderedDict
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from secateur.engine.errors import OpenError, OutOfMemory
from secateur.engine.jobs import Job, finish
from secateur.engine.machine.device_list import CPU, Device
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.session import memory_needs
from secateur.engine.session.memory_needs import room_to_open, room_to_train
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.sources.weight_size import weight_bytes
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.costs import costs
from secateur.engine.structures.memory import gathered_parameters, memory
from tests.engine.builders import tiny_net
from tests.engine.session.small import write_project
from tests.engine.toy_task import ToyTask

PLAIN = RecoverySettings()
ROOMY = Device(CPU, "", 1 << 40, 1 << 40, None, "", False, True)


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Device]:
    """The devices, as the test has them."""
    known = {CPU: ROOMY, "cuda:0": replace(ROOMY, name="cuda:0")}
    monkeypatch.setattr(memory_needs, "device_facts", known.__getitem__)
    monkeypatch.setattr(memory_needs, "swap_space", lambda: 0)
    return known


def told(job: Job[Any]) -> tuple[Any, list[str]]:
    said = list[str]()
    try:
        while True:
            said.append(str(next(job).message))
    except StopIteration as stop:
        return stop.value, said


def folder_of_shards(place: Path) -> Path:
    """A folder as Hugging Face writes it, with a file that its index does not name."""
    half = {"a": torch.zeros(10, 100, dtype=torch.bfloat16), "b": torch.zeros(7, dtype=torch.int64)}
    save_file(half, place / "model-00001-of-00002.safetensors")
    save_file({"c": torch.zeros(50, dtype=torch.float16)}, place / "model-00002-of-00002.safetensors")
    save_file({"a": torch.zeros(10, 100)}, place / "consolidated.safetensors")
    names = {"a": 1, "b": 1, "c": 2}
    index = {"weight_map": {name: f"model-0000{number}-of-00002.safetensors" for name, number in names.items()}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    (place / "config.json").write_text("{}")
    return place


def test_sizes_are_those_that_the_weights_will_have_in_memory(tmp_path: Path):
    folder = str(folder_of_shards(tmp_path))
    assert weight_bytes(ModelSpec(folder)) == 1000 * 2 + 7 * 8 + 50 * 4, "bfloat16 stays, float16 becomes float32"
    assert weight_bytes(ModelSpec(folder, float32=True)) == 1000 * 4 + 7 * 8 + 50 * 4
    torch.save({"a": torch.zeros(1000)}, tmp_path / "a.pt")
    assert 4000 < weight_bytes(ModelSpec("net.py:make", weights=str(tmp_path / "a.pt"))) < 6000
    assert weight_bytes(ModelSpec("torchvision:resnet18")) == 0
    (tmp_path / "broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0not json")
    assert weight_bytes(ModelSpec("x", weights=str(tmp_path / "broken.safetensors"))) == 0


@pytest.mark.parametrize(
    "header",
    [
        "[" * 200_000,
        '{"a": {"shape": [1e999], "dtype": "F32"}}',
        f'{{"a": {{"shape": [{"9" * 400}], "dtype": "F32"}}}}',
    ],
)
def test_a_header_that_no_file_can_have_stops_nothing(tmp_path: Path, header: str):
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    assert told(room_to_open(ModelSpec("x", weights=str(path)), CPU)) == ((), [])


def test_a_name_of_no_file_and_a_pipe_are_told_where_they_are_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "a.safetensors")
    specs = ModelSpec("x" * 5000), ModelSpec("~nobody-here/net.pt"), ModelSpec("x", str(tmp_path / "a.safetensors"))
    assert [weight_bytes(one) for one in specs] == [0, 0, 0]


def test_a_model_larger_than_the_machine_is_refused_and_a_scarce_one_is_told(
    tmp_path: Path, facts: dict[str, Device], monkeypatch: pytest.MonkeyPatch
):
    spec = ModelSpec(str(folder_of_shards(tmp_path)))
    assert told(room_to_open(spec, CPU)) == ((), [])
    facts["cuda:0"] = replace(facts["cuda:0"], free=1000)
    notes, said = told(room_to_open(spec, "cuda:0"))
    assert len(notes) == 1 and "cuda:0 has 1.00 kB free" in said[0].replace("1 kB", "1.00 kB")
    assert told(room_to_open(spec, CPU)) == ((), []), "another device does not matter"
    facts[CPU] = replace(ROOMY, total=2000)
    with pytest.raises(OpenError, match=r"secateur shear"):
        told(room_to_open(spec, CPU))
    monkeypatch.setattr(memory_needs, "swap_space", lambda: 10**6)
    assert told(room_to_open(spec, CPU)) == ((), []), "slow, but it opens"


def test_a_training_counts_weights_gradients_moments_and_activations(facts: dict[str, Device]):
    analysis = analyse(tiny_net(), ToyTask(2).example_inputs(), "net")
    nothing = analysis.empty()
    weights, held = costs(analysis).parameters, memory(analysis)
    least = 4 * (weights + 4 * weights) + (held.saved + held.peak) // 2  # two samples are in the example
    facts["cuda:0"] = replace(facts["cuda:0"], total=least, free=least)
    assert told(room_to_train(analysis, nothing, 1, "cuda:0", PLAIN)) == (None, [])
    _, said = told(room_to_train(analysis, nothing, 2, "cuda:0", PLAIN))
    assert len(said) == 1 and "batches may be divided" in said[0]
    facts["cuda:0"] = replace(facts["cuda:0"], total=least - 1, free=0)
    with pytest.raises(OutOfMemory, match="Choose another device"):
        told(room_to_train(analysis, nothing, 1, "cuda:0", PLAIN))


def test_a_teacher_without_a_part_in_the_loss_takes_no_memory(facts: dict[str, Device]):
    analysis = analyse(tiny_net(), ToyTask(2).example_inputs(), "net")
    nothing, weights = analysis.empty(), costs(analysis).parameters
    least = 4 * 4 * weights + memory(analysis).saved // 2
    facts["cuda:0"] = replace(facts["cuda:0"], total=least, free=least)
    assert told(room_to_train(analysis, nothing, 1, "cuda:0", PLAIN, taught=False)) == (None, [])
    with pytest.raises(OutOfMemory, match="Choose another device"):
        told(room_to_train(analysis, nothing, 1, "cuda:0", PLAIN))


@pytest.mark.parametrize("labelled", [True, False])
def test_a_recovery_asks_for_no_memory_of_a_teacher_that_it_does_not_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labelled: bool
):
    spec, seen = write_project(tmp_path / "mine"), list[bool]()
    assert spec.task is not None
    if not labelled:
        images = {name: one for name, one in np.load(spec.task.path).items() if name.startswith("x_")}
        np.savez(spec.task.path, **images)
    with closing(Session(tmp_path / "session")) as session:
        finish(session.open(spec))

        def asked(*given: Any) -> Job[None]:
            seen.append(given[-1])
            yield from ()

        monkeypatch.setattr("secateur.engine.session.session.room_to_train", asked)
        for distillation in (0.0, 0.5):
            finish(session.recover("s0", RecoverySettings(epochs=1, distillation=distillation, repair=Repair.NONE)))
    assert seen == [not labelled, True]


def test_several_processes_divide_the_batch_and_where_it_is_asked_for_the_models(facts: dict[str, Device]):
    layers = [nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(4)]
    model = nn.Sequential(OrderedDict(layers=nn.Sequential(*layers), head=nn.Linear(8, 8)))
    analysis = analyse(model, (torch.zeros(2, 8),), "net")
    nothing, layer = analysis.empty(), 8 * 8 + 8
    assert gathered_parameters(analysis, nothing) == 3 * layer, "two blocks, and what is outside of them"
    activations = (memory(analysis).saved + memory(analysis).peak) // 2
    for settings, need in (
        (PLAIN, 4 * 5 * 5 * layer + 2 * activations),
        (replace(PLAIN, accumulate=2), 4 * 5 * 5 * layer + 4 * activations),
        (replace(PLAIN, shard=True), 4 * (-(-5 * 5 * layer // 2) + 2 * 3 * layer) + 2 * activations),
    ):
        facts["cuda:0"] = replace(facts["cuda:0"], free=need)
        assert told(room_to_train(analysis, nothing, 4, "cuda:0", settings, 2)) == (None, [])
        facts["cuda:0"] = replace(facts["cuda:0"], free=need - 1)
        assert len(told(room_to_train(analysis, nothing, 4, "cuda:0", settings, 2))[1]) == 1

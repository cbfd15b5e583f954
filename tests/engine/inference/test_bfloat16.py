"""Models in bfloat16: opened, rated, evaluated, cut and exported as they are."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from secateur.engine.cli.main import main
from secateur.engine.foreign_code.consent import FULL_CONSENT
from secateur.engine.inference.bfloat16 import in_bfloat16
from secateur.engine.inference.model_inputs import read, write
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.scoring.criteria import CRITERIA, offers, score
from secateur.engine.session.open_model import opened_task, prepare
from secateur.engine.session.session import Session
from secateur.engine.sharing.session_files import save_project
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analyse import analyse
from secateur.engine.tasks.protocol import Split
from secateur.engine.tracing.tree import tensors_of
from tests.engine.session.small import write_project

NEVER = NeverCancelled()


def project(folder: Path, code: str = "make(classes).to(torch.bfloat16)") -> ModelSpec:
    """A small network of images as `half` of its file, and its data."""
    spec = write_project(folder)
    with (folder / "model.py").open("a") as file:
        file.write(f"\n\ndef half(classes=3):\n    return {code}\n")
    return replace(spec, source=spec.source.replace(":make", ":half"))


def asked(spec: ModelSpec, *more: str) -> list[str]:
    """Arguments that prune by a model and its data."""
    assert spec.task is not None
    limits = ["--keep-params", "60%", "--multiple", "1", "--no-recover", "--json"]
    return ["prune", spec.source, "--task", spec.task.path, "--batch", "16", *limits, *more]


def types(weights: dict[str, torch.Tensor]) -> set[torch.dtype]:
    """Of floating tensors."""
    return {one.dtype for one in weights.values() if one.is_floating_point()}


def test_a_model_stays_in_bfloat16_and_others_come_in_float32(tmp_path: Path) -> None:
    assert types(open_model(project(tmp_path / "half")).model.state_dict()) == {torch.bfloat16}
    for kind in ("half()", "double()"):
        spec = project(tmp_path / kind, f"make(classes).{kind}")
        assert types(open_model(spec).model.state_dict()) == {torch.float32}
    assert types(open_model(replace(project(tmp_path / "wide"), float32=True)).model.state_dict()) == {torch.float32}


@pytest.mark.end_to_end
@pytest.mark.parametrize("form", ["folder", "file.pt2", "file.onnx"])
def test_prune_exports_a_model_in_bfloat16(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, out = project(tmp_path / "mine"), tmp_path / form
    assert main(asked(spec, "--export", str(out), "--save", str(tmp_path / "saved"))) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["verification"]["passed"]
    metrics = done["metrics"] | {"file": done["export"]["metric"]}
    assert metrics["file"]["value"] == pytest.approx(metrics["result"]["value"], abs=0.05)
    if form == "folder":
        assert types(load_file(out / "weights.safetensors")) == {torch.bfloat16}
        assert done["export"]["difference"] < 1e-6
        assert "bfloat16 [N, 1, 8, 8]" in (out / "README.txt").read_text(encoding="utf-8")
        again = open_model(ModelSpec(str(out), trust_code=True)).model
        assert again(torch.zeros(2, 1, 8, 8, dtype=torch.bfloat16)).dtype is torch.bfloat16
    if form == "file.onnx":
        session = onnxruntime.InferenceSession(str(out))
        assert session.get_inputs()[0].type == "tensor(float)" and done["export"]["difference"] < 1e-4
        assert [note["code"] for note in done["export"]["notes"]] == ["export.float32"]
    assert main(["prune", str(tmp_path / "saved"), "--keep-params", "40%", "--no-recover", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verification"]["passed"]


def test_prune_works_by_an_input_shape_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, out = project(tmp_path / "mine"), tmp_path / "out"
    argv = ["prune", spec.source, "--input", "1x1x8x8", "--keep-params", "60%", "--multiple", "1", "--no-recover"]
    assert main([*argv, "--export", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verification"]["passed"]
    assert types(load_file(out / "weights.safetensors")) == {torch.bfloat16}


def test_evaluation_and_scores_keep_the_weights_and_sum_in_float32(tmp_path: Path) -> None:
    """Scores are near those of the same weights in float32: bfloat16 keeps 8 bits of what is not summed."""
    spec = project(tmp_path)
    half = finish(prepare(spec, NEVER, FULL_CONSENT))
    wide = finish(prepare(replace(spec, float32=True), NEVER, FULL_CONSENT))
    assert in_bfloat16(half.opened.model) and not in_bfloat16(wide.opened.model)
    assert half.task is not None and wide.task is not None
    for name, one in half.opened.model.state_dict().items():
        assert torch.equal(one.float(), wide.opened.model.state_dict()[name].to(one.dtype).float()), name
    with torch.no_grad():
        for a, b in zip(half.opened.model.parameters(), wide.opened.model.parameters(), strict=True):
            b.copy_(a)
    batches = [*half.task.batches(Split.TEST)]
    right = sum(int((half.opened.model(x.to(torch.bfloat16)).argmax(1) == y).sum()) for x, y in batches)
    metric = finish(half.task.evaluate(half.opened.model, Split.TEST, NEVER))
    assert metric.value == right / metric.count
    found = [analyse(one.opened.model, one.inputs) for one in (half, wide)]
    assert [s.key for s in found[0].sets] == [s.key for s in found[1].sets]
    info = half.task.info(half.opened.model)
    possible = {one.criterion.name for one in offers(found[0], found[0].empty(), info) if one.reason is None}
    assert possible >= {"l1", "l2", "taylor", "wanda", "fisher"} & CRITERIA.keys()
    for name in sorted(possible):
        if name == "random":
            continue
        made = [
            finish(score(one.opened.model, analysis, analysis.empty(), name, one.task))
            for one, analysis in zip((half, wide), found, strict=True)
        ]
        assert types(half.opened.model.state_dict()) == {torch.bfloat16}, name
        known = np.isfinite(made[1])
        assert (np.isfinite(made[0]) == known).all(), name
        apart = np.corrcoef(made[0][known], made[1][known])[0, 1] if known.sum() > 1 and np.ptp(made[1][known]) else 1
        assert apart > (0.999 if name in ("l1", "l2") else 0.9), (name, apart)


TOKENS = """
import torch
from torch import nn


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.hidden, self.out = nn.Embedding(11, 16), nn.Linear(16, 24), nn.Linear(24, 5)

    def forward(self, ids):
        return self.out(torch.relu(self.hidden(self.embed(ids))).mean(1))


def make():
    return Tokens().to(torch.bfloat16)


def batches(split):
    ids = torch.arange(24).reshape(4, 6) % 11
    yield ids, ids.sum(1) % 5
"""
"""A model that takes whole numbers, and a task for it: inputs that say nothing of its type."""


def test_a_model_of_tokens_is_pruned_by_a_task_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "net.py", tmp_path / "out"
    file.write_text(TOKENS)
    argv = ["prune", f"{file}:make", "--task", str(file), "--keep-params", "70%", "--multiple", "1", "--no-recover"]
    assert main([*argv, "--export", str(out), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["verification"]["passed"] and set(done["metrics"]) == {"original", "result"}
    assert types(load_file(out / "weights.safetensors")) == {torch.bfloat16}


def test_an_input_shape_beside_data_is_of_the_models_type_too(tmp_path: Path) -> None:
    prepared = finish(prepare(replace(project(tmp_path), input_shape=(1, 1, 8, 8)), NEVER, FULL_CONSENT))
    assert in_bfloat16(prepared.opened.model)
    assert all(one.dtype is torch.bfloat16 for one in tensors_of(prepared.inputs))


def test_code_that_takes_float32_alone_is_opened_in_float32(tmp_path: Path) -> None:
    spec = project(tmp_path)
    with (tmp_path / "model.py").open("a") as file:
        file.write(
            "\n\nclass Wide(Net):\n    def forward(self, x):\n        return super().forward(x.float())\n\n\n"
            "def wide():\n    return Wide().to(torch.bfloat16)\n"
        )
    prepared = finish(prepare(replace(spec, source=spec.source.replace(":half", ":wide")), NEVER, FULL_CONSENT))
    assert not in_bfloat16(prepared.opened.model) and prepared.spec.float32
    assert [note.code for note in prepared.opened.notes] == ["source.untrained", "open.float32"]


def test_a_task_of_ones_own_that_gives_float32_gets_a_model_in_float32(tmp_path: Path) -> None:
    spec, own = project(tmp_path), tmp_path / "task.py"
    own.write_text(
        "import torch\n\ndef batches(split):\n    yield torch.zeros(4, 1, 8, 8, dtype=KIND), torch.zeros(4).long()\n"
    )
    for kind, expected in (("torch.float32", False), ("torch.bfloat16", True)):
        own.write_text(own.read_text().replace("KIND", kind).replace("torch.float32", kind))
        assert spec.task is not None
        task = replace(spec.task, kind="file", path=str(own))
        assert in_bfloat16(finish(prepare(replace(spec, task=task), NEVER, FULL_CONSENT)).opened.model) is expected


def test_a_recipe_of_a_model_in_bfloat16_says_nothing_of_the_type_of_others(tmp_path: Path) -> None:
    spec = project(tmp_path)
    half = finish(prepare(spec, NEVER, FULL_CONSENT))
    assert ("dtype", "bfloat16") in half.spec.task.options  # pyright: ignore[reportOptionalMemberAccess]
    wide = open_model(replace(spec, source=spec.source.replace(":half", ":make")), consent=FULL_CONSENT).model
    assert half.spec.task is not None
    assert ("dtype", "bfloat16") not in opened_task(half.spec.task, wide, FULL_CONSENT).spec.options


def test_a_session_of_float32_weights_is_reopened_in_float32(tmp_path: Path) -> None:
    """As versions kept it that opened every model in float32."""
    spec = project(tmp_path / "mine")
    session = Session()
    finish(session.open(replace(spec, float32=True)))
    finish(save_project(session, str(tmp_path / "saved"), "s0"))
    session.close()
    log = tmp_path / "saved" / "events.jsonl"
    log.write_text(log.read_text().replace('"float32":true', '"float32":false'))
    again = Session()
    finish(again.open(ModelSpec(str(tmp_path / "saved"))))
    model = again.model("s0")  # pyright: ignore[reportPrivateUsage]
    assert types(model.state_dict()) == {torch.float32}
    again.close()


def test_inputs_in_bfloat16_survive_a_file(tmp_path: Path) -> None:
    given = {"x": torch.randn(3, 4).to(torch.bfloat16), "ids": torch.arange(3)}
    write(tmp_path / "inputs.npz", given)
    found = read(tmp_path / "inputs.npz")
    assert torch.equal(found["x"], given["x"]) and np.array_equal(found["ids"], given["ids"].numpy())

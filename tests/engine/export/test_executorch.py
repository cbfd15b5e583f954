"""ExecuTorch files compute what the model does, by ExecuTorch's own runtime, and a missing package is said."""

import importlib.util
import subprocess
from dataclasses import replace

import pytest
import torch

from secateur.engine.errors import ExportError, Message, SecateurError
from secateur.engine.export import executorch_file
from secateur.engine.export.executorch_file import ExecuTorchExporter, export_executorch_here
from secateur.engine.jobs import NeverCancelled, finish
from tests.warm_start import python

from .nets import inputs, request

INSTALLED = importlib.util.find_spec("executorch") is not None
installed = pytest.mark.skipif(not INSTALLED, reason="executorch is not installed")


class Pair(torch.nn.Linear):
    """Two inputs by name, outputs by name, and one more that no file needs to be given."""

    def forward(self, ids, mask, flag=True):
        """As any model of tokens."""
        hidden = super().forward(ids.float() * mask)
        return {"logits": hidden if flag else -hidden, "parts": (hidden.relu(), ids)}


@installed
def test_the_file_computes_what_the_model_does_in_executorch_alone(program_export, tmp_path):
    asked, _ = program_export
    done = finish(ExecuTorchExporter().export(replace(asked, path=str(tmp_path / "net.pte")), NeverCancelled()))
    assert [one.name for one in tmp_path.iterdir()] == ["net.pte"] and done.bytes == (
        tmp_path / "net.pte"
    ).stat().st_size
    assert done.difference is not None and done.difference < 1e-5
    assert [one.code for one in done.notes if isinstance(one, Message)] == ["export.one_by_one"]  # XNNPACK takes it
    x = inputs(3)
    torch.save(x, tmp_path / "in.pt")
    code = (
        "import sys, torch\n"
        "sys.modules['secateur'] = sys.modules['net'] = None\n"
        "from executorch.runtime import Runtime\n"
        "run = Runtime.get().load_program('net.pte').load_method('forward')\n"
        "torch.save([run.execute([one[None]])[0].clone() for one in torch.load('in.pt')], 'out.pt')\n"
    )
    subprocess.run(python("-c", code), cwd=tmp_path, check=True, timeout=120)
    with torch.no_grad():
        expected = asked.model(x)
    assert torch.allclose(torch.cat(torch.load(tmp_path / "out.pt")), expected, rtol=1e-4, atol=1e-6)
    predict = ExecuTorchExporter().predictor(done.files[0])
    assert torch.allclose(predict(x), expected, rtol=1e-4, atol=1e-6)


@installed
def test_a_file_that_computes_something_else_is_refused(tmp_path):
    asked = request(tmp_path, tmp_path / "net.pte", "Forgetful")
    with pytest.raises(ExportError) as refused:
        finish(ExecuTorchExporter().export(asked, NeverCancelled()))
    assert refused.value.message.code == "export.differs" and not (tmp_path / "net.pte").exists()


@installed
def test_inputs_and_outputs_have_the_models_names(tmp_path):
    model, ids, mask = Pair(8, 4).eval(), torch.arange(24).reshape(3, 8), torch.ones(3, 8)
    export_executorch_here(model, {"mask": mask[:1], "ids": ids[:1], "flag": False}, tmp_path / "net.pte")
    predict = ExecuTorchExporter().predictor(str(tmp_path / "net.pte"))
    found, expected = predict(ids=ids, mask=mask, flag=False), model(ids, mask, flag=False)
    assert torch.allclose(found.logits, expected["logits"], rtol=1e-5, atol=1e-5)
    assert torch.equal(found["parts"][1], ids)


@installed
def test_what_xnnpack_cannot_take_runs_on_portable_kernels(tmp_path, monkeypatch):
    xnnpack = executorch_file.library("backends.xnnpack.partition.xnnpack_partitioner")

    def broken(*_arguments, **_named):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(xnnpack.XnnpackPartitioner, "partition", broken)
    model, x = torch.nn.Linear(4, 3), torch.randn(1, 4)
    export_executorch_here(model, (x,), tmp_path / "net.pte")
    run, about = executorch_file.load_file(str(tmp_path / "net.pte"))
    assert "no such kernel" in about["portable"] and torch.allclose(run(x)[0], model(x), atol=1e-6)


def test_a_missing_executorch_is_said(program_export, monkeypatch):
    monkeypatch.setattr(executorch_file, "find_spec", lambda _name: None)
    refusal = ExecuTorchExporter().refusal(program_export[0])
    assert isinstance(refusal, SecateurError) and "pip install 'secateur[executorch]'" in str(refusal)

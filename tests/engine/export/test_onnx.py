"""ONNX files compute what PyTorch computes, say what they are, and appear whole or not at all."""

import copy
import dataclasses
import signal
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers

from secateur.engine.errors import ExportError, OpenError
from secateur.engine.export.onnx import OnnxExporter, export_onnx
from secateur.engine.export.program import export_program_here
from secateur.engine.export.write_onnx import export_onnx_here
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.sources.protocol import ModelSpec

from .nets import inputs, request


def refused(asked):
    with pytest.raises(ExportError) as caught:
        finish(export_onnx(asked))
    return caught.value


def left(folder):
    return sorted(p.name for p in folder.iterdir() if p.name not in ("net.py", "__pycache__"))


@pytest.mark.parametrize("batch", [1, 5])
def test_onnxruntime_agrees_with_pytorch_at_any_batch(onnx_export, batch):
    asked, exported = onnx_export
    session = onnxruntime.InferenceSession(exported.files[0])
    (found,) = session.run(None, {"input": inputs(batch).numpy()})
    expected = asked.model(inputs(batch)).detach().numpy()
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
    assert exported.difference < 1e-5


def test_the_file_is_one_whole_and_small_as_the_cut_model(onnx_export):
    _, exported = onnx_export
    path = Path(exported.files[0])
    assert left(path.parent) == ["net.onnx"] and exported.bytes == path.stat().st_size
    weights = {tuple(w.dims) for w in onnx.load(path).graph.initializer}
    assert (6, 3, 3, 3) in weights and not any(12 in shape for shape in weights)


def test_the_file_says_what_it_holds_and_nothing_of_this_machine(onnx_export):
    asked, exported = onnx_export
    model = onnx.load(exported.files[0])
    count = sum(p.numel() for p in asked.model.parameters())
    told = {p.key: p.value for p in model.metadata_props}
    assert told == {"name": "a net", "parameters": str(count), "macs": "123", "outputs": '[""]'}
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert str(Path(exported.files[0]).parent).encode() not in Path(exported.files[0]).read_bytes()


def test_the_predictor_of_a_file_is_the_model(onnx_export):
    asked, exported = onnx_export
    found = OnnxExporter().predictor(exported.files[0])(inputs(7))
    assert isinstance(found, torch.Tensor)
    assert torch.allclose(found, asked.model(inputs(7)), rtol=1e-4)


def test_several_inputs_and_nested_outputs_are_exported_in_order(tmp_path):
    asked = request(tmp_path, tmp_path / "two.onnx", "TwoHeads")
    scale = torch.rand(4, 1)
    asked = dataclasses.replace(asked, inputs=(inputs(4), scale))
    exported = finish(export_onnx(asked))
    expected = asked.model(inputs(4), scale)
    logits, softmax = OnnxExporter().predictor(exported.files[0])(inputs(4), scale)
    assert torch.allclose(logits, expected["logits"], rtol=1e-4)
    assert torch.allclose(softmax[0], expected["softmax"][0], rtol=1e-3, atol=1e-6)


def test_a_file_that_computes_something_else_is_refused_and_the_old_one_stays(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_text("an older file")
    error = refused(request(tmp_path, path, "Forgetful"))
    assert error.message.code == "export.differs" and "Nothing was written" in str(error)
    assert left(tmp_path) == ["net.onnx"] and path.read_text() == "an older file"


def test_cancelling_an_export_kills_it_and_leaves_nothing(tmp_path, monkeypatch):
    started, begin = [], subprocess.Popen

    def noted(*words, **options):
        started.append(begin(*words, **options))
        return started[-1]

    monkeypatch.setattr("secateur.engine.subprocesses.run.subprocess.Popen", noted)

    class Token:
        on = False

        def is_set(self):
            return self.on

    token = Token()
    job = export_onnx(request(tmp_path, tmp_path / "net.onnx"), token=token)
    while next(job).text != "Exporting to ONNX":
        pass
    token.on = True
    with pytest.raises(Cancelled):
        finish(job)
    assert started[-1].returncode == -signal.SIGKILL and left(tmp_path) == []


def test_a_model_that_cannot_be_rebuilt_elsewhere_leaves_nothing(tmp_path):
    asked = request(tmp_path, tmp_path / "net.onnx")
    asked = dataclasses.replace(asked, spec=ModelSpec(str(tmp_path / "gone.py")))
    with pytest.raises(OpenError, match=r"gone\.py"):
        finish(export_onnx(asked))
    assert left(tmp_path) == []


def test_an_object_that_no_other_process_can_have_is_exported_in_this_one(tmp_path):
    asked = request(tmp_path, tmp_path / "net.onnx")
    asked.model.extra = lambda: None
    exported = finish(export_onnx(dataclasses.replace(asked, spec=None)))
    assert exported.difference is not None and exported.difference < 1e-4 and left(tmp_path) == ["net.onnx"]


def test_a_forward_that_raises_says_so_before_anything_is_written(tmp_path):
    asked = request(tmp_path, tmp_path / "net.onnx")
    error = refused(dataclasses.replace(asked, inputs=(torch.ones(2, 4, 8, 8),)))
    assert error.message.code == "export.forward" and left(tmp_path) == []


def test_inputs_by_name_are_inputs_of_the_file_and_flags_are_part_of_it(tmp_path):
    class Named(torch.nn.Linear):
        def forward(self, *, x, flag, y):
            return {"sum": super().forward(x) + y, "none": None} if flag else x

    model, x, y = Named(4, 3).eval(), torch.randn(2, 4), torch.randn(2, 3)
    given = {"x": x, "flag": True, "y": y}
    export_onnx_here(model, given, tmp_path / "named.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "named.onnx")
    (found,) = session.run(None, {"x": x.numpy(), "y": y.numpy()})
    assert np.allclose(np.asarray(found), model(**given)["sum"].detach().numpy(), atol=1e-6)


def test_views_of_what_attention_gives_are_written(tmp_path):
    torch.manual_seed(0)
    config = transformers.T5Config(vocab_size=90, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4)
    model = transformers.T5EncoderModel(config).eval()  # joins its heads by a view
    ids = torch.arange(80).reshape(5, 16)
    export_onnx_here(model, {"input_ids": ids[:2]}, tmp_path / "net.onnx")
    (found,) = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(None, {"input_ids": ids.numpy()})
    assert torch.allclose(torch.from_numpy(found), model(ids).last_hidden_state, atol=1e-5)


def test_outputs_have_their_names_and_each_its_own_place(tmp_path):
    class Passing(torch.nn.Linear):
        def forward(self, x, y):
            z = super().forward(x)
            return {"x": y, "again": (z, z), "weight": self.bias, "z": z, "input": x}

    model, given = Passing(4, 4).eval(), (torch.randn(2, 4), torch.randn(2, 4))
    export_onnx_here(model, given, tmp_path / "passing.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "passing.onnx")
    names = [one.name for one in session.get_outputs()]
    assert names == ["output_x", "again.0", "again.1", "output_weight", "z", "input"]
    assert {"weight", "bias"} == {w.name for w in onnx.load(tmp_path / "passing.onnx").graph.initializer}
    found, expected = OnnxExporter().predictor(str(tmp_path / "passing.onnx"))(*given), model(*given)
    for one, other in ((found.x, given[1]), (found["again"][1], expected["z"]), (found[2], model.bias)):
        assert torch.allclose(one, other, atol=1e-6)
    assert torch.equal(found.input, given[0]) and not hasattr(found, "absent")
    with pytest.raises(TypeError, match="takes x, y"):
        OnnxExporter().predictor(str(tmp_path / "passing.onnx"))(given[0], z=given[1])


def test_sizes_that_a_model_remembers_do_not_fix_the_batch(tmp_path):
    class Remembering(torch.nn.Linear):
        shape, shift = None, torch.zeros(())

        def forward(self, x, *args, **kwargs):
            if self.shape != x.shape:  # as YOLO's head keeps its anchors
                self.shape, self.shift = x.shape, torch.ones(x.shape[1])
            return super().forward(x) + self.shift

    model, given = Remembering(4, 4).eval(), torch.randn(5, 4)
    export_onnx_here(copy.deepcopy(model), (given[:2],), tmp_path / "net.onnx")
    export_program_here(copy.deepcopy(model), (given[:2],), tmp_path / "net.pt2")
    expected = torch.nn.functional.linear(given, model.weight, model.bias) + 1
    (found,) = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(None, {"input": given.numpy()})
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-6)
    assert torch.allclose(torch.export.load(tmp_path / "net.pt2").module()(given), expected, atol=1e-6)

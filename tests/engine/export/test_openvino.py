"""OpenVINO's own files: read back at another batch, whole or not at all, and a sentence where it is not installed."""

import sys
from dataclasses import replace

import pytest
import torch

from secateur.engine.errors import ExportError, SecateurError
from secateur.engine.export.staged_output import staged_file
from secateur.engine.export.table import exporter_named
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.targets.openvino_target import library

from .nets import inputs


def test_the_files_compute_what_the_model_does_at_another_batch(onnx_export, tmp_path):
    asked, done = onnx_export
    one = replace(asked, onnx=done.files[0], path=str(tmp_path / "net.xml"))
    exporter = exporter_named("openvino")
    exported = finish(exporter.export(one, NeverCancelled()))
    assert [file.rpartition("/")[2] for file in exported.files] == ["net.xml", "net.bin"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.bin", "net.xml"]
    x = inputs(5)
    with torch.no_grad():
        expected = asked.model(x)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # a CPU that computes in bfloat16 would do so
    stock = library().Core().compile_model(str(tmp_path / "net.xml"), "CPU", exact)
    assert torch.allclose(torch.from_numpy(stock(x.numpy())[0]), expected, rtol=1e-4)
    predict = exporter.predictor(exported.files[0])
    assert predict is not None and torch.allclose(predict(x), expected, rtol=1e-4)
    with torch.no_grad():  # what the file is compared with is another model now
        wrong = replace(one, model=torch.nn.Sequential(asked.model, torch.nn.Softmax(-1)), path=str(tmp_path / "b.xml"))
    with pytest.raises(ExportError) as refused:
        finish(exporter.export(wrong, NeverCancelled()))
    assert refused.value.message.code == "export.differs" and len(list(tmp_path.iterdir())) == 2


def test_files_that_belong_together_are_replaced_together_or_stay(tmp_path):
    path = tmp_path / "a.xml"
    for number in (1, 2):
        with staged_file(path, (".bin",)) as temporary:
            temporary.write_text(f"graph {number}")
            temporary.with_suffix(".bin").write_text(f"weights {number}")
    with pytest.raises(RuntimeError), staged_file(path, (".bin",)) as temporary:
        temporary.write_text("graph 3")
        raise RuntimeError
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"a.xml": "graph 2", "a.bin": "weights 2"}


def test_a_missing_openvino_is_said(onnx_export, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(SecateurError) as refused:
        finish(
            exporter_named("openvino").export(replace(onnx_export[0], path=str(tmp_path / "a.xml")), NeverCancelled())
        )
    assert refused.value.message.code == "target.openvino" and not list(tmp_path.iterdir())

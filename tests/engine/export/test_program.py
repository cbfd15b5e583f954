"""Programs of torch.export compute what the model computes with torch alone, and appear whole or not at all."""

import dataclasses
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch

from secateur.engine.errors import ExportError
from secateur.engine.export.program import ProgramExporter, export_program_here
from secateur.engine.export.table import EXPORTERS, format_of
from secateur.engine.jobs import Cancelled, NeverCancelled, finish
from tests.warm_start import python

from .nets import inputs, request
from .test_onnx import left


def test_torch_alone_runs_the_program_at_any_batch(program_export, tmp_path):
    asked, exported = program_export
    torch.save([inputs(1), inputs(5)], tmp_path / "in.pt")
    code = (
        "import sys, torch\n"
        "sys.modules['secateur'] = sys.modules['net'] = None\n"
        f"run = torch.export.load({exported.files[0]!r}).module()\n"
        "torch.save([run(one) for one in torch.load('in.pt')], 'out.pt')\n"
    )
    subprocess.run(python("-c", code), cwd=tmp_path, check=True, timeout=120)
    for batch, found in zip((1, 5), torch.load(tmp_path / "out.pt"), strict=True):
        expected = asked.model(inputs(batch))
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    assert exported.difference < 1e-5 and exported.notes == () and exported.format == "program"


def test_the_program_is_the_cut_model_whole_and_small(program_export):
    _, exported = program_export
    path = Path(exported.files[0])
    assert left(path.parent) == ["net.pt2"] and exported.bytes == path.stat().st_size
    shapes = {tuple(t.shape) for t in torch.export.load(path).state_dict.values()}
    assert (6, 3, 3, 3) in shapes and not any(12 in shape for shape in shapes)


def test_the_program_says_what_it_holds_and_nothing_of_this_machine_or_its_data(program_export):
    asked, exported = program_export
    about = {"about.json": ""}
    program = torch.export.load(exported.files[0], extra_files=about)
    count = sum(p.numel() for p in asked.model.parameters())
    assert json.loads(about["about.json"]) == {"name": "a net", "parameters": str(count), "macs": "123"}
    assert not program.example_inputs
    content = b"".join(map(zipfile.ZipFile(exported.files[0]).read, zipfile.ZipFile(exported.files[0]).namelist()))
    example = inputs(4)[:1].numpy().tobytes()
    assert b"conv" in content and example not in content
    assert str(Path(exported.files[0]).parent).encode() not in content and b"site-packages" not in content


def test_the_predictor_of_a_program_is_the_model(program_export):
    asked, exported = program_export
    assert torch.allclose(ProgramExporter().predictor(exported.files[0])(inputs(7)), asked.model(inputs(7)), rtol=1e-4)


def test_several_inputs_and_nested_outputs_keep_their_form(tmp_path):
    asked = request(tmp_path, tmp_path / "two.pt2", "TwoHeads")
    scale = torch.rand(4, 1)
    exported = finish(ProgramExporter().export(dataclasses.replace(asked, inputs=(inputs(4), scale)), NeverCancelled()))
    expected, found = asked.model(inputs(4), scale), ProgramExporter().predictor(exported.files[0])(inputs(4), scale)
    assert torch.allclose(found["logits"], expected["logits"], rtol=1e-4)
    assert torch.allclose(found["softmax"][0], expected["softmax"][0], rtol=1e-3, atol=1e-6)
    assert found["softmax"][1] is None


class Scaled(torch.nn.Module):
    def forward(self, x, factor=1.0, shift=None, double=False):
        y = x * factor if shift is None else x * factor + shift
        return {"y": y * 2 if double else y}


def test_a_program_is_called_with_tensors_alone_and_holds_the_rest(tmp_path):
    shift, path = torch.ones(5, 3, 1, 1), str(tmp_path / "net.pt2")
    export_program_here(Scaled().eval(), (inputs(5), 3.0, shift, True), path)
    assert torch.equal(torch.export.load(path).module()(inputs(7)[:2], shift[:2])["y"], (inputs(7)[:2] * 3 + 1) * 2)
    export_program_here(Scaled().eval(), {"double": True, "shift": None, "x": inputs(5)}, path)
    assert torch.equal(torch.export.load(path).module()(x=inputs(7))["y"], inputs(7) * 2)
    assert torch.equal(ProgramExporter().predictor(path)(x=inputs(7), double=True, shift=None)["y"], inputs(7) * 2)


def test_an_output_of_the_users_class_becomes_a_tuple_of_its_tensors(tmp_path):
    asked = request(tmp_path, tmp_path / "net.pt2", "Answers")
    exported = finish(ProgramExporter().export(asked, NeverCancelled()))
    (found,) = ProgramExporter().predictor(exported.files[0])(inputs(3))
    assert torch.allclose(found, asked.model(inputs(3)).logits, rtol=1e-4)


def test_a_model_that_decides_by_its_batch_is_written_for_one_sample_with_a_note(tmp_path):
    asked = request(tmp_path, tmp_path / "net.pt2", "OneByOne")
    exported = finish(ProgramExporter().export(asked, NeverCancelled()))
    assert len(exported.notes) == 1 and "one sample at a time" in str(exported.notes[0])
    found = ProgramExporter().predictor(exported.files[0])(inputs(5))
    one_by_one = torch.cat([asked.model(inputs(5)[n : n + 1]) for n in range(5)])
    assert torch.allclose(found, one_by_one, rtol=1e-4) and not torch.allclose(found, asked.model(inputs(5)), rtol=0.1)


@pytest.mark.slow  # written and compared twice; an ONNX file is refused in the same way, in the normal run
def test_a_program_that_computes_something_else_is_refused_and_the_old_one_stays(tmp_path):
    path = tmp_path / "net.pt2"
    path.write_text("an older file")
    with pytest.raises(ExportError) as caught:
        finish(ProgramExporter().export(request(tmp_path, path, "Forgetful"), NeverCancelled()))
    assert caught.value.message.code == "export.differs" and "Nothing was written" in str(caught.value)
    assert left(tmp_path) == ["net.pt2"] and path.read_text() == "an older file"


def test_cancelling_leaves_nothing(tmp_path):
    class Token:
        on = False

        def is_set(self):
            return self.on

    token = Token()
    job = ProgramExporter().export(request(tmp_path, tmp_path / "net.pt2"), token)
    while next(job).text != "Exporting the program":
        pass
    token.on = True
    with pytest.raises(Cancelled):
        finish(job)
    assert left(tmp_path) == []


def test_the_ending_of_a_name_says_the_format():
    names = [format_of(path) for path in ("a.onnx", "B.PT2", "folder", "model-v1.2")]
    assert names == ["onnx", "program", "pytorch", "pytorch"]
    assert all(format_of(f"x{one.suffix}") == name for name, one in EXPORTERS.items() if one.suffix)
    with pytest.raises(ExportError, match=r"Cannot export to a \.pth file\. Use the ending \.onnx or \.pt2"):
        format_of("c.pth")

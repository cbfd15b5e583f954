"""PyTorch exports load without Secateur, open again and take weights trained elsewhere; they appear whole or not."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from secateur.engine.errors import ExportError, OpenError
from secateur.engine.export.model_package import pack
from secateur.engine.export.pytorch import PyTorchExporter, export_pytorch
from secateur.engine.jobs import finish
from secateur.engine.sources.exported_folder import read_weights, recorded_source
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.surgery.cut.edits import Edits

from .nets import inputs, request


def refused(asked):
    with pytest.raises(ExportError) as caught:
        finish(export_pytorch(asked))
    return caught.value


def left(folder):
    return sorted(p.name for p in folder.iterdir() if p.name not in ("net.py", "__pycache__"))


def test_the_folder_holds_weights_shapes_loader_and_readme(pytorch_export):
    asked, exported = pytorch_export
    folder = Path(asked.path)
    assert left(folder) == ["README.txt", "load_pruned.py", "shapes.json", "weights.safetensors"]
    assert exported.difference == 0.0 and exported.bytes == sum(p.stat().st_size for p in folder.iterdir())
    document = json.loads((folder / "shapes.json").read_text())
    assert document["schema"] == 1 and document["shapes"]["conv.weight"] == [6, 3, 3, 3]
    assert set(document["edits"]) == {"blocks", "attributes", "attention", "literals", "constants", "slices"}


def test_the_code_of_the_readme_loads_the_model_without_secateur(pytorch_export):
    asked, _ = pytorch_export
    shown = (Path(asked.path) / "README.txt").read_text().splitlines()
    code = "\n".join(line[4:] for line in shown if line.startswith("    ") or not line)
    torch.save(inputs(3), Path(asked.path).parent / "inputs.pt")
    script = (
        "import sys\nsys.modules['secateur'] = None\n" + code + "\nimport torch\n"
        "print(repr(model(torch.load('../inputs.pt')).flatten().tolist()))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], cwd=asked.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = torch.tensor(eval(done.stdout.splitlines()[-1]))
    assert torch.allclose(found, asked.model(inputs(3)).flatten(), rtol=1e-5)


def test_an_export_opens_as_a_model(pytorch_export):
    asked, _ = pytorch_export
    opened = open_model(ModelSpec(asked.path))
    assert opened.input_shape == (4, 3, 8, 8) and type(opened.model).__name__ == "Net"
    assert torch.equal(opened.model(inputs(3)), asked.model(inputs(3)))
    assert opened.factory().conv.weight.shape == (6, 3, 3, 3)


def test_the_predictor_of_a_folder_is_the_model(pytorch_export):
    asked, _ = pytorch_export
    assert torch.equal(PyTorchExporter().predictor(asked.path)(inputs(3)), asked.model(inputs(3)))


def test_bundled_networks_take_their_class_along(tmp_path):
    spec = ModelSpec("bundled:vit")
    opened = open_model(spec)
    asked = request(tmp_path, tmp_path / "vit")
    asked = dataclasses.replace(asked, model=opened.model, spec=spec, inputs=(torch.rand(4, 1, 28, 28),))
    exported = finish(export_pytorch(asked))
    assert exported.difference == 0.0 and (tmp_path / "vit/models.py").is_file()


def test_a_folder_that_computes_something_else_is_refused_and_the_old_export_stays(tmp_path, pytorch_export):
    import shutil

    shutil.copytree(pytorch_export[0].path, tmp_path / "pruned")
    before = (tmp_path / "pruned/shapes.json").stat().st_mtime_ns
    assert refused(request(tmp_path, tmp_path / "pruned", "Forgetful")).message.code == "export.differs"
    assert left(tmp_path) == ["pruned"] and (tmp_path / "pruned/shapes.json").stat().st_mtime_ns == before


def test_an_older_export_is_replaced_and_other_folders_are_not(tmp_path):
    path = tmp_path / "pruned"
    finish(export_pytorch(request(tmp_path, path, "Net")))
    finish(export_pytorch(request(tmp_path, path, "make")))
    assert "net.py:make" in (path / "shapes.json").read_text()
    (path / "load_pruned.py").unlink()
    (path / "thesis.tex").write_text("years of work")
    error = refused(request(tmp_path, path))
    assert error.message.code == "export.occupied" and (path / "thesis.tex").read_text() == "years of work"
    assert left(tmp_path) == ["pruned"]


def test_a_model_handed_over_as_an_object_is_refused(tmp_path):
    error = refused(dataclasses.replace(request(tmp_path, tmp_path / "a"), spec=None))
    assert error.message.code == "export.no_source" and left(tmp_path) == []


def test_weights_trained_elsewhere_are_read(pytorch_export, tmp_path):
    asked, _ = pytorch_export
    trained = {name: t + 1 for name, t in asked.model.state_dict().items()}
    torch.save({"state_dict": {f"module.{n}": t for n, t in trained.items()}}, tmp_path / "last.ckpt")
    found = read_weights(tmp_path / "last.ckpt", asked.model)
    assert found.keys() == trained.keys() and all(torch.equal(found[n], trained[n]) for n in trained)
    again = read_weights(asked.path, asked.model)
    assert torch.equal(again["fc.weight"], asked.model.fc.weight)


def test_weights_of_the_uncut_model_do_not_fit_the_cut_one(pytorch_export, tmp_path):
    asked, _ = pytorch_export
    torch.save(open_model(asked.spec).model.state_dict(), tmp_path / "original.pt")
    with pytest.raises(OpenError, match="does not fit") as caught:
        read_weights(tmp_path / "original.pt", asked.model)
    assert "conv.weight: [6, 3, 3, 3] in the model, [12, 3, 3, 3] in the checkpoint" in caught.value.details


@pytest.mark.parametrize("damage", ["{", '{"schema": 7}', "[]"])
def test_a_damaged_export_says_so(pytorch_export, tmp_path, damage):
    (tmp_path / "shapes.json").write_text(damage)
    with pytest.raises(OpenError, match=r"shapes\.json"):
        open_model(ModelSpec(str(tmp_path)))


def test_an_export_whose_source_was_not_recorded_says_how_to_load_it(tmp_path):
    (tmp_path / "shapes.json").write_text('{"schema": 1, "shapes": {}, "edits": {}}')
    with pytest.raises(OpenError, match="load_pruned"):
        open_model(ModelSpec(str(tmp_path)))


def test_an_export_that_is_cut_and_exported_again_keeps_the_repairs_of_both(pytorch_export, tmp_path):
    asked, _ = pytorch_export
    first = Edits(attributes=(("conv", "out_channels", 6), ("bn", "num_features", 6)), attention=(("a", 4, 32),))
    first = dataclasses.replace(first, slices=(("positions", 1, (0, 2, 3, 7)), ("other", 0, (1,))))
    first = dataclasses.replace(first, constants=(("fc", "add", -1, "1", ((0, 8, (0, 2, 3, 7)), (1, 5, (4,)))),))
    folder, again = tmp_path / "first", tmp_path / "second"
    folder.mkdir()
    again.mkdir()
    pack(folder, asked.model, first, asked.spec)
    second = Edits(attributes=(("conv", "out_channels", 3),), literals=(("fc", "view", 0, "1", 3),))
    second = dataclasses.replace(second, slices=(("positions", 1, (1, 3)),))
    second = dataclasses.replace(second, constants=(("fc", "add", -1, "1", ((0, 4, (1, 3)),)),))
    pack(again, asked.model, second, ModelSpec(str(folder)))
    document = json.loads((again / "shapes.json").read_text())
    assert recorded_source(document, again).source == asked.spec.source
    assert document["edits"] == {
        "blocks": [],
        "attributes": [["conv", "out_channels", 3], ["bn", "num_features", 6]],
        "attention": [["a", 4, 32]],
        "literals": [["fc", "view", 0, "1", 3]],
        "constants": [["fc", "add", -1, "1", [[0, 8, [2, 7]], [1, 5, [4]]]]],
        "slices": [["positions", 1, [2, 7]], ["other", 0, [1]]],
    }


def test_whoever_may_read_the_folder_may_read_its_weights(pytorch_export):
    folder = Path(pytorch_export[0].path)
    assert (folder / "weights.safetensors").stat().st_mode == (folder / "shapes.json").stat().st_mode


def test_an_export_names_no_folder_of_this_machine(pytorch_export):
    folder = Path(pytorch_export[0].path)
    texts = [(folder / name).read_text() for name in ("shapes.json", "README.txt")]
    assert [str(folder.parent) in text for text in texts] == [False, False]


def test_code_named_by_an_export_that_was_made_elsewhere_runs_only_with_consent(pytorch_export, tmp_path):
    asked, _ = pytorch_export
    shutil.copytree(Path(asked.path).parent, tmp_path / "moved")
    folder = tmp_path / "moved" / Path(asked.path).name
    code = next(folder.parent.glob("*.py"))
    code.write_text(code.read_text() + f"\nopen({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(OpenError, match="if you trust the code") as caught:
        open_model(ModelSpec(str(folder)))
    assert caught.value.message.code == "source.code" and str(code) in str(caught.value)
    assert not (tmp_path / "ran").exists()
    opened = open_model(ModelSpec(str(folder), trust_code=True))
    assert opened.factory().conv.weight.shape == (6, 3, 3, 3) and (tmp_path / "ran").exists()

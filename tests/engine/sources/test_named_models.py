"""The bundled networks, torchvision's and timm's models by name, and what matches nothing."""

import inspect
import sys

import pytest
import torch

from secateur.engine.adapters.torchvision_detection import classes_of
from secateur.engine.errors import OpenError
from secateur.engine.jobs import Cancelled
from secateur.engine.sources.builder_arguments import TIMM, TORCHVISION
from secateur.engine.sources.open import factory_code, open_model, source_of
from secateur.engine.sources.protocol import ModelSpec
from tests.hostile.zoo import MARKER, Payload


class Set:
    """A token that is set."""

    def is_set(self):
        return True


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch's cache of downloads, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any download fails the test."""

    def refuse(*args, **options):
        raise AssertionError("tried to download")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


def notes_of(opened):
    return " ".join(map(str, opened.notes))


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_bundled_networks_open_trained_and_with_their_task(name):
    opened = open_model(ModelSpec(f"bundled:{name}"))
    assert opened.input_shape == (2, 1, 28, 28)
    assert opened.task is not None and opened.task.kind == "bundled" and len(opened.task.mean) == 1
    fresh = opened.factory()
    assert any(not torch.equal(a, b) for a, b in zip(opened.model.parameters(), fresh.parameters()))
    with torch.no_grad():
        assert opened.model(torch.zeros(opened.input_shape)).shape == (2, 10)


def test_torchvision_models_say_that_they_are_random(hub):
    opened = open_model(ModelSpec("torchvision:mobilenet_v3_small", input_shape=(1, 3, 64, 64)))
    assert "random" in notes_of(opened) and opened.input_shape == (2, 3, 64, 64)
    assert open_model(ModelSpec("torchvision:squeezenet1_1")).input_shape == (2, 3, 224, 224)


def test_torchvision_takes_what_torch_has_already_downloaded(hub):
    from torchvision import models

    torch.manual_seed(5)
    trained = models.resnet18().state_dict()
    torch.save(trained, hub / models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2])
    opened = open_model(ModelSpec("torchvision:resnet18"))
    assert torch.equal(opened.model.conv1.weight, trained["conv1.weight"])
    assert "cache" in notes_of(opened) and "random" not in notes_of(opened)


def test_torchvision_with_a_checkpoint_of_other_classes(hub, tmp_path):
    from torchvision import models

    torch.save(models.resnet18(num_classes=7).state_dict(), tmp_path / "w.pt")
    opened = open_model(ModelSpec("torchvision:resnet18", weights=str(tmp_path / "w.pt")))
    assert opened.model.fc.out_features == 7 and "7 classes" in notes_of(opened)
    assert opened.spec is not None and "num_classes=7" in factory_code(opened.spec, tmp_path).lines


def test_detection_models_do_not_fetch_their_backbone(hub):
    opened = open_model(ModelSpec("torchvision:fasterrcnn_mobilenet_v3_large_320_fpn"))
    assert opened.input_shape == (2, 3, 320, 320)


@pytest.mark.parametrize("source, near", [("torchvision:resnet19", "resnet18"), ("timm:resnett18", "resnet18")])
def test_a_misspelt_name_is_answered_with_near_ones(source, near):
    if source.startswith("timm"):
        pytest.importorskip("timm")
    with pytest.raises(OpenError, match=near):
        open_model(ModelSpec(source))


def test_timm_models_open_with_their_own_size():
    pytest.importorskip("timm")
    opened = open_model(ModelSpec("timm:test_vit", arguments={"num_classes": 5}))
    assert opened.input_shape == (2, 3, 160, 160) and "random" in notes_of(opened)
    with torch.no_grad():
        assert opened.model(torch.zeros(opened.input_shape)).shape == (2, 5)


@pytest.mark.parametrize("source", ["timm:test_vit", "torchvision:resnet18"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"checkpoint_path": "w.pt"},
        {"pretrained": True},
        {"pretrained_cfg": {"file": "w.pt"}},
        {"pretrained_cfg_overlay": {"file": "w.pt"}},
        {"pretrained_strict": False},
        {"pretrained_filter_fn": "x"},
        {"cache_dir": "."},
        {"weights": "DEFAULT"},
        {"weights_backbone": "DEFAULT"},
        {"num_classes": {"file": "w.pt"}},
        {"global_pool": "x" * 5000},
        {"depth": [[{"a": 1}]]},
    ],
)
def test_a_builder_gets_no_argument_that_reads_or_fetches(source, arguments, tmp_path, monkeypatch, hub):
    pytest.importorskip("timm")
    torch.save({"a": Payload()}, tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OpenError, match="only sizes, rates and switches can") as caught:
        open_model(ModelSpec(source, arguments=arguments))
    assert caught.value.message.code == "source.argument_names" and not (tmp_path / MARKER).exists()


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        ("timm:test_vit", {"depth": 100_000}),
        ("timm:test_vit", {"embed_dim": 1 << 20}),
        ("timm:test_vit", {"num_classes": 1 << 40}),
        ("timm:test_vit", {"in_chans": 1 << 30}),
        ("torchvision:resnet18", {"num_classes": 1 << 23}),
        ("torchvision:resnet18", {"width_per_group": 1 << 30}),
    ],
)
def test_arguments_make_no_model_of_any_size(source, arguments, hub):
    pytest.importorskip("timm")
    with pytest.raises(OpenError) as caught:
        open_model(ModelSpec(source, arguments=arguments))
    assert caught.value.message.code in ("file.described", "source.build_failed")


def test_a_large_model_of_a_library_may_have_other_classes(monkeypatch):
    """What bounds it grows with the model that it is without arguments."""
    from secateur.engine.sources import build_model

    monkeypatch.setattr(build_model, "DESCRIBED", 0)
    monkeypatch.setattr("secateur.engine.storage.allocation_budget.UNPACKED", 0)
    opened = open_model(ModelSpec("torchvision:resnet18", arguments={"num_classes": 5}))
    assert opened.model.fc.out_features == 5
    with pytest.raises(OpenError, match="far more than its files hold"):
        open_model(ModelSpec("torchvision:resnet18", arguments={"num_classes": 100_000}))


def test_every_argument_that_a_builder_gets_is_one_of_a_model(hub):
    """No listed name is a parameter of what loads weights."""
    timm, models = pytest.importorskip("timm"), pytest.importorskip("torchvision.models")
    loads = set(inspect.signature(timm.create_model).parameters)
    loads |= set(inspect.signature(timm.models.build_model_with_cfg).parameters)
    loads |= set(inspect.signature(models.resnet18).parameters)
    assert not loads & (TIMM | TORCHVISION)


def test_without_timm_the_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr("secateur.engine.sources.timm_models.find_spec", lambda name: None)
    with pytest.raises(OpenError, match="pip install timm"):
        open_model(ModelSpec("timm:resnet18"))


@pytest.mark.parametrize("source", ["", "resnet18", "a/folder", "file.txt:make", "torchvision", "http://x/y.pt"])
def test_what_is_no_model_is_answered_with_what_is(source):
    with pytest.raises(OpenError, match=r"torchvision:NAME.*bundled:resnet"):
        source_of(source)


def test_a_checkpoint_or_a_folder_in_place_of_a_model_says_what_is_missing(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"PK")
    with pytest.raises(OpenError, match="not the model's code"):
        source_of(str(tmp_path / "w.pt"))
    with pytest.raises(OpenError, match="neither a Hugging Face model nor an export of Secateur"):
        source_of(str(tmp_path))


def test_an_unknown_bundled_name_lists_those_there_are():
    with pytest.raises(OpenError, match="bundled:resnet, bundled:vit"):
        open_model(ModelSpec("bundled:bert"))


def test_opening_is_cancelled_by_its_token():
    with pytest.raises(Cancelled):
        open_model(ModelSpec("bundled:resnet"), Set())


@pytest.mark.parametrize("source", ["bundled:vit", "torchvision:resnet18"])
def test_factory_code_makes_the_same_module(source, tmp_path, monkeypatch, hub):
    import shutil

    spec = ModelSpec(source)
    code = factory_code(spec, tmp_path)
    for file in code.copies:
        shutil.copyfile(file, tmp_path / file.name)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = {}
    exec(code.lines, names)
    made, opened = names["make_model"](), open_model(spec).model
    assert {k: v.shape for k, v in made.state_dict().items()} == {k: v.shape for k, v in opened.state_dict().items()}
    sys.modules.pop("models", None)


def test_a_detector_is_built_with_the_classes_of_its_checkpoint(hub, tmp_path):
    """Its head has several values for each class, one for each anchor."""
    from torchvision.models import get_model

    name = "ssdlite320_mobilenet_v3_large"
    torch.save(get_model(name, weights=None, weights_backbone=None, num_classes=4).state_dict(), tmp_path / "a.pt")
    opened = open_model(ModelSpec(f"torchvision:{name}", str(tmp_path / "a.pt")))
    assert classes_of(opened.model) == (4, True) and "Built with 4 classes, as in the checkpoint." in notes_of(opened)
    assert opened.input_shape == (2, 3, 320, 320)

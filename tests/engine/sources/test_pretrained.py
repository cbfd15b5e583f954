"""A library's own weights: asked for by name, fetched by the library where the user allows it, then from its cache.

The place of the network is taken by what each library downloads through; everything else is the library's.
"""

import copy
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from secateur.engine.errors import OpenError
from secateur.engine.sources.open import factory_code, open_model
from secateur.engine.sources.protocol import ModelSpec, SourceModel

NAME = "torchvision:squeezenet1_1"


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """torch's cache, empty."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    return folder


@pytest.fixture
def server(monkeypatch) -> dict[str, dict[str, torch.Tensor]]:
    """What can be downloaded, by address; whatever else is asked for is not there."""
    served: dict[str, dict[str, torch.Tensor]] = {}

    def download(url: str, place: str, *_arguments, **_named) -> None:
        if url not in served:
            raise URLError("[Errno -2] Name or service not known")
        torch.save(served[url], place)

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    return served


def weights_of(name: str, **options: bool) -> tuple[str, dict[str, torch.Tensor]]:
    """Address of the weights of a torchvision model that has one kind of them, and weights for it."""
    from torchvision import models

    torch.manual_seed(7)
    (known,) = models.get_model_weights(name)
    return str(known.url), models.get_model(name, weights=None, **options).state_dict()


def refused(spec: ModelSpec) -> OpenError:
    with pytest.raises(OpenError) as caught:
        open_model(spec)
    return caught.value


def holds(opened: SourceModel, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one, state[name]) for name, one in opened.model.state_dict().items())


def test_nothing_is_fetched_before_the_user_says_so_and_the_sentence_says_what_it_would_be(hub, server):
    address, state = weights_of("squeezenet1_1")
    server[address] = state
    error = refused(ModelSpec(NAME, pretrained="DEFAULT"))
    assert error.message.code == "source.pretrained" and not list(hub.iterdir())
    for told in ("IMAGENET1K_V1", "torchvision", address, " MB", "licence: not stated by the library", str(hub)):
        assert told in str(error)


def test_allowed_weights_are_fetched_once_and_then_taken_without_a_question(hub, server):
    address, state = weights_of("squeezenet1_1")
    untrained = open_model(ModelSpec(NAME))
    assert untrained.untrained and not holds(untrained, state) and "scores mean nothing" in str(untrained.notes)
    assert untrained.offered is not None and not untrained.offered.cached
    server[address] = state
    opened = open_model(ModelSpec(NAME, pretrained="DEFAULT", download=True))
    assert holds(opened, state) and not opened.untrained
    assert [one.name for one in hub.iterdir()] == [address.rpartition("/")[2]]
    server.clear()
    for spec in (ModelSpec(NAME), ModelSpec(NAME, pretrained="IMAGENET1K_V1")):
        again = open_model(spec)
        assert holds(again, state) and again.spec is not None and again.spec.pretrained == "IMAGENET1K_V1"
        assert again.preprocessing is not None and not again.untrained


def test_offline_it_says_so(hub, server):
    error = refused(ModelSpec(NAME, pretrained="DEFAULT", download=True))
    assert error.message.code == "source.not_fetched" and not list(hub.iterdir())
    assert "download.pytorch.org" in str(error) and "Name or service not known" in str(error)


def test_a_wrong_name_and_two_kinds_of_weights_are_refused(hub, tmp_path):
    assert "IMAGENET1K_V1" in str(refused(ModelSpec(NAME, pretrained="IMAGENET")))
    assert refused(ModelSpec(NAME, "a.pt", pretrained="DEFAULT")).message.code == "source.two_weights"
    pytest.importorskip("timm")
    assert "a1_in1k" in str(refused(ModelSpec("timm:resnet18.a1_in1k", pretrained="b")))


def test_the_normalisation_that_weights_were_trained_with_stays_in_the_model(hub, server, tmp_path):
    address, state = weights_of("googlenet", init_weights=False)
    server[address] = state
    opened = open_model(ModelSpec("torchvision:googlenet", pretrained="DEFAULT", download=True))
    assert opened.model.transform_input and opened.factory().transform_input
    assert opened.spec is not None and "transform_input=True" in factory_code(opened.spec, tmp_path).lines
    assert not open_model(
        ModelSpec("torchvision:googlenet", arguments={"transform_input": False})
    ).model.transform_input


@pytest.fixture
def repositories(tmp_path, monkeypatch) -> Path:
    """The cache of the Hugging Face Hub, empty; no address is found."""
    pytest.importorskip("timm")

    def unknown(*_arguments, **_named):
        raise OSError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("socket.getaddrinfo", unknown)
    return tmp_path / "hub"


def cache(repositories: Path, name: str, state: dict[str, torch.Tensor]) -> None:
    """Put weights where the library keeps those of a repository."""
    folder, commit = repositories / f"models--timm--{name}", "0" * 40
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    save_file(state, folder / "snapshots" / commit / "model.safetensors")


def test_timm_takes_its_weights_from_its_cache_without_a_question(repositories):
    import timm

    torch.manual_seed(3)
    state = copy.deepcopy(timm.create_model("test_vit").state_dict())
    untrained = open_model(ModelSpec("timm:test_vit"))
    assert untrained.untrained and untrained.offered is not None and not untrained.offered.cached
    cache(repositories, "test_vit.r160_in1k", state)
    for spec in (ModelSpec("timm:test_vit"), ModelSpec("timm:test_vit.r160_in1k", pretrained="DEFAULT")):
        opened = open_model(spec)
        assert holds(opened, state) and not opened.untrained
        assert opened.spec is not None and opened.spec.pretrained == "r160_in1k"
        assert opened.preprocessing is not None
        fresh = opened.factory().state_dict()
        assert any(not torch.equal(one, state[name]) for name, one in fresh.items())


def test_timm_asks_before_it_downloads_and_says_that_it_is_offline(repositories):
    error = refused(ModelSpec("timm:test_vit", pretrained="DEFAULT"))
    assert error.message.code == "source.pretrained"
    for told in ("https://huggingface.co/timm/test_vit.r160_in1k", "apache-2.0", "size unknown", str(repositories)):
        assert told in str(error)
    error = refused(ModelSpec("timm:test_vit", pretrained="DEFAULT", download=True))
    assert error.message.code == "source.not_fetched" and "huggingface.co" in str(error)


CODE = """
import torch
from torch import nn

def random(): return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

def loaded():
    model = random()
    model.load_state_dict(torch.load({file!r}))
    return model
"""


def test_a_file_whose_model_is_another_one_each_time_is_untrained(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    torch.save(model.state_dict(), tmp_path / "w.pt")
    (tmp_path / "net.py").write_text(CODE.format(file=str(tmp_path / "w.pt")))
    source = f"{tmp_path / 'net.py'}:"
    opened = open_model(ModelSpec(source + "random", input_shape=(1, 4)))
    assert opened.untrained and opened.offered is None and "Open a checkpoint" in str(opened.notes[-1])
    assert not open_model(ModelSpec(source + "random", str(tmp_path / "w.pt"), (1, 4))).untrained
    assert not open_model(ModelSpec(source + "loaded", input_shape=(1, 4))).untrained

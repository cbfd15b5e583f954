"""The bundled files: found, whole, small, and worth what samples.json says."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from secateur.resources import fashion_mnist, models, samples

LARGEST = 10 * 2**20 * 0.95
"""Bytes; a little is left for icons."""


def bundled(net: str) -> nn.Module:
    """A bundled network with its weights."""
    model = models.FACTORIES[net]()
    model.load_state_dict(load_file(samples.weights(net)))
    return model.eval()


def test_everything_that_ships_stays_below_ten_megabytes() -> None:
    folder = samples.path("samples.json").parent.parent
    assert sum(file.stat().st_size for file in folder.rglob("*") if "__pycache__" not in file.parts) < LARGEST


def test_files_are_those_that_the_summary_speaks_of() -> None:
    sums = samples.summary()["sha256"]
    assert set(sums) == {"resnet.safetensors", "vit.safetensors", "fashion_mnist.npz"}
    for name, expected in sums.items():
        assert hashlib.sha256(samples.path(name).read_bytes()).hexdigest() == expected


def test_the_notice_of_the_images_ships_with_them() -> None:
    notice = samples.path("FASHION-MNIST-LICENSE").read_text()
    assert "Zalando SE" in notice
    assert "MIT License" in notice


@pytest.mark.parametrize("net", samples.NETS)
def test_accuracy_on_the_shipped_test_images_is_the_recorded_one(net: str) -> None:
    with np.load(samples.arrays(), allow_pickle=False) as arrays:
        x, y = arrays["x_test"].astype(np.float32), arrays["y_test"]
    x = (x / 255 - fashion_mnist.MEAN) / fashion_mnist.STD
    with torch.inference_mode():
        predicted = bundled(net)(torch.from_numpy(x)[:, None]).argmax(1).numpy()
    recorded = samples.summary()[net]["shipped_test"]
    assert recorded["n"] == len(y)
    assert abs((predicted == y).mean() - recorded["accuracy"]) <= 2 / len(y)  # a tie or two may fall the other way


@pytest.mark.parametrize("net", samples.NETS)
def test_accuracy_on_the_official_test_set_is_worth_shipping(net: str) -> None:
    recorded = samples.summary()[net]["test"]
    assert recorded["n"] == 10_000
    assert recorded["accuracy"] > {"resnet": 0.92, "vit": 0.88}[net]


def test_shipped_images_are_balanced_and_no_image_is_in_two_splits() -> None:
    with np.load(samples.arrays(), allow_pickle=False) as arrays:
        images = {split: arrays[f"x_{split}"] for split in ("train", "val", "test")}
        labels = {split: arrays[f"y_{split}"] for split in images}
        assert tuple(arrays["classes"]) == fashion_mnist.CLASSES
    assert {split: len(x) for split, x in images.items()} == {"train": 10_000, "val": 2_000, "test": 2_000}
    seen = {split: {image.tobytes() for image in x} for split, x in images.items()}
    assert not seen["train"] & seen["val"]
    assert not seen["test"] & (seen["train"] | seen["val"])
    for y in labels.values():
        assert np.bincount(y, minlength=10).min() > 0.08 * len(y)


def test_the_stated_normalisation_is_that_of_the_images() -> None:
    with np.load(samples.arrays(), allow_pickle=False) as arrays:
        x = arrays["x_train"] / 255
    assert abs(x.mean() - fashion_mnist.MEAN) < 0.005
    assert abs(x.std() - fashion_mnist.STD) < 0.005


def test_finding_the_files_does_not_load_torch() -> None:
    code = (
        "import sys, json; from secateur.resources import samples, fashion_mnist; samples.weights('vit'); "
        "print(json.dumps(['torch' in sys.modules, sorted(samples.summary())]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert json.loads(answer.stdout) == [False, ["images", "resnet", "sha256", "vit"]]


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ValueError, match="resnet and vit"):
        samples.weights("alexnet")


@pytest.mark.parametrize("net", samples.NETS)
def test_networks_answer_for_any_batch_size(net: str) -> None:
    model = bundled(net)
    x = torch.randn(5, 1, 28, 28)
    assert model(x).shape == (5, 10)
    assert torch.allclose(model(x)[:1], model(x[:1]), atol=1e-5)


def test_residual_and_downsampling_shortcuts_are_there() -> None:
    model = models.resnet()
    shortcuts = [block.shortcut for stage in (model.layer1, model.layer2, model.layer3) for block in stage]
    assert sum(isinstance(shortcut, nn.Identity) for shortcut in shortcuts) == 2
    assert sum(isinstance(shortcut, nn.Sequential) for shortcut in shortcuts) == 3


def test_attention_equals_the_formula_head_by_head() -> None:
    torch.manual_seed(0)
    attention = models.Attention(width=12, num_heads=3).double()
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    weight, bias = attention.qkv.weight, attention.qkv.bias
    heads = []
    for head in range(3):
        q, k, v = (
            x @ weight[part * 12 + head * 4 :][:4].T + bias[part * 12 + head * 4 :][:4] for part in range(3)
        )  # each [2, 5, 4]
        heads.append(((q @ k.transpose(1, 2)) / 2).softmax(-1) @ v)
    assert torch.allclose(attention(x), attention.proj(torch.cat(heads, -1)), atol=1e-12)

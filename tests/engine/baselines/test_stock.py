"""The stock smaller model: of the same family by name, or named by the user."""

from dataclasses import replace
from pathlib import Path

import pytest

from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
from secateur.engine.baselines.stock import make, relatives
from secateur.engine.errors import SecateurError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec
from tests.engine.baselines.compared_state import half

NEVER = NeverCancelled()
CODE = """
from torch import nn


def small(outputs=3):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, outputs))


def wrong():
    return small(5)


class Named(nn.Module):
    def __init__(self, outputs, several):
        super().__init__()
        self.net, self.several = small(outputs), several

    def forward(self, x):
        logits = self.net(x)
        return (logits, x) if self.several else {"logits": logits, "images": x}


def named():
    return Named(3, False)


def wrong_named():
    return Named(5, False)


def wrong_of_several():
    return Named(5, True)
"""


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("torchvision:resnet50", {"resnet18", "resnet34", "resnet101", "resnet152"}),
        ("torchvision:vgg16_bn", {"vgg11_bn", "vgg13_bn", "vgg19_bn", "vgg16"}),
        ("torchvision:mobilenet_v3_large", {"mobilenet_v3_small"}),
        ("torchvision:swin_b", {"swin_s", "swin_t"}),
        ("timm:vit_base_patch16_224", {"vit_small_patch16_224", "vit_large_patch16_224", "vit_base_patch32_224"}),
    ],
)
def test_the_family_is_found_by_name(name: str, nearest: set[str]) -> None:
    found = [one.partition(":")[2] for one in relatives(name)]
    assert nearest <= set(found[:12])
    assert name.partition(":")[2] not in found


def test_a_model_of_the_users_own_has_no_family() -> None:
    assert relatives("net.py:make") == ()
    with pytest.raises(SecateurError) as refused:
        finish(make(half(source="net.py:make"), BaselineSpec(BaselineKind.STOCK), NEVER))
    assert refused.value.message.code == "baselines.no_family"


def test_a_named_factory_is_opened_counted_and_trained(tmp_path: Path) -> None:
    (tmp_path / "stock.py").write_text(CODE)
    made = finish(make(half(), BaselineSpec(BaselineKind.STOCK, source=f"{tmp_path / 'stock.py'}:small"), NEVER))
    assert made.parameters == 4 * 9 + 4 + 4 * 3 + 3
    assert made.macs == 4 * 9 * 36 + 4 * 3
    assert made.epochs == 1 and made.title == "stock.py:small" and made.removed is None


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("stock", ["wrong", "wrong_named", "wrong_of_several"])
def test_another_number_of_outputs_is_refused(tmp_path: Path, named: bool, stock: str) -> None:
    (tmp_path / "stock.py").write_text(CODE)
    compared = half()
    if named:  # the original answers with names too
        own = open_model(ModelSpec(f"{tmp_path / 'stock.py'}:named", input_shape=(1, 8, 8)))
        compared = replace(compared, original=own.model)
    with pytest.raises(SecateurError) as refused:
        finish(make(compared, BaselineSpec(BaselineKind.STOCK, source=f"{tmp_path / 'stock.py'}:{stock}"), NEVER))
    assert refused.value.message.code == "baselines.stock_outputs"
    assert "[2, 5]" in str(refused.value) and "[2, 3]" in str(refused.value)

"""Models of the benchmarks as a user would write them: `models.py:minilm` is what the program opens."""

from typing import Any

import torch
from torch import Tensor, nn

from tests.benchmarks.choose import packages


class Encoder(nn.Module):
    """MiniLM; tokens [N, T] to vectors of tokens [N, T, 384]."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import AutoModel

        folder = packages.fetched(packages.MINILM).parent
        self.bert: Any = AutoModel.from_pretrained(folder, add_pooling_layer=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class Classifier(nn.Module):
    """MiniLM, the mean of its tokens, and two classes: tokens [N, T] to logits [N, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.head = nn.Linear(384, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        tokens = self.encoder(input_ids, attention_mask)
        weights = attention_mask.to(tokens)[:, :, None]
        return self.head((tokens * weights).sum(1) / weights.sum(1).clamp_min(1))


def minilm() -> nn.Module:
    """The sentence encoder with its weights."""
    return Encoder()


def sentiment() -> nn.Module:
    """The classifier; its head begins with random weights."""
    torch.manual_seed(0)
    return Classifier()


class CifarBlock(nn.Module):
    """Two convolutions; the shortcut takes every second pixel and adds zero channels (He et al. 2015, A)."""

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.more = (planes - in_planes) // 2 if stride != 1 else 0
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.stride != 1:
            x = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        return (y + x).relu()


class CifarResNet(nn.Module):
    """Three stages of 16, 32 and 64 channels; images [N, 3, 32, 32] to logits [N, 10]."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        width = 16
        for number, planes in enumerate((16, 32, 64), 1):
            strides = [1 if number == 1 else 2] + [1] * (blocks - 1)
            stage = [CifarBlock(width if n == 0 else planes, planes, stride) for n, stride in enumerate(strides)]
            setattr(self, f"layer{number}", nn.Sequential(*stage))
            width = planes
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        x = self.get_submodule("layer3")(self.get_submodule("layer2")(self.get_submodule("layer1")(x)))
        return self.linear(x.mean((2, 3)))


def resnet20() -> nn.Module:
    """ResNet-20 for CIFAR-10."""
    return CifarResNet(3)


def resnet56() -> nn.Module:
    """ResNet-56 for CIFAR-10."""
    return CifarResNet(9)


def resnet_stock() -> nn.Module:
    """What one would train instead of the bundled ResNet at half its MACs: its stages 24, 44 and 88 channels wide."""
    from secateur.resources.models import BasicBlock, SmallResNet

    model = SmallResNet()
    model.stem, model.bn = nn.Conv2d(1, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24)
    model.layer1 = nn.Sequential(BasicBlock(24, 24, stride=2), BasicBlock(24, 24))
    model.layer2 = nn.Sequential(BasicBlock(24, 44, stride=2), BasicBlock(44, 44))
    model.layer3 = nn.Sequential(BasicBlock(44, 88, stride=2))
    model.fc = nn.Linear(88, 10)
    return model


def vit_stock() -> nn.Module:
    """What one would train instead of the bundled ViT at half its MACs: 64 instead of 96 wide, 4 heads."""
    from secateur.resources.models import SmallViT

    return SmallViT(width=64, num_heads=4)


def small_llama(width: int = 96, layers: int = 4, neurons: int = 256) -> nn.Module:
    """A Llama with grouped queries that reads bytes, random weights: tokens [N, T] to logits [N, T, 256]."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=256,
        hidden_size=width,
        intermediate_size=neurons,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        use_cache=False,
    )
    return LlamaForCausalLM(config).eval()

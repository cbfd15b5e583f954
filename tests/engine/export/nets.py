"""A user's network as exporters meet it: a file on disk, opened, cut by hand without the engine's surgery."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.engine.export.protocol import ExportRequest
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec

WHISPER: dict[str, Any] = {
    "vocab_size": 90,
    "num_mel_bins": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "d_model": 32,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_source_positions": 20,
    "max_target_positions": 20,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
}
"""Sizes of a small Whisper."""
NET = '''
import torch
from torch import nn

print("user code may print")


class Net(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.bn = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, 5)

    def forward(self, x):
        return self.fc(torch.relu(self.bn(self.conv(x))).mean((2, 3)))


class TwoHeads(Net):
    def forward(self, x, scale):
        y = super().forward(x) * scale
        return {"logits": y, "softmax": (y.softmax(-1), None)}


class Reshaped(Net):
    """Holds its batch size as a number."""

    def forward(self, x):
        return super().forward(x).reshape(len(x), 5) + torch.zeros(len(x), 5)


class OneByOne(Net):
    """Decides by its batch."""

    def forward(self, x):
        return super().forward(x) * (1 if len(x) < 3 else 2)


class Answer:
    """An output of a class that only the user's file knows."""

    def __init__(self, logits):
        self.logits = logits


torch.utils._pytree.register_pytree_node(Answer, lambda a: ([a.logits], None), lambda v, _: Answer(*v))


class Answers(Net):
    def forward(self, x):
        return Answer(super().forward(x))


class Forgetful(Net):
    """Computes something else in every process."""

    def forward(self, x):
        import os

        # Processes that follow each other get numbers far apart.
        return super().forward(x) + os.getpid() * 31153 % 65536


def make():
    return Net()
'''
KEPT = [0, 2, 3, 7, 8, 11]


def write(folder: Path) -> Path:
    """The file of the networks."""
    (folder / "net.py").write_text(NET)
    return folder / "net.py"


def request(folder: Path, path: Path, name: str = "make", batch: int = 4, **options) -> ExportRequest:
    """Ask for the export of one of the networks with settled statistics, uncut."""
    spec = ModelSpec(f"{write(folder)}:{name}")
    model = open_model(spec).model
    settle(model)
    return ExportRequest(model, (inputs(batch),), str(path), spec, name="a net", macs=123, **options)


def inputs(batch: int) -> torch.Tensor:
    """Inputs [batch, 3, 8, 8]."""
    return torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(batch))


def settle(model: nn.Module) -> None:
    """Give every parameter and statistic a value that no other has."""
    generator = torch.Generator().manual_seed(3)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)


def cut_by_hand(model: Any) -> Any:
    """Keep the filters `KEPT`, in place."""
    model.conv.weight = nn.Parameter(model.conv.weight[KEPT].detach())
    model.conv.bias = nn.Parameter(model.conv.bias[KEPT].detach())
    model.conv.out_channels = len(KEPT)
    for name in ("weight", "bias"):
        setattr(model.bn, name, nn.Parameter(getattr(model.bn, name)[KEPT].detach()))
    for name in ("running_mean", "running_var"):
        setattr(model.bn, name, getattr(model.bn, name)[KEPT])
    model.fc.weight = nn.Parameter(model.fc.weight[:, KEPT].detach())
    return model

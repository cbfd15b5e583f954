"""Small ONNX files, made by torch's exporters and by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn


class ConvNet(nn.Module):
    """Grouped convolutions, squeeze and excitation, a flattened head."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.norm = nn.BatchNorm2d(16)
        for one in (self.norm.weight, self.norm.bias, self.norm.running_mean, self.norm.running_var):
            assert one is not None
            nn.init.uniform_(one, 0.5, 1.5)
        self.deep = nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.squeeze = nn.Conv2d(16, 8, 1)
        self.excite = nn.Conv2d(8, 16, 1)
        self.head = nn.Linear(16 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, 3, 16, 16] to [N, 5]."""
        x = self.norm(torch.relu(self.stem(x)))  # nothing to fold into
        x = nn.functional.hardswish(self.deep(x))
        x = x * torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        x = nn.functional.max_pool2d(x, 2)
        return self.head(x.reshape(x.shape[0], 256))


class Attention(nn.Module):
    """A transformer block on sequences, with written heads."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        self.norm = nn.LayerNorm(24)
        self.qkv = nn.Linear(24, 72)
        self.out = nn.Linear(24, 24)
        self.ffn = nn.Sequential(nn.Linear(24, 32), nn.GELU(), nn.Linear(32, 24))
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences [N, T, 24] to [N, 5]."""
        n, t, _ = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, t, 3, 4, 6).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(q @ k.transpose(-2, -1) * 6**-0.5, -1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, t, 24))
        return self.head((x + self.ffn(x)).mean(1))


class Recurrent(nn.Module):
    """An LSTM in both directions between linear layers."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        self.first = nn.Linear(6, 12)
        self.lstm = nn.LSTM(12, 16, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences [N, T, 6] to [N, 5]."""
        return self.head(self.lstm(self.first(x))[0].mean(1))


NETS: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "conv": (ConvNet, (3, 16, 16)),
    "attention": (Attention, (7, 24)),
    "recurrent": (Recurrent, (7, 6)),
}


def exported(name: str, folder: Path, opset: int = 17, batch: int = 0) -> Path:
    """A net as an ONNX file with a free batch size, or the one that is given."""
    make, shape = NETS[name]
    torch.manual_seed(0)
    path = folder / f"{name}.onnx"
    torch.onnx.export(
        make().eval(),
        (torch.randn(batch or 2, *shape),),
        str(path),
        dynamo=False,
        opset_version=opset,
        input_names=["x"],
        dynamic_axes=None if batch else {"x": {0: "batch"}},
    )
    return path


def by_hand(path: Path, nodes: list[onnx.NodeProto], weights: Mapping[str, NDArray[Any]], domain: str = "") -> Path:
    """A graph from x [N, 4] to y, written down node by node."""
    initialisers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    found = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "graph", [given], [found], initialisers)
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path

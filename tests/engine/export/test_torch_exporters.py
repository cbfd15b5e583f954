"""Named outputs behave as the model's, and products with the weights of experts are in torch's or ONNX's operators."""

import copy
import pickle

import onnxruntime
import torch
from torch import nn
from transformers.integrations import moe

from secateur.engine.export.program import export_program_here
from secateur.engine.export.torch_exporters import output_from_paths
from secateur.engine.export.write_onnx import export_onnx_here

assert moe  # its import registers the operator


class Experts(nn.Module):
    """Each row of [N, 8] times the weights of its expert, 0, 1 or 2; rows are sorted by `numbers` [N]."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(0)))

    def forward(self, rows, numbers):
        ends = (numbers[:, None] <= torch.arange(3)).sum(0).int()
        return torch.ops.transformers.grouped_mm_fallback(rows, self.weight, ends)


NETWORK, ROWS, NUMBERS = Experts().eval(), torch.randn(5, 8), torch.tensor([0, 0, 2, 2, 2])
"""The second expert gets none."""
EXPECTED = torch.stack([row @ NETWORK.weight[n] for row, n in zip(ROWS, NUMBERS, strict=True)]).detach()
EXAMPLE = (torch.randn(4, 8), torch.tensor([0, 1, 1, 2]))


def test_an_onnx_file_multiplies_the_rows_of_each_expert(tmp_path):
    export_onnx_here(NETWORK, EXAMPLE, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (found,) = session.run(None, {"rows": ROWS.numpy(), "numbers": NUMBERS.numpy()})
    assert torch.allclose(torch.from_numpy(found), EXPECTED, atol=1e-5)


def test_a_program_has_no_operator_of_the_library(tmp_path):
    export_program_here(NETWORK, EXAMPLE, tmp_path / "net.pt2")
    program = torch.export.load(tmp_path / "net.pt2")
    assert torch.allclose(program.module()(ROWS, NUMBERS), EXPECTED, atol=1e-5)
    assert not any("transformers" in str(node.target) for node in program.graph.nodes)


def test_named_outputs_are_copied_and_pickled_whole() -> None:
    outputs = output_from_paths([("logits", 1), ("hidden.0", 2), ("hidden.1", 3)])
    for again in (copy.copy(outputs), copy.deepcopy(outputs), pickle.loads(pickle.dumps(outputs))):
        assert again == outputs and again.logits == again["logits"] == again[0] == 1 and again.hidden == (2, 3)

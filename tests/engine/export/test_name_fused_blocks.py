"""Names of blocks: what runtimes fuse has one name, in a cut model as in the original; the file computes the same."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from secateur.engine.export.name_fused_blocks import name_blocks, node_modules
from secateur.engine.export.write_onnx import export_onnx_here
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.targets.latency_table import block_of
from secateur.engine.targets.measure import profile
from secateur.engine.targets.protocol import TargetSpec

X = np.random.default_rng(0).normal(size=(2, 3, 12, 12)).astype(np.float32)


class Net(nn.Module):
    """A convolution with its activation, and one whose result is used twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.third = nn.Conv2d(width, 8, 1)

    def forward(self, x):
        x = self.first(x).relu()
        return self.third((x + self.second(x)).relu())


def written(path, width: int):
    export_onnx_here(Net(width).eval(), (torch.from_numpy(X),), path)
    before = np.asarray(onnxruntime.InferenceSession(path).run(None, {"input": X})[0])
    name_blocks(path)
    after = np.asarray(onnxruntime.InferenceSession(path).run(None, {"input": X})[0])
    assert np.array_equal(before, after)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return [written(folder / f"{width}.onnx", width) for width in (32, 30)]


@pytest.mark.end_to_end
def test_operators_that_are_fused_share_a_name_that_a_cut_does_not_change(files):
    graphs = [onnx.load(file).graph for file in files]
    names = [[(node.op_type, block_of(node.name)) for node in graph.node] for graph in graphs]
    assert names[0] == names[1]
    by_block: dict[str, list[str]] = {}
    for kind, block in names[0]:
        by_block.setdefault(block, []).append(kind)
    assert sorted(by_block.values()) == [["Conv"], ["Conv", "Add", "Relu"], ["Conv", "Relu"]]


class Attention(nn.Module):
    """Heads of eight dimensions; a single one is reshaped once more, as exporters do."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(32, 8 * heads) for _ in range(3))
        self.out = nn.Linear(8 * heads, 32)

    def forward(self, x):
        each = [one(x).view(*x.shape[:2], self.heads, 8).transpose(1, 2) for one in (self.query, self.key, self.value)]
        mixed = nn.functional.scaled_dot_product_attention(*each)
        mixed = mixed.flatten(1, 2).unsqueeze(1) if self.heads == 1 else mixed
        return self.out(mixed.transpose(1, 2).reshape(*x.shape[:2], -1))


def test_layers_keep_their_names_where_a_single_head_takes_other_nodes(tmp_path):
    """They would move the names of all that follows."""
    products, counts = list[dict[str, str]](), list[int]()
    for heads in (4, 1):
        path = tmp_path / f"{heads}.onnx"
        model = nn.Sequential(Attention(heads), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
        export_onnx_here(model, (torch.randn(2, 5, 32),), path, homes=True)
        name_blocks(path)
        graph, where = onnx.load(path).graph, node_modules(path)
        heavy = [block_of(node.name) for node in graph.node if node.op_type in ("MatMul", "Gemm")]
        products.append({block: where[block] for block in heavy})
        counts.append(len(graph.node))
    assert counts[0] != counts[1]
    assert products[0] == products[1] and len(products[0]) == 8
    assert set(products[0].values()) == {"0", "0.query", "0.key", "0.value", "0.out", "1", "3"}


@pytest.mark.end_to_end
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_every_runtime_tells_the_same_blocks_in_every_layout(files, runtime):
    """30 channels fit no layout of vectors: onnxruntime runs other kernels under other names there."""
    target, blocks = TargetSpec(runtime, seconds=0.05), list[set[str]]()
    for file in files:
        found = finish(profile(file, file, (X,), target, NeverCancelled()))
        blocks.append({block_of(one.name) for one in found.kernels if "Conv" in one.kind})
    assert blocks[0] == blocks[1] and len(blocks[0]) == 3


def test_branches_read_results_of_the_graph_around_them_by_their_new_names(tmp_path):
    name, kind = helper.make_tensor_value_info, TensorProto.FLOAT
    bodies = [
        helper.make_graph([helper.make_node(op, ["inner"], [f"{op}ed"])], op, [], [name(f"{op}ed", kind, [2])])
        for op in ("Neg", "Abs")
    ]
    nodes = [
        helper.make_node("Relu", ["x"], ["inner"]),
        helper.make_node("If", ["take"], ["y"], then_branch=bodies[0], else_branch=bodies[1]),
    ]
    given = [name("x", kind, [2]), name("take", TensorProto.BOOL, [])]
    graph = helper.make_graph(nodes, "net", given, [name("y", kind, [2])])
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    name_blocks(path)
    session = onnxruntime.InferenceSession(path)
    for take, expected in ((True, [-1.0, 0.0]), (False, [1.0, 0.0])):
        (found,) = session.run(None, {"x": np.array([1, -2], np.float32), "take": np.array(take)})
        assert np.array_equal(np.asarray(found), expected)

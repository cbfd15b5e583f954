"""ONNX files: opened as they compute, cut, and written back as the same graph; bad ones refused in a sentence."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from secateur.engine import Pruned, prune
from secateur.engine.errors import OpenError
from secateur.engine.export.write_graph import cut_graph
from secateur.engine.runtime.onnx_module import OnnxModule
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec

from .onnx_nets import NETS, by_hand, exported


def run(path: Path, x: torch.Tensor) -> torch.Tensor:
    """The file's output by ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


def cut_model(pruned: Pruned) -> OnnxModule:
    """The live module of what was pruned."""
    assert isinstance(pruned.model, OnnxModule)
    return pruned.model


@pytest.mark.parametrize("opset", [9, 13, 20])
@pytest.mark.parametrize("name", NETS)
def test_a_file_computes_here_what_it_computes_in_onnxruntime(name: str, opset: int, tmp_path: Path) -> None:
    path = exported(name, tmp_path, opset)
    opened = open_model(ModelSpec(str(path)))
    x = torch.randn(3, *NETS[name][1])
    torch.testing.assert_close(opened.model(x).detach(), run(path, x), rtol=1e-4, atol=1e-5)
    assert any(note.code == "onnx.parity" for note in opened.notes)


def test_weights_are_parameters_under_the_files_names(tmp_path: Path) -> None:
    path = exported("conv", tmp_path)
    model = open_model(ModelSpec(str(path))).model
    named = {one.name for one in onnx.load(str(path)).graph.initializer if one.name.count(".")}
    assert named == {*dict(model.named_parameters()), *dict(model.named_buffers())}
    assert {"norm.running_mean", "norm.running_var"} == set(dict(model.named_buffers()))
    model(torch.randn(2, 3, 16, 16)).sum().backward()
    assert all(one.grad is not None for one in model.parameters())


@pytest.mark.parametrize("name", NETS)
def test_a_file_for_one_batch_size_runs_at_others(name: str, tmp_path: Path) -> None:
    path = exported(name, tmp_path, batch=1)
    model, x = open_model(ModelSpec(str(path))).model, torch.randn(3, *NETS[name][1])
    expected = torch.cat([run(path, one[None]) for one in x])
    torch.testing.assert_close(model(x).detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [0, 1])
@pytest.mark.parametrize("name", NETS)
def test_the_graph_of_a_cut_file_is_the_files_own(name: str, batch: int, tmp_path: Path) -> None:
    path = exported(name, tmp_path, batch=batch)
    proto, x = onnx.load(str(path)), torch.randn(batch or 3, *NETS[name][1])
    pruned = prune(str(path), keep_macs=0.7, multiple=1)
    new = cut_graph(proto, cut_model(pruned), (x,))
    assert [(n.op_type, n.name, n.input, n.output) for n in new.graph.node] == [
        (n.op_type, n.name, n.input, n.output) for n in proto.graph.node
    ]
    assert (new.graph.input, new.graph.output) == (proto.graph.input, proto.graph.output)
    sizes = [sum(np.prod(one.dims) for one in each.graph.initializer) for each in (proto, new)]
    assert sizes[1] < 0.9 * sizes[0]
    onnx.save(new, str(tmp_path / "out.onnx"))
    torch.testing.assert_close(run(tmp_path / "out.onnx", x), pruned.model(x).detach(), rtol=1e-4, atol=1e-5)


def test_an_export_keeps_metadata_opset_and_free_sizes(tmp_path: Path) -> None:
    path = exported("conv", tmp_path, 13)
    proto = onnx.load(str(path))
    helper.set_model_props(proto, {"licence": "MIT"})
    onnx.save(proto, str(path))
    written = prune(str(path), keep_macs=0.7, multiple=1).export_onnx(tmp_path / "out.onnx")
    new = onnx.load(str(tmp_path / "out.onnx"))
    assert written.notes == ()
    assert new.opset_import == proto.opset_import
    assert (new.graph.input, new.graph.output) == (proto.graph.input, proto.graph.output)
    assert {one.key: one.value for one in new.metadata_props}["licence"] == "MIT"


def gemm(path: Path) -> Path:
    """y = x w."""
    weights = {"w": np.random.default_rng(0).standard_normal((4, 8), dtype=np.float32)}
    return by_hand(path, [helper.make_node("MatMul", ["x", "w"], ["y"])], weights)


def test_external_data_is_read_from_the_folder_alone(tmp_path: Path) -> None:
    path = gemm(tmp_path / "model.onnx")
    expected = run(path, torch.ones(2, 4))
    onnx.save(onnx.load(str(path)), str(path), save_as_external_data=True, location="data.bin", size_threshold=0)
    torch.testing.assert_close(open_model(ModelSpec(str(path))).model(torch.ones(2, 4)).detach(), expected)
    proto = onnx.load(str(path), load_external_data=False)
    inner = tmp_path / "inner"
    inner.mkdir()
    for entry in proto.graph.initializer[0].external_data:
        entry.value = "../data.bin" if entry.key == "location" else entry.value
    onnx.save(proto, str(inner / "model.onnx"))
    with pytest.raises(OpenError, match="outside of its folder"):
        open_model(ModelSpec(str(inner / "model.onnx")))
    (tmp_path / "data.bin").write_bytes(b"short")
    with pytest.raises(OpenError, match="damaged"):
        open_model(ModelSpec(str(path)))
    (tmp_path / "data.bin").unlink()
    with pytest.raises(OpenError, match="which is not there"):
        open_model(ModelSpec(str(path)))


def quantised(path: Path) -> Path:
    """x through QuantizeLinear and back."""
    weights = {"scale": np.float32(0.1), "zero": np.uint8(0)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="in"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    return by_hand(path, nodes, {name: np.asarray(value) for name, value in weights.items()})


def control(path: Path) -> Path:
    """A choice between two graphs."""
    out = [helper.make_tensor_value_info("z", 1, None)]
    one, two = (helper.make_graph([helper.make_node(n, ["x"], ["z"])], n, [], out) for n in ("Relu", "Neg"))
    node = helper.make_node("If", ["yes"], ["y"], name="choice", then_branch=one, else_branch=two)
    return by_hand(path, [node], {"yes": np.asarray(True)})


def foreign(path: Path) -> Path:
    """An operator of a runtime."""
    return by_hand(path, [helper.make_node("FusedGelu", ["x"], ["y"], domain="com.microsoft")], {}, "com.microsoft")


def unknown(path: Path) -> Path:
    """An operator of the standard that is not run here."""
    return by_hand(path, [helper.make_node("MelWeightMatrix", ["x"], ["y"])], {})


def made(path: Path) -> Path:
    """A constant of four terabytes in forty bytes."""
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("MatMul", ["x", "c"], ["y"])]
    return by_hand(path, nodes, {"s": np.array([4, 1 << 38], np.int64)})


def damaged(path: Path) -> Path:
    """The first half of a file."""
    gemm(path)
    path.write_bytes(path.read_bytes()[:90])
    return path


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (quantised, "onnx.quantised", "is quantised \\(QuantizeLinear, node 'in'\\)"),
        (control, "onnx.control", "contains If \\(node 'choice'\\)"),
        (foreign, "onnx.custom", "com.microsoft.FusedGelu"),
        (unknown, "onnx.operator", "MelWeightMatrix"),
        (made, "onnx.made", "far more data than it holds"),
        (damaged, "onnx.damaged", "damaged"),
    ],
)
def test_what_cannot_be_opened_is_named(make: object, code: str, says: str, tmp_path: Path) -> None:
    assert callable(make)
    with pytest.raises(OpenError, match=says) as caught:
        open_model(ModelSpec(str(make(tmp_path / "model.onnx"))))
    assert caught.value.message.code == code


def test_a_constant_that_others_read_too_stays_as_it_is(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = {name: random.standard_normal(shape, dtype=np.float32) for name, shape in (("w", (4, 8)), ("v", (8, 3)))}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Reshape", ["r", "shape"], ["s"], name="narrow"),
        helper.make_node("MatMul", ["s", "v"], ["z"]),
        helper.make_node("MatMul", ["x", "u"], ["b"]),
        helper.make_node("Reshape", ["b", "shape"], ["t"], name="wide"),
        helper.make_node("ReduceMean", ["t"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Add", ["z", "m"], ["y"]),
    ]
    weights["u"] = random.standard_normal((4, 8), dtype=np.float32)
    path = by_hand(tmp_path / "model.onnx", nodes, {**weights, "shape": np.array([-1, 8], np.int64)})
    pruned = prune(str(path), keep_parameters=0.8, multiple=1)
    x = torch.randn(3, 4)
    proto = cut_graph(onnx.load(str(path)), cut_model(pruned), (x,))
    onnx.save(proto, str(tmp_path / "out.onnx"))
    new = {one.name: numpy_helper.to_array(one) for one in proto.graph.initializer}
    torch.testing.assert_close(run(tmp_path / "out.onnx", x), pruned.model(x).detach(), rtol=1e-4, atol=1e-5)
    assert new["w"].shape[1] < 8


def test_a_cut_file_leaves_as_a_folder_for_pytorch_too(tmp_path: Path) -> None:
    pruned = prune(str(exported("attention", tmp_path)), keep_macs=0.7, multiple=1)
    pruned.export_pytorch(tmp_path / "out")  # loaded in a process without Secateur, and compared
    assert {"onnx_module.py", "attention.onnx"} <= {one.name for one in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("how", ["Gather", "Equal", "OneHot"])
def test_whole_numbers_of_the_examples_are_all_that_the_file_knows(how: str, tmp_path: Path) -> None:
    """Two of 41 values would make the inputs of a norm nearly constant, and what is computed of it mere rounding."""
    table = numpy_helper.from_array(np.random.default_rng(0).standard_normal((41, 6), np.float32), "table")
    constants = [table]
    if how == "Gather":
        nodes = [helper.make_node("Gather", ["table", "flat"], ["read"])]
    elif how == "Equal":
        constants.append(numpy_helper.from_array(np.arange(41, dtype=np.int32), "classes"))
        constants.append(numpy_helper.from_array(np.array([-1, 9, 1]), "each"))
        nodes = [
            helper.make_node("Reshape", ["flat", "each"], ["column"]),
            helper.make_node("Equal", ["column", "classes"], ["is"]),
            helper.make_node("Cast", ["is"], ["code"], to=onnx.TensorProto.FLOAT),
            helper.make_node("MatMul", ["code", "table"], ["read"]),
        ]
    else:
        constants.append(numpy_helper.from_array(np.array(41), "depth"))
        constants.append(numpy_helper.from_array(np.array([0, 1], np.float32), "values"))
        nodes = [
            helper.make_node("OneHot", ["flat", "depth", "values"], ["code"]),
            helper.make_node("MatMul", ["code", "table"], ["read"]),
        ]
    nodes = [helper.make_node("Cast", ["bytes"], ["flat"], to=onnx.TensorProto.INT32), *nodes]
    ends = (
        helper.make_tensor_value_info("bytes", onnx.TensorProto.INT64, ["n", 9]),
        helper.make_tensor_value_info("read", onnx.TensorProto.FLOAT, ["n", 9, 6]),
    )
    graph = helper.make_graph(nodes, "codes", [ends[0]], [ends[1]], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "c.onnx")
    opened = open_model(ModelSpec(str(tmp_path / "c.onnx")))
    given = opened.inputs["bytes"]  # type: ignore[index,call-overload]
    assert int(given.min()) >= 0 and 20 < int(given.max()) < 41


@pytest.mark.parametrize("shape", [(1_000_000, 3, 10_000, 10_000), (1, 3, 10_000, 10_000), (1 << 30, 3, 8, 8)])
def test_an_input_of_any_size_is_not_made(shape: tuple[int, ...], tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "w")
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", [given], [result], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "net.onnx")
    with pytest.raises(OpenError, match="Export the model for smaller inputs") as caught:
        open_model(ModelSpec(str(tmp_path / "net.onnx")))
    assert caught.value.message.code == "onnx.large_input"

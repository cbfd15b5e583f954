"""Profiles: the fused blocks that a runtime ran, with their shapes. No bar on times."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.targets.bench import BlockTimes, CpuTimedRun
from secateur.engine.targets.measure import profile
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.targets.timing import undisturbed_seconds

NEVER = NeverCancelled()
INPUTS = (np.zeros((2, 1, 28, 28), dtype=np.float32),)


@pytest.fixture
def file(tmp_path):
    """Two convolutions, each with its ReLU."""
    random, nodes, weights = np.random.default_rng(0), [], []
    for n, (inputs, outputs) in enumerate(((1, 16), (16, 32))):
        values = random.normal(0, 0.1, (outputs, inputs, 3, 3)).astype(np.float32)
        weights.append(onnx.numpy_helper.from_array(values, f"w{n}"))
        nodes.append(helper.make_node("Conv", [f"x{n}", f"w{n}"], [f"y{n}"], name=f"conv{n}", pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"y{n}"], [f"x{n + 1}"], name=f"relu{n}"))
    ends = [("x0", ["batch", 1, 28, 28]), ("x2", ["batch", 32, 28, 28])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "a.onnx")
    return tmp_path / "a.onnx"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_convolutions_are_seen_fused_and_with_the_batch_of_the_target(file, runtime):
    found = finish(profile(file, file, INPUTS, TargetSpec(runtime, batch=3, seconds=0.1), NEVER))
    kinds = [one.kind for one in found.kernels]
    assert kinds.count("Conv") + kinds.count("Convolution") == 2
    assert not {"BatchNormalization", "Relu"} & set(kinds)
    assert len({one.name for one in found.kernels}) == len(found.kernels)
    first = next(one for one in found.kernels if "Conv" in one.kind)
    assert (3, 1, 28, 28) in first.sizes and first.sizes[-1][0] == 3
    assert all(one.seconds > 0 for one in found.kernels)
    assert found.seconds > 0 and found.original > 0 and found.wall >= found.seconds


def test_eager_torch_is_seen_module_by_module(tmp_path):
    from secateur.engine.export.model_package import pack
    from secateur.engine.surgery.cut.edits import Edits

    spec = ModelSpec("bundled:resnet")
    model = open_model(spec).model
    pack(tmp_path, model, Edits(), spec, (2, 1, 28, 28))
    found = finish(profile(tmp_path, tmp_path, INPUTS, TargetSpec("torch", batch=3, seconds=0.1), NEVER))
    leaves = {name for name, module in model.named_modules() if not any(module.children())}
    seen = {one.name.rpartition(" ")[0] for one in found.kernels if one.kind != "between"}
    assert seen == leaves
    linear = next(one for one in found.kernels if one.kind == "Linear")
    assert linear.sizes[0][0] == 3 and tuple(model.fc.weight.shape) in linear.sizes


def test_the_fastest_runs_of_a_block_count():
    gathered = BlockTimes()
    for seconds in (1.0, 9.0, 2.0, 3.0, 9.0):
        gathered.add("a", "Conv", [(1, 2)], seconds)
    gathered.add("b", "Relu", [], 1.0)
    a, b = gathered.blocks()
    assert a == ("a", "Conv", ((1, 2),), 2.0) and b[0] == "b"


def test_what_others_took_of_one_thread_does_not_count():
    import time

    clocked = CpuTimedRun(lambda: time.sleep(0.02))  # as waiting for a processor that somebody else has
    clocked()
    assert clocked.own[0] < 0.01
    assert undisturbed_seconds([0.02], clocked.own) == clocked.own[0]
    assert undisturbed_seconds([0.02], [0.04]) == 0.02  # two threads

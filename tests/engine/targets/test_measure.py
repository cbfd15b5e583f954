"""Latency: sane numbers from a process of its own, refusals, and a cancel that kills it. No bar on times."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from secateur.engine.errors import SecateurError
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.targets.bench import processor
from secateur.engine.targets.measure import measure
from secateur.engine.targets.openvino_target import _core
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.targets.table import TARGETS

QUICK = TargetSpec(seconds=0.3)
SIZES = {"x": (40, 24), "y": (1, 1)}


def matmuls(path, count, batch: int | str = "batch", width=256):
    """An ONNX file of `count` matrix products, each of the same MACs."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for n in range(count):
        weights.append(onnx.numpy_helper.from_array(rng.normal(0, 0.05, (width, width)).astype(np.float32), f"w{n}"))
        nodes.append(helper.make_node("MatMul", [f"x{n}", f"w{n}"], [f"x{n + 1}"]))
    ends = [helper.make_tensor_value_info(f"x{n}", TensorProto.FLOAT, [batch, width]) for n in (0, count)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)
    return str(path)


@pytest.fixture
def example():
    return (np.ones((2, 256), dtype=np.float32),)


def test_ten_times_the_macs_take_longer_and_the_numbers_are_ordered(tmp_path, example):
    target = TargetSpec(batch=8, seconds=0.4)
    files = [matmuls(tmp_path / "one.onnx", 2), matmuls(tmp_path / "ten.onnx", 20)]
    seen = []
    one, ten = finish(measure(files, example, target), seen.append)
    assert ten.median > 2 * one.median
    for timing in (one, ten):
        assert 0 < timing.low <= timing.median <= timing.high and timing.runs >= 10 and timing.target == target
    assert "onnxruntime" in one.machine and "cores" in one.machine and processor() in one.machine
    done = [p.done for p in seen]
    assert done == sorted(done) and seen[-1].done == 100


def test_eager_torch_is_measured_from_a_parcel(tmp_path):
    from secateur.engine.export.model_package import pack
    from secateur.engine.sources.open import open_model
    from secateur.engine.sources.protocol import ModelSpec
    from secateur.engine.surgery.cut.edits import Edits

    spec = ModelSpec("bundled:resnet")
    pack(tmp_path, open_model(spec).model, Edits(), spec, (2, 1, 28, 28))
    inputs = (np.zeros((2, 1, 28, 28), dtype=np.float32),)
    (timing,) = finish(measure([tmp_path], inputs, TargetSpec("torch", seconds=0.2)))
    assert timing.median > 0 and "torch" in timing.machine


def answer(runtime, path, inputs, precision="fp32") -> Any:
    """What a target computes, in this process."""
    return TARGETS[runtime].load(path, 1, precision)(inputs)()


@pytest.mark.parametrize(("precision", "kind"), [("bf16", "torch.bfloat16"), ("fp16", "torch.float16")])
def test_torch_computes_in_less_than_fp32(tmp_path, precision, kind):
    from secateur.engine.export.model_package import pack
    from secateur.engine.sources.open import open_model
    from secateur.engine.sources.protocol import ModelSpec
    from secateur.engine.surgery.cut.edits import Edits

    spec = ModelSpec("bundled:resnet")
    pack(tmp_path, open_model(spec).model, Edits(), spec, (2, 1, 28, 28))
    inputs = (np.ones((2, 1, 28, 28), dtype=np.float32),)
    plain, half = (answer("torch", str(tmp_path), inputs, one) for one in ("fp32", precision))
    assert (str(plain.dtype), str(half.dtype)) == ("torch.float32", kind)
    assert 0 < abs(plain - half.float()).max() < 0.05 * abs(plain).max()


def close_to(found, expected, share):
    return np.abs(found - expected).max() < share * np.abs(expected).max()


def test_int8_computes_with_quantised_weights(tmp_path, example):
    file = matmuls(tmp_path / "a.onnx", 2)
    plain, small = (answer("onnxruntime", file, example, one)[0] for one in ("fp32", "int8"))
    assert not np.allclose(plain, small, rtol=1e-4) and close_to(small, plain, 0.05)
    (timing,) = finish(measure([file], example, replace(QUICK, precision="int8")))
    assert timing.median > 0 and timing.target.precision == "int8"


def computes_in(precision: str) -> bool:
    return precision.upper() in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_openvino_gives_what_onnxruntime_gives(tmp_path, example, precision):
    file = matmuls(tmp_path / "a.onnx", 2)
    if not computes_in(precision):
        with pytest.raises(SecateurError, match=f"does not support {precision}"):
            answer("openvino", file, example, precision)
        return
    (plain,) = answer("onnxruntime", file, example)
    (found,) = answer("openvino", file, example, precision).values()
    assert "openvino_telemetry" not in sys.modules  # it would tell its makers
    assert close_to(found, plain, 1e-5 if precision == "fp32" else 0.05)
    if precision != "fp32":
        assert not close_to(found, plain, 1e-5)
    (timing,) = finish(measure([file], example, replace(QUICK, runtime="openvino", precision=precision)))
    assert timing.median > 0 and "openvino" in timing.machine


def test_without_openvino_the_sentence_says_how_to_install_it(tmp_path, example, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr("secateur.engine.targets.openvino_target.import_module", absent)
    with pytest.raises(SecateurError, match=r"pip install 'secateur\[openvino\]'"):
        TARGETS["openvino"].load(matmuls(tmp_path / "a.onnx", 1), 1)


def test_other_sizes_of_the_inputs_are_measured(tmp_path):
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 1, *s]) for n, s in SIZES.items()]
    graph = helper.make_graph([helper.make_node("GlobalAveragePool", ["x"], ["y"])], "g", ends[:1], ends[1:])
    file = tmp_path / "a.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), file)
    inputs = (np.zeros((2, 1, 8, 8), np.float32),)
    (timing,) = finish(measure([file], inputs, replace(QUICK, size=(40, 24))))
    assert timing.target.size == (40, 24)
    with pytest.raises(SecateurError, match="cannot run"):
        finish(measure([file], inputs, QUICK))


@pytest.fixture
def started(monkeypatch):
    """[(process, options)] of the processes that are started."""
    found = []
    original = subprocess.Popen

    def watched(command, **options):
        process = original(command, **options)
        found.append((process, options))
        return process

    monkeypatch.setattr("secateur.engine.subprocesses.run.subprocess.Popen", watched)
    return found


def test_cancelling_kills_the_worker(tmp_path, example, started):
    class Token:
        on = False

        def is_set(self):
            return self.on

    token = Token()
    job = measure([matmuls(tmp_path / "a.onnx", 2)], example, TargetSpec(seconds=60), token=token)
    while next(job).text != "Measuring":
        pass
    ((process, _),) = started
    assert process.poll() is None
    token.on = True
    with pytest.raises(Cancelled):
        finish(job)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (TargetSpec("tensorrt"), "target.unknown"),
        (TargetSpec(threads=0), "target.numbers"),
        (TargetSpec(batch=0), "target.numbers"),
        (TargetSpec(size=(8, 0)), "target.numbers"),
        (TargetSpec(precision="bf16"), "target.precision"),
        (TargetSpec("torch", precision="int8"), "target.precision"),
        (TargetSpec(machine="jetson"), "target.elsewhere"),
    ],
)
def test_targets_that_cannot_be_are_refused(tmp_path, example, target, code):
    with pytest.raises(SecateurError) as caught:
        finish(measure([matmuls(tmp_path / "a.onnx", 1)], example, target))
    assert caught.value.message.code == code


def test_a_file_that_is_not_there_and_one_that_is_no_model(tmp_path, example):
    with pytest.raises(SecateurError, match=r"gone\.onnx does not exist"):
        finish(measure([tmp_path / "gone.onnx"], example, QUICK))
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(SecateurError, match=r"ONNX Runtime cannot load .*text\.onnx"):
        finish(measure([tmp_path / "text.onnx"], example, QUICK))


def test_a_model_that_cannot_run_at_the_targets_batch_says_so(tmp_path, example):
    with pytest.raises(SecateurError, match=r"cannot run at batch 3"):
        finish(measure([matmuls(tmp_path / "a.onnx", 1, batch=2)], example, TargetSpec(batch=3, seconds=0.2)))


def test_no_inputs_is_a_sentence(tmp_path):
    with pytest.raises(SecateurError, match="example inputs"):
        finish(measure([matmuls(tmp_path / "a.onnx", 1)], (), QUICK))


def test_threads_are_pinned_before_the_runtime_loads(tmp_path, example, started):
    finish(measure([matmuls(tmp_path / "a.onnx", 1)], example, TargetSpec(threads=2, seconds=0.05)))
    assert started[0][1]["env"]["OMP_NUM_THREADS"] == "2"


def test_the_table_of_targets_is_known_without_importing_a_runtime():
    code = (
        "import sys, json; from secateur.engine.targets.table import TARGETS; import secateur.engine.targets.measure;"
        "print(json.dumps([list(TARGETS), [m for m in ('torch', 'onnxruntime') if m in sys.modules]]))"
    )
    out = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == [list(TARGETS), []]

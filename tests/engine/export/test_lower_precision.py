"""ONNX in fp16 and int8: what lies in the files, which range the samples gave, and what is refused."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from secateur.engine.errors import ExportError
from secateur.engine.export.convert_onnx import in_fp16
from secateur.engine.export.table import exporter_named, format_of
from secateur.engine.jobs import NeverCancelled, finish

from .nets import inputs

PER_CHANNEL = (6, 3, 3, 3)
"""Shape of the convolution's weight that is left."""


def exported(asked, path, form, **changes):
    """A file in lower precision, made of the float32 file that is there."""
    one = replace(asked[0], onnx=asked[1].files[0], path=str(path), **changes)
    return finish(exporter_named(form).export(one, NeverCancelled()))


def outputs(path, x):
    return onnxruntime.InferenceSession(str(path)).run(None, {"input": x.numpy()})[0]


def weights(path):
    return {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}


def test_fp16_rounds_every_weight_and_stays_close(onnx_export, tmp_path):
    done = exported(onnx_export, tmp_path / "net.fp16.onnx", "onnx-fp16")
    x = inputs(5)
    expected = onnx_export[0].model(x).detach().numpy()
    gap = np.abs(outputs(tmp_path / "net.fp16.onnx", x) - expected).max() / np.abs(expected).max()
    assert 0 < gap < 4 * 2.0**-11 and done.difference == pytest.approx(gap, rel=2)
    kernel = next(one for one in weights(tmp_path / "net.fp16.onnx").values() if one.shape == PER_CHANNEL)
    full = next(one for one in weights(onnx_export[1].files[0]).values() if one.shape == PER_CHANNEL)
    assert kernel.dtype == np.float16 and np.array_equal(kernel, full.astype(np.float16))
    told = {one.key: one.value for one in onnx.load(tmp_path / "net.fp16.onnx").metadata_props}
    assert told["precision"] == "fp16" and told["macs"] == "123"


def test_fp16_counts_exactly():
    graph = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        counted (int64[N] ids, float[N] x) => (int64 count, float[N] y)
        <float[1] third = {0.3333333}, float[1] limit = {2049}> {
            numbers = Cast<to = 1>(ids)
            below = Less(numbers, limit)
            ones = Cast<to = 1>(below)
            total = ReduceSum<keepdims = 0>(ones)
            count = Cast<to = 7>(total)
            y = Mul(x, third)
        }
    """)
    x = np.ones(4000, np.float32)
    session = onnxruntime.InferenceSession(in_fp16(graph).SerializeToString())
    count, y = session.run(None, {"ids": np.arange(4000), "x": x})
    assert count == 2049  # which fp16 cannot hold
    assert np.all(y == np.float32(np.float16(1 / 3)))


def test_int8_has_a_scale_for_each_channel_and_the_range_of_the_samples(onnx_export, tmp_path):
    samples = tuple((inputs(count) * 1.5,) for count in (3, 4))
    done = exported(onnx_export, tmp_path / "net.int8.onnx", "onnx-int8", samples=samples)
    found = weights(tmp_path / "net.int8.onnx")
    name, kernel = next((name, one) for name, one in found.items() if one.shape == PER_CHANNEL)
    full = next(one for one in weights(onnx_export[1].files[0]).values() if one.shape == PER_CHANNEL)
    scale = found[name.removesuffix("_quantized") + "_scale"]
    assert kernel.dtype == np.int8 and scale.shape == (6,)
    assert np.abs(kernel * scale.reshape(-1, 1, 1, 1) - full).max() <= scale.max() / 2 + 1e-7
    seen = torch.cat([one for (one,) in samples])
    whole = float(max(seen.max(), 0) - min(seen.min(), 0)) / 255
    assert found["input_scale"] == pytest.approx(whole, rel=1e-5)
    assert done.difference is not None and 0 < done.difference < 0.03 and done.metric is None


def test_int8_without_samples_and_outputs_that_are_not_finite_are_refused(onnx_export, tmp_path):
    with pytest.raises(ExportError) as refused:
        exported(onnx_export, tmp_path / "net.int8.onnx", "onnx-int8")
    assert refused.value.message.code == "export.no_samples" and "Attach data" in str(refused.value)
    huge = onnx.load(onnx_export[1].files[0])
    bias = next(one for one in huge.graph.initializer if one.name == "fc.bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(5, np.inf, np.float32), "fc.bias"))
    onnx.save(huge, tmp_path / "huge.onnx")
    source = onnx_export[0], replace(onnx_export[1], files=(str(tmp_path / "huge.onnx"),))
    with pytest.raises(ExportError) as refused:
        exported(source, tmp_path / "a.fp16.onnx", "onnx-fp16")
    assert refused.value.message.code == "export.not_finite"
    assert [one.name for one in tmp_path.iterdir()] == ["huge.onnx"]


def test_the_longest_ending_decides():
    assert [format_of(f"a.b{end}") for end in (".onnx", ".fp16.onnx", ".INT8.onnx", "")] == [
        "onnx", "onnx-fp16", "onnx-int8", "pytorch",
    ]  # fmt: skip

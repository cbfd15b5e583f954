"""An analysis as JSON: enough to show, to mark and to count with, not to cut with. Loads no torch.

Arrays are base64 of little-endian numbers. What is read is foreign: numbers are of the kinds that the fields have, and
everything that indexes something is checked before anybody does.
"""

import base64
import binascii
import math
from dataclasses import replace
from typing import Any, cast, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import OpenError
from ..storage.serialization import decoded
from ..structures.analysis import NO_KNOWN_REPAIRS, NOTHING_HELD, Analysis

SCHEMA = 1
STRUCTURES = "structures.json"
"""Name of the file in a project or a bundle."""
POSITIONS = 100_000_000
"""Positions that the axes of a model may have together; a language model of 7 billion parameters has some millions."""
Array = NDArray[Any]


def analysis_to_json(analysis: Analysis) -> bytes:
    """What shows a model's structures elsewhere."""
    nothing: tuple[()] = ()
    small = replace(
        analysis,
        steps=nothing,
        script=nothing,
        block_calls=nothing,
        sizes=nothing,
        literals=nothing,
        constants=nothing,
        stand_ins=nothing,
        known=NO_KNOWN_REPAIRS,
        activations=NOTHING_HELD,
    )
    return msgspec.json.encode({"schema": SCHEMA, "analysis": msgspec.to_builtins(small, enc_hook=_encoded)})


def analysis_from_json(data: bytes) -> Analysis:
    """Read it back, checked; raises OpenError with a sentence."""
    try:
        content = msgspec.convert(decoded(data), dict[str, Any])
        if content.get("schema") != SCHEMA:
            raise OpenError(
                "structures.schema",
                "The structures were written by another version of Secateur, which this one cannot read.",
            )
        found = msgspec.convert(content["analysis"], Analysis, dec_hook=_decoded)
        check_analysis(found)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
        template = "The structures of the model are damaged: {error}."
        raise OpenError("structures.damaged", template, error=str(error).rstrip(".")) from error
    return found


def _encoded(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        array: Array = np.ascontiguousarray(cast("Array", value))
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        return {"shape": list(array.shape), "data": base64.b64encode(data).decode()}
    if hasattr(value, "item"):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} cannot be written as JSON")


def _decoded(kind: Any, value: Any) -> Any:
    """An array of the kind that a field has."""
    try:
        dtype = np.dtype(get_args(get_args(kind)[1])[0]).newbyteorder("<")
        shape = [int(size) for size in value["shape"]]
        data = base64.b64decode(value["data"], validate=True)
    except (IndexError, binascii.Error) as error:
        raise ValueError(str(error)) from error
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("the length of an array does not match")
    array = np.frombuffer(data, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="))  # A copy of its own, aligned, that knows its own byte order.


def check_analysis(one: Analysis) -> None:
    """Raise ValueError where something in an analysis that others made points to what is not there."""
    count, tensors, sets = one.count, len(one.tensors), len(one.sets)
    _need(one.index.ndim == 1 and not (one.index < 0).any(), "indices")
    axes = _starts(one.axis_start, "axes") - 1
    lengths = np.diff(one.axis_start)
    _need(int(one.axis_start[-1]) <= POSITIONS, "axes")
    _need(_starts(one.member_start, "members") == count + 1, "members")
    _need(int(one.member_start[-1]) == len(one.member_position), "members")
    _within(one.member_position, 0, int(one.axis_start[-1]), "members")
    for tensor in one.tensors:
        _need(len(tensor.shape) == len(tensor.axes) and all(size >= 0 for size in tensor.shape), "tensors")
        _within(np.array(tensor.axes, np.int64), -1, axes, "tensors")
        _need(all(a < 0 or lengths[a] == size for a, size in zip(tensor.axes, tensor.shape, strict=True)), "tensors")
    first = 0
    for each in one.sets:
        _need(each.first == first and each.count > 0, "coupled sets")
        _need(all(0 <= t < tensors and 0 <= d < len(one.tensors[t].shape) for t, d in each.touches), "coupled sets")
        first += each.count
    _need(first == count, "coupled sets")
    _need(all(0 <= fixed.tensor < tensors for fixed in one.fixed), "fixed axes")
    operators = len(one.operators.constant)
    _need(one.operators.axes.shape[:1] == (operators,) and one.operators.axes.ndim == 2, "operators")
    _need(len(one.operators.module) == len(one.operators.name) == operators, "operators")
    _within(one.operators.axes, -1, axes, "operators")
    for pairs, end in ((one.block_tensor, tensors), (one.block_operator, operators)):
        _need(pairs.ndim == 2 and pairs.shape[1] == 2, "blocks")
        _within(pairs[:, 0], 0, count, "blocks")
        _within(pairs[:, 1], 0, end, "blocks")
    nodes = len(one.graph.kind)
    _need(len(one.graph.module) == len(one.graph.op) == nodes, "layer graph")
    _need(one.graph.edges.ndim == 2 and one.graph.edges.shape[1] == 2, "layer graph")
    _within(one.graph.edges, 0, nodes, "layer graph")
    for rule in one.constraints:
        _need(all(-1 <= a < axes for a in rule.axes) and all(0 <= n < sets for n in rule.sets), "constraints")
    for bundle in one.bundles:
        _need(len(bundle.sets) == len(bundle.sizes) > 0 and min(bundle.sizes) > 0, "bundles")
        _need(all(0 <= n < sets for n in bundle.sets), "bundles")


def _starts(array: Array, what: str) -> int:
    """Length of an array of beginnings; raises ValueError where it is none."""
    _need(array.ndim == 1 and len(array) > 0 and array[0] == 0 and not (np.diff(array) < 0).any(), what)
    return len(array)


def _within(array: Array, low: int, end: int, what: str) -> None:
    _need(not array.size or (int(array.min()) >= low and int(array.max()) < end), what)


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"the {what} do not match the rest")

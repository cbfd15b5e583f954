"""Writes the graph of the file that a model came from (ONNX, a program) with the tensors and sizes of the cut model.

Everything else in the graph stays as it was. Weights are replaced under their names. A number that the cut model's
operators are given in place of the file's (a size in a shape, groups, a scale) is written where the file holds it: in
the constant itself if nothing else reads that, or in front of the node that needs another one.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.inliner import inline_local_functions

from ..errors import ExportError
from ..inference.model_inputs import Inputs, at_batch, call, read
from ..jobs import Job, Progress
from ..runtime import load_pruned
from ..runtime.onnx_module import OnnxModule, Step
from ..sources.exported_folder import read_shapes, recorded_source
from ..sources.onnx_file import read_model
from ..sources.open import unpack
from ..sources.program_file import ProgramFile, read_graph
from ..tracing.tree import as_tensors
from .torch_exporters import LARGEST_ONNX, output_paths, too_large

BATCHES = (2, 3)
"""Batch sizes at which a file with a free one is run: what differs between them follows the batch."""
NO_RATIO = Fraction(0)


class GraphNotKept(ValueError):
    """A number of the cut model has no place in the file's graph."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number that a node must be given.

    Attributes:
        step: The node.
        place: Which of its inputs holds it, or the attribute's name.
        entry: Position in that input, or in the attribute if it is a list.
        value: The number; None where it follows the batch.
        ratio: What to multiply the file's own number with, where it follows the batch.
    """

    step: Step
    place: int | str
    entry: int
    value: int | float | None
    ratio: Fraction = NO_RATIO


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Write the graph of the file that the parcel `job["parcel"]` came from, cut, to `job["path"]`."""
    yield Progress("Rebuilding the model", 0, 4)
    model, parcel = unpack(job["parcel"]), Path(job["parcel"])
    assert isinstance(model, OnnxModule)
    source = recorded_source(read_shapes(str(parcel)), parcel).source
    read_proto = read_graph if ProgramFile().matches(source) else read_model
    yield Progress("Writing the graph of the file", 1, 4)
    inputs = as_tensors(read(job["inputs"]))
    try:
        proto = cut_graph(read_proto(Path(source)), model, inputs)
    except GraphNotKept as error:
        template = "The graph of {source} has no place for {what}."
        raise ExportError("export.graph", template, source=source, what=str(error)) from error
    if proto.ByteSize() > LARGEST_ONNX:
        raise too_large()
    own = {one.key: one.value for one in proto.metadata_props}
    onnx.helper.set_model_props(proto, own | job["properties"] | {"outputs": json.dumps(output_paths(model, inputs))})
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        template = "The graph of {source} cannot be written as a valid file: {what}"
        raise ExportError("export.graph_invalid", template, source=source, what=str(error)) from error
    Path(job["path"]).write_bytes(proto.SerializeToString())
    return {}


def cut_graph(proto: onnx.ModelProto, model: OnnxModule, inputs: Inputs) -> onnx.ModelProto:
    """The graph of `proto` as the cut model computes.

    Args:
        proto: The file that the model was opened from, its data loaded; left as it is.
        model: Cut, on the CPU.
        inputs: Example inputs.

    Raises:
        GraphNotKept: The file's graph cannot say what the cut model computes.
    """
    fixed = model.graph.batch
    runs = [_run_noting(model, at_batch(inputs, batch)) for batch in ((fixed,) if fixed else BATCHES)]
    (first, values), (second, _) = runs[0], runs[-1]
    steps = {step.module: step for step in model.steps if step.module}
    # A number that differs between two batch sizes follows the batch: then its ratio to the file's number counts.
    numbers = list[Number]()
    for key, (new, given) in first.items():
        again, before = second.get(key, (new, given))
        if (new, again) == (given, before):
            continue
        path, function, call_number, where = key
        step = steps[path]
        place, entry = _place(step, function, call_number, where, values)
        if new == again:
            numbers.append(Number(step, place, entry, new))
        else:
            ratio = Fraction(int(new), int(given))
            if not isinstance(place, int) or Fraction(int(again), int(before)) != ratio:
                raise GraphNotKept(f"{step.name}: a size that depends on the batch")
            numbers.append(Number(step, place, entry, None, ratio))
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    if result.functions:
        result = inline_local_functions(result)
    editor = _Editor(result, model, values)
    editor.put_weights()
    editor.put_numbers(numbers)
    editor.put_sizes()
    editor.renew_shapes()
    return result


Given = dict[tuple[str, str, int, str], tuple[int | float, int | float]]
"""By module, function, number of its call and place among the arguments: the new number, and the file's."""


def _run_noting(model: OnnxModule, inputs: Inputs) -> tuple[Given, dict[str, NDArray[Any]]]:
    """Run once and note the numbers that repairs replace, and all values of the arithmetic on shapes."""
    found: Given = {}
    counts = Counter[tuple[str, str]]()

    def note_change(mode: Any, site: str, number: int, changes: dict[str, Any], given: dict[str, Any]) -> None:
        """Note what `load_pruned.watch` reports of a call: its new numbers, and those that the file gives."""
        function = site.rpartition(" ")[2]
        counts[mode.path, function] += 1
        for where, value in changes.items():
            old = given.get(where)
            new: Any = value
            if isinstance(value, list | tuple) and old is not None:
                times, by = cast("tuple[int, int]", value)
                new = old * times // by
            if not isinstance(new, int | float):
                raise GraphNotKept(f"{mode.path}: a constant whose indices are chosen")
            if old is not None or where == "scale":
                key = mode.path, function, counts[mode.path, function] - 1, where
                found[key] = new, old if old is not None else -1.0

    values: dict[str, NDArray[Any]] = {}
    load_pruned.watch, model.noted = note_change, values
    try:
        with torch.no_grad():
            call(model, inputs)
    finally:
        load_pruned.watch, model.noted = None, None
    return found, values


def _place(  # noqa: PLR0911, PLR0912 - a table of operators, one after the other
    step: Step, function: str, number: int, where: str, values: dict[str, Any]
) -> tuple[int | str, int]:
    """Where the file holds a number that an operator gives to torch: the input or attribute, and the position in it."""
    parts = where.split(".")
    match step.operator, function:
        case (("Conv" | "ConvTranspose"), _) if parts == ["6"]:
            return "group", 0
        case (("Reshape" | "Expand"), ("reshape" | "expand")) if parts[0] == "1":
            return 1, int(parts[1])
        case "Split", "split" if parts[0] == "1":
            return (1 if len(step.inputs) > 1 and step.inputs[1] else "split"), int(parts[1]) if len(parts) > 1 else 0
        case "Slice", "__getitem__":
            dim, end = int(parts[1]), parts[2] == "stop"
            given = values.get(step.inputs[3]) if len(step.inputs) > 3 else step.attributes.get("axes")
            axes = None if given is None else [int(one) for one in np.asarray(given).reshape(-1)]
            if axes is not None and any(one < 0 for one in axes):
                raise GraphNotKept(f"{step.name}: a slice counted from the end")
            entry = dim if axes is None else axes.index(dim)
            return (2 if end else 1) if len(step.inputs) > 1 else ("ends" if end else "starts"), entry
        case "GroupNormalization", "group_norm":
            return "num_groups", 0
        case "ConstantOfShape", "full" if parts[0] == "0":
            return 0, int(parts[1])
        case "Range", "arange":
            return int(parts[0]), 0
        case "Attention", "reshape" if parts == ["1", "2"]:
            return ("q_num_heads" if number == 0 else "kv_num_heads"), 0
        case "Attention", "scaled_dot_product_attention":
            return "scale", 0
        case (("Add" | "Sub" | "Mul" | "Div" | "Pow"), _):
            place = next((n for n, name in enumerate(step.inputs) if name in values), None)
            if place is not None:
                return place, 0
        case _:
            pass
    raise GraphNotKept(f"{step.name}: a number of {step.operator} that its code computes")


@dataclass
class _Editor:
    """Changes a graph.

    Attributes:
        proto: Changed in place.
        model: The cut model.
        values: Values of the arithmetic on shapes.
    """

    proto: onnx.ModelProto
    model: OnnxModule
    values: dict[str, NDArray[Any]]
    _readers: dict[str, list[tuple[str, int]]] = field(default_factory=dict[str, list[tuple[str, int]]])

    def __post_init__(self) -> None:
        graph = self.proto.graph
        self._stored = {one.name: one for one in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        for step in self.model.steps:
            for place, name in enumerate(step.inputs):
                self._readers.setdefault(name, []).append((step.name, place))
        names = {step.outputs: step.name for step in self.model.steps}
        self._nodes = {names[tuple(node.output)]: node for node in graph.node if tuple(node.output) in names}

    def put_weights(self) -> None:
        """Write the values of each weight and buffer that was cut or trained, in the type that the file has."""
        for name, path in self.model.names.items():
            self._replace_constant(name, self._tensor(path).detach().cpu().numpy())

    def _tensor(self, path: str) -> torch.Tensor:
        """A weight or buffer of the cut model."""
        owner, _, leaf = path.rpartition(".")
        return getattr(self.model.get_submodule(owner), leaf)

    def _replace_constant(self, name: str, value: NDArray[Any]) -> None:
        """Replace a constant by another one, wherever the file holds it."""
        maker = self._makers.get(name)
        if name in self._stored:
            stored = self._stored[name]
            before = numpy_helper.to_array(stored)
            if not _same(before, value):
                text = stored.doc_string
                stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value.astype(before.dtype)), stored.name))
                stored.doc_string = text
                # Old files list initialisers among the inputs, with a shape there too.
                for one in self.proto.graph.input:
                    if one.name == name:
                        for dim, size in zip(one.type.tensor_type.shape.dim, value.shape, strict=False):
                            dim.dim_value = size
        elif maker is not None and maker.op_type == "Constant":
            before = self._constant(maker)
            if not _same(before, value):
                kept = helper.make_attribute("value", numpy_helper.from_array(value.astype(before.dtype), name))
                del maker.attribute[:]
                maker.attribute.append(kept)
        elif maker is not None:  # ConstantOfShape
            shape = numpy_helper.to_array(self._stored[maker.input[0]])
            fill = numpy_helper.to_array(maker.attribute[0].t).reshape(-1)[0] if maker.attribute else np.float32(0)
            if tuple(shape) == value.shape and bool((value == fill).all()):
                return
            if bool((value == fill).all()):
                maker.input[0] = self._add(f"{name}_shape", np.array(value.shape, np.int64))
                return
            self.proto.graph.node.remove(maker)
            del self._makers[name]
            self._add(name, value.astype(np.asarray(fill).dtype))

    @staticmethod
    def _constant(node: onnx.NodeProto) -> NDArray[Any]:
        value = helper.get_attribute_value(node.attribute[0])
        if isinstance(value, onnx.TensorProto):
            return numpy_helper.to_array(value)
        whole = node.attribute[0].name.startswith("value_int")
        return np.array(value, np.int64 if whole else np.float32)

    def _add(self, name: str, value: NDArray[Any]) -> str:
        """A further initialiser; returns its name."""
        while name in self._stored or name in self._makers:
            name += "_"
        tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
        self.proto.graph.initializer.append(tensor)
        self._stored[name] = self.proto.graph.initializer[-1]
        if self.proto.ir_version < 4:  # each one must be an input too
            self.proto.graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, value.shape))
        return name

    def put_numbers(self, numbers: list[Number]) -> None:
        """Write numbers where the file holds them."""
        inputs: dict[tuple[str, int], list[Number]] = {}
        for one in numbers:
            if not isinstance(one.place, str):
                inputs.setdefault((one.step.name, one.place), []).append(one)
                continue
            node, lists = self._nodes[one.step.name], (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS)
            found = next((attribute for attribute in node.attribute if attribute.name == one.place), None)
            if found is not None and found.type in lists:
                entries: Any = found.ints if found.type == onnx.AttributeProto.INTS else found.floats
                entries[one.entry] = one.value
                continue
            if found is not None:
                node.attribute.remove(found)
            node.attribute.append(helper.make_attribute(one.place, one.value))
        wanted: dict[str, list[tuple[tuple[str, int], NDArray[Any]]]] = {}
        for key, each in inputs.items():
            name = each[0].step.inputs[key[1]]
            source = self._source(name)
            if source is not None and all(one.value is not None for one in each):
                value = source.copy().reshape(-1) if source.ndim else source.copy().reshape(1)
                for one in each:
                    value[one.entry] = one.value
                wanted.setdefault(name, []).append((key, value.reshape(source.shape)))
            else:
                self._compute(key, each)
        for name, uses in wanted.items():
            alike = all(np.array_equal(uses[0][1], value) for _, value in uses)
            if alike and len(uses) == len(self._readers.get(name, ())):
                self._replace_constant(name, uses[0][1])
                continue
            for (step, place), value in uses:  # a copy for each that needs another number
                self._nodes[step].input[place] = self._add(f"{name}_{step}", value)

    def _source(self, name: str) -> NDArray[Any] | None:
        """The value of an input that is a constant of the file; None where it is computed."""
        if name in self._stored:
            return numpy_helper.to_array(self._stored[name])
        maker = self._makers.get(name)
        return self._constant(maker) if maker is not None and maker.op_type == "Constant" else None

    def _compute(self, key: tuple[str, int], each: list[Number]) -> None:
        """Change a computed shape: the constants in it that nothing else reads, or else by nodes behind it."""
        step, place = key
        node = self._nodes[step]
        name = node.input[place]
        left = [one for one in each if one.value is None or not self._set_leaf(name, one.entry, one.value)]
        if not left:
            return
        value = self.values[name].reshape(-1)
        floating = any(isinstance(one, float) for one in value)
        dtype = np.dtype(np.float32 if floating else np.int64)
        nodes = list[onnx.NodeProto]()
        scaled = [one for one in left if one.value is None]
        for operator, part in (("Mul", "numerator"), ("Div", "denominator")) if scaled else ():
            factors = np.ones(len(value), dtype)
            for one in scaled:
                factors[one.entry] = getattr(one.ratio, part)
            made = f"{name}_{step}_{operator}"
            nodes.append(helper.make_node(operator, [name, self._add(f"{made}_by", factors)], [made], name=made))
            name = made
        if constant := [one for one in left if one.value is not None]:
            chosen, new = np.zeros(len(value), bool), np.zeros(len(value), dtype)
            for one in constant:
                chosen[one.entry], new[one.entry] = True, one.value or 0
            shape = self.values[node.input[place]].shape
            made = f"{name}_{step}_cut"
            given = [
                self._add(f"{made}_{what}", array.reshape(shape)) for what, array in (("where", chosen), ("to", new))
            ]
            nodes.append(helper.make_node("Where", [given[0], given[1], name], [made], name=made))
            name = made
        node.input[place] = name
        at = next(n for n, one in enumerate(self.proto.graph.node) if one is node or one == node)
        for one in reversed(nodes):
            self.proto.graph.node.insert(at, one)

    def _set_leaf(self, name: str, entry: int, value: float) -> bool:
        """Change the constant that one entry of a computed shape comes from, if only this shape reads it."""
        if len(self._readers.get(name, ())) > 1:
            return False
        source = self._source(name)
        if source is not None:
            new = source.copy().reshape(-1)
            new[entry] = value
            self._replace_constant(name, new.reshape(source.shape))
            return True
        maker = self._makers.get(name)
        if maker is None:
            return False
        if maker.op_type in ("Unsqueeze", "Squeeze", "Identity", "Cast", "Reshape"):
            return self._set_leaf(maker.input[0], entry, value)
        if maker.op_type == "Concat":
            for part in maker.input:
                size = self.values[part].size
                if entry < size:
                    return self._set_leaf(part, entry, value)
                entry -= size
        return False

    def put_sizes(self) -> None:
        """Sizes of weights that nodes write down as attributes."""
        for node in self._nodes.values():
            for attribute in node.attribute:
                if attribute.name == "hidden_size" and node.op_type in ("LSTM", "GRU", "RNN"):
                    attribute.i = self._tensor(self.model.names[node.input[2]]).shape[-1]

    def renew_shapes(self) -> None:
        """Shapes that the file notes of values between nodes, as they are now."""
        graph = self.proto.graph
        noted = [one.name for one in graph.value_info]
        del graph.value_info[:]
        if noted and self.proto.ByteSize() < onnx.checker.MAXIMUM_PROTOBUF:
            inferred = onnx.shape_inference.infer_shapes(self.proto).graph.value_info
            known = {one.name: one for one in inferred}
            graph.value_info.extend(known[name] for name in noted if name in known)


def _same(before: NDArray[Any], value: NDArray[Any]) -> bool:
    return before.shape == value.shape and np.array_equal(
        before.astype(value.dtype), value, equal_nan=value.dtype.kind == "f"
    )

"""An ONNX file as a torch module that runs the graph node by node: needs torch, numpy and onnx only.

    model = OnnxModule(read_graph("model.onnx"))

Weights are parameters under the file's names. Each node that computes with tensors is a submodule; arithmetic on shapes
runs in Python, so that batch and sizes stay free. This one file may be copied anywhere, as `load_pruned.py` may.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, reduce
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.inliner import inline_local_functions
from torch import Tensor, nn
from torch.nn import functional as F

Sizes: TypeAlias = NDArray[Any]
"""Whole numbers, truth values or a number to compute with, as an array of Python objects: a size may be symbolic."""
Value: TypeAlias = Any
"""A tensor, `Sizes`, or None for an input that is left out."""

OLDEST = 9
"""The first opset that is read."""
SMALL = 64
"""Elements of a constant that counts as sizes."""
MOST_MADE = 2**31
"""Bytes of constants that a file may have made instead of holding them: what one file could hold."""
DOMAINS = ("", "ai.onnx")
CONTROL = ("If", "Loop", "Scan", "SequenceMap")
QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger")


class UnsupportedGraph(ValueError):
    """A graph that cannot be run as a module.

    Attributes:
        kind: "operator", "control", "quantised", "opset", "form", "made", "custom" or "data".
        what: Operators, an opset, or what is the matter.
        node: The node, "" for none in particular.
    """

    def __init__(self, kind: str, what: str, node: str = "") -> None:
        """Take what cannot be run."""
        super().__init__(f"{what} ({node})" if node else what)
        self.kind, self.what, self.node = kind, what, node


@dataclass(frozen=True, slots=True)
class Step:
    """A node of the graph.

    Attributes:
        operator: Its type ("Conv").
        name: Its name in the file; made from its type and number where it has none.
        inputs: Names of values, "" where one is left out.
        outputs: The same.
        attributes: Plain numbers, strings and lists.
        module: Path of the module that runs it; "" for arithmetic on shapes.
        last: Values that no step reads after it.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    module: str = ""
    last: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphInput:
    """An input of a graph.

    Attributes:
        name: In the file.
        dtype: "float32", "int64" ...
        dims: A size, or the name of one that is free ("" where it has none).
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """What an ONNX file says.

    Attributes:
        steps: Nodes in order.
        inputs: Inputs that are no weights.
        outputs: Names of values.
        weights: Tensors that are trained.
        buffers: Tensors that are not: statistics, tables of numbers, integers.
        sizes: Constants that are sizes or a single number.
        opset: Of the standard operators.
        batch: The only batch size that the file takes, 0 where it is free.
        entries: Of such a file: which entry of a shape has the batch as a factor, by node; found by a run.
    """

    steps: tuple[Step, ...]
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    weights: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    sizes: Mapping[str, Sizes]
    opset: int
    batch: int
    entries: dict[str, int] = field(default_factory=dict[str, int])


def read_graph(path: str | Path) -> Graph:
    """Read a file that is trusted to be what it says; see `graph_of`."""
    return graph_of(onnx.load(str(path)))


def graph_of(proto: onnx.ModelProto) -> Graph:
    """The graph of a file that is loaded, external data too.

    Raises:
        UnsupportedGraph: It has what cannot be run, by name.
    """
    if proto.functions:
        proto = inline_local_functions(proto)
    opset = next((one.version for one in proto.opset_import if one.domain in DOMAINS), 0)
    nodes = list(proto.graph.node)
    _refuse_unknown(nodes, opset)
    constants = {one.name: numpy_helper.to_array(one) for one in proto.graph.initializer}
    named = set(constants)
    made = 0
    computed = list[onnx.NodeProto]()  # all nodes but those that make constants
    for node in nodes:
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant_value(node)
        elif node.op_type == "ConstantOfShape" and node.input[0] in constants:
            shape = [int(one) for one in constants[node.input[0]]]
            fill = numpy_helper.to_array(node.attribute[0].t) if node.attribute else np.zeros(1, np.float32)
            made += math.prod(shape) * fill.dtype.itemsize
            if made > MOST_MADE:
                raise UnsupportedGraph("made", "ConstantOfShape", node.name)
            constants[node.output[0]] = np.full(shape, fill.reshape(())[()])
        else:
            computed.append(node)
    weights, buffers, sizes = _sort_constants(constants, named, computed)
    inputs = list[GraphInput]()
    for one in proto.graph.input:
        if one.name not in named:
            if not one.type.HasField("tensor_type"):
                raise UnsupportedGraph("form", f"the input {one.name}, which is no tensor")
            kind = one.type.tensor_type
            dims = (d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else d.dim_param for d in kind.shape.dim)
            if kind.elem_type not in DTYPES:
                given = TensorProto.DataType.Name(kind.elem_type)
                raise UnsupportedGraph("form", f"the input {one.name} of type {given}")
            dtype = str(DTYPES[kind.elem_type]).removeprefix("torch.")
            inputs.append(GraphInput(one.name, dtype, tuple(dims)))
    steps = _steps(computed, opset, sizes)
    first = inputs[0].dims[0] if inputs and inputs[0].dims else 0
    outputs = tuple(one.name for one in proto.graph.output)
    return Graph(steps, tuple(inputs), outputs, weights, buffers, sizes, opset, first if isinstance(first, int) else 0)


def _refuse_unknown(nodes: Sequence[onnx.NodeProto], opset: int) -> None:
    for kind, names in (("control", CONTROL), ("quantised", QUANTISED)):
        found = next((n for n in nodes if n.op_type in names or (kind == "quantised" and "QLinear" in n.op_type)), None)
        if found is not None:
            raise UnsupportedGraph(kind, found.op_type, found.name)
    custom = sorted({f"{one.domain}.{one.op_type}" for one in nodes if one.domain not in DOMAINS})
    if custom:
        raise UnsupportedGraph("custom", ", ".join(custom))
    if opset < OLDEST:
        raise UnsupportedGraph("opset", str(opset))
    known = {*OPERATORS, *SHAPE_OPERATORS, "Constant", "Shape", "Size"}
    unknown = sorted({one.op_type for one in nodes} - known)
    if unknown:
        raise UnsupportedGraph("operator", ", ".join(unknown))


def _constant_value(node: onnx.NodeProto) -> NDArray[Any]:
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return numpy_helper.to_array(value)
    if attribute.name in ("value_float", "value_floats"):
        return np.array(value, np.float32)
    if attribute.name in ("value_int", "value_ints"):
        return np.array(value, np.int64)
    raise UnsupportedGraph("form", f"Constant {attribute.name}", node.name)


WEIGHTED: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Conv", "ConvTranspose"), (1, 2)),
    "BatchNormalization": (1, 2),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization", "LayerNormalization"), (1, 2)),
    "RMSNormalization": (1,),
    "PRelu": (1,),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), (1, 2, 3)),
}
"""Inputs that are weights, however small."""
BIAS = 2
"""The input of a normalisation that is its bias; statistics come behind it."""
ADDED = ("Add", "Sub", "Mul", "Div", "Sum", "Concat", "Expand", "Where", "Einsum", "Gather", "Identity", "Transpose",
         "Reshape", "Unsqueeze", "Squeeze", "Slice", "Cast", "Pad", "Tile")  # fmt: skip
"""Operators that may read weights: biases, scales, tokens, tables of embeddings and positions."""


def _sort_constants(
    constants: Mapping[str, NDArray[Any]], named: set[str], nodes: Sequence[onnx.NodeProto]
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Sizes]]:
    """Weights, buffers and sizes; what no node reads is left out."""
    readers: dict[str, list[tuple[str, int]]] = {}
    for node in nodes:
        for place, name in enumerate(node.input):
            readers.setdefault(name, []).append((node.op_type, place))
    weights, buffers, sizes = dict[str, Tensor](), dict[str, Tensor](), dict[str, Sizes]()
    for name, value in constants.items():
        slots = readers.get(name, [])
        weighted = any(place in WEIGHTED.get(operator, ()) for operator, place in slots)
        floating = _is_floating(value)
        if not slots:
            continue
        if value.dtype.kind in "OUS":
            raise UnsupportedGraph("form", f"a constant of strings, {name}")
        if not weighted and (value.size == 1 if floating else value.size <= SMALL and value.ndim <= 1):
            sizes[name] = _as_sizes(value)
            continue
        tensor = torch.from_numpy(np.ascontiguousarray(value.astype(np.float32) if floating else value).copy())
        tensor = tensor.reshape(value.shape)
        table = name not in named and sum(size > 1 for size in value.shape) > 1  # numbers that the code wrote down
        added = any(operator in ADDED for operator, _ in slots) and not table
        statistics = any(operator == "BatchNormalization" and place > BIAS for operator, place in slots)
        trained = floating and (weighted or added) and not statistics and bool(tensor.isfinite().all())
        (weights if trained else buffers)[name] = tensor
    return weights, buffers, sizes


def _is_floating(value: NDArray[Any]) -> bool:
    return value.dtype.kind == "f" or "float" in value.dtype.name


def _as_sizes(value: NDArray[Any]) -> Sizes:
    kind = float if _is_floating(value) else bool if value.dtype.kind == "b" else int
    found = np.empty(value.shape, dtype=object)
    for index in np.ndindex(value.shape):
        found[index] = kind(value[index])
    return found


DTYPES: dict[int, torch.dtype] = {
    **dict.fromkeys((TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE), torch.float32),
    TensorProto.INT64: torch.int64,
    TensorProto.INT32: torch.int32,
    TensorProto.INT16: torch.int16,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT8: torch.uint8,
    TensorProto.BOOL: torch.bool,
}
"""Types of tensors; all floating ones compute in float32."""


def _steps(nodes: Sequence[onnx.NodeProto], opset: int, sizes: Mapping[str, Sizes]) -> tuple[Step, ...]:
    """The nodes as steps. Which of them compute with shapes alone follows from what they read."""
    known, counted, ranks = set(sizes), Counter[str](), set[str]()
    found, taken = list[Step](), set[str]()
    for node in nodes:
        attributes = {one.name: _plain_value(helper.get_attribute_value(one)) for one in node.attribute}
        given = [name for name in node.input if name]
        counted[node.op_type] += 1
        name = node.name or f"{node.op_type}_{counted[node.op_type]}"
        while name in taken:
            name += "_"
        taken.add(name)
        shaped = node.op_type in ("Shape", "Size")
        of_sizes = node.op_type in SHAPE_OPERATORS and bool(given) and known.issuperset(given)
        if node.op_type == "ConstantOfShape" and node.input[0] not in ranks:
            of_sizes = False  # as many numbers as a size says
        if shaped and node.input[0] in known:
            ranks.update(node.output)
        if shaped or of_sizes:
            known.update(node.output)
        module = "" if shaped or of_sizes else name
        attributes["opset"] = opset
        found.append(Step(node.op_type, name, tuple(node.input), tuple(node.output), attributes, module))
    return tuple(found)


def _plain_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return list(cast("Iterable[Any]", value)) if isinstance(value, Sequence) and not isinstance(value, str) else value


def is_sizes(value: Value) -> TypeGuard[Sizes]:
    """Whether a value is `Sizes`, and no tensor."""
    return isinstance(value, np.ndarray)


class Operator(nn.Module):
    """Runs one node; a class of its own for each type, so that a node is called what it is."""

    def __init__(self, operator: str, attributes: Mapping[str, Any], outputs: int) -> None:
        """Take what the node says."""
        super().__init__()
        self.operator = operator
        self.attributes: dict[str, Any] = {**attributes, "outputs": str(outputs)}

    def forward(self, *inputs: Value) -> Any:
        """Take the node's inputs, in order; returns its output, or a tuple of several."""
        return OPERATORS[self.operator](self, *inputs)

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def ints(self, name: str, value: Value) -> list[Any] | None:
        """Whole numbers that are an attribute in old opsets and an input in new ones."""
        if value is None:
            return self.get(name)
        return list(value.reshape(-1)) if is_sizes(value) else value.tolist()

    def extra_repr(self) -> str:
        """The node's attributes."""
        return ", ".join(f"{n}={v}" for n, v in self.attributes.items() if n not in ("opset", "outputs"))


@cache
def _class_of(operator: str) -> type[Operator]:
    return type(operator, (Operator,), {"__module__": __name__})


class Weights(nn.Module):
    """Holds weights whose names in the file begin alike."""


class OnnxModule(nn.Module):
    """A graph as a module: takes its inputs by position or name, returns its output, or several by name."""

    def __init__(self, graph: Graph) -> None:
        """Build it with the weights of the file."""
        super().__init__()
        self.names = _module_paths(graph)
        for kept, held in ((True, graph.weights), (False, graph.buffers)):
            for name, tensor in held.items():
                *above, leaf = self.names[name].split(".")
                owner: nn.Module = self
                for part in above:
                    if part not in dict(owner.named_children()):
                        owner.add_module(part, Weights())
                    owner = owner.get_submodule(part)
                if kept:
                    owner.register_parameter(leaf, nn.Parameter(tensor.clone()))
                else:
                    owner.register_buffer(leaf, tensor.clone())
        self.graph = replace(graph, weights={}, buffers={})  # those in the module are the ones that count
        read, steps = {*graph.outputs, *graph.sizes}, list[Step]()
        for step in reversed(_place_modules(graph, self)):
            last = dict.fromkeys(n for n in (*step.inputs, *step.outputs) if n and n not in read)
            read.update(step.inputs, step.outputs)
            steps.append(replace(step, last=tuple(last)))
        self.steps = tuple(reversed(steps))
        self.noted: dict[str, Sizes] | None = None  # where sizes are noted, if a caller asks for them
        if not graph.batch or graph.entries:
            return
        # Where shapes follow the batch shows in a run at the graph's own batch and one at another.
        seen: dict[str, tuple[int, ...]] = {}
        self.eval()  # statistics stay as they are
        try:
            with torch.no_grad():
                for batch in (graph.batch, 3 * graph.batch):
                    given = {
                        one.name: torch.zeros(example_shape(one, batch), dtype=getattr(torch, one.dtype))
                        for one in graph.inputs
                    }
                    self._run(given, seen)
        except Exception:  # it does not run so: whoever opens it meets the error, and reports it
            graph.entries.clear()
        self.train()

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        """Run the graph."""
        known = {as_identifier(one.name): one.name for one in self.graph.inputs}
        given = dict(zip(known.values(), inputs, strict=False)) | {known.get(n, n): one for n, one in named.items()}
        missing = [one.name for one in self.graph.inputs if one.name not in given]
        if missing:
            raise TypeError(f"the inputs {', '.join(missing)} are missing")
        found = self._run(given)
        return next(iter(found.values())) if len(found) == 1 else {as_identifier(n): one for n, one in found.items()}

    def _run(self, given: Mapping[str, Tensor], seen: dict[str, tuple[int, ...]] | None = None) -> dict[str, Tensor]:
        """Run the nodes; returns the graph's outputs. `seen` gets the shapes that nodes read, or has them already."""
        values: dict[str, Value] = {**self.graph.sizes, **given, "": None}
        fixed = self.graph.batch
        batch = next(iter(given.values())).shape[0] if fixed else 0
        for step in self.steps:
            read = [values[name] if name in values else self._tensor(name) for name in step.inputs]
            if step.module:
                module = self.get_submodule(step.module)
                if batch != fixed:
                    read = _at_batch(step, read, batch, self.graph, seen)
                elif seen is not None and isinstance(read[0], Tensor):
                    seen[step.name] = tuple(read[0].shape)
                    if len(read) > 1 and is_sizes(read[1]):
                        seen[f"{step.name}:shape"] = tuple(read[1].reshape(-1))
                found = module(*read)
            else:
                found = _shape_value(step, read)
            if self.noted is not None:
                self.noted.update((n, one) for n, one in zip(step.inputs, read, strict=True) if is_sizes(one))
            if len(step.outputs) == 1:
                values[step.outputs[0]] = found[0] if isinstance(found, tuple) else found
            else:
                values.update(zip(step.outputs, found, strict=False))
            values[""] = None
            for name in step.last:
                values.pop(name, None)
        return {name: _tensor_of(values[name] if name in values else self._tensor(name)) for name in self.graph.outputs}

    def _tensor(self, name: str) -> Tensor:
        """A weight or buffer, as it is now."""
        owner, _, leaf = self.names[name].rpartition(".")
        return getattr(self.get_submodule(owner), leaf)


def as_identifier(name: str) -> str:
    """A name as an argument or a key: what else is in it becomes an underscore."""
    return re.sub(r"\W|^(?=\d)", "_", name)


def _module_paths(graph: Graph) -> dict[str, str]:
    """The path of each weight and buffer in the module: its name, but for what no module can hold."""
    found, above = dict[str, str](), set[str]()
    names = [*graph.weights, *graph.buffers]
    prefixes = {".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 1)}
    for name in names:
        parts = [part or "_" for part in name.split(".")]
        parts = [f"{part}_" if part in RESERVED else part for part in parts]
        path = ".".join(parts)
        while path in above or path in prefixes:
            path += "_"
        above.add(path)
        found[name] = path
    return found


RESERVED = frozenset((*dir(nn.Module()), "operator", "attributes", "get", "ints", *OnnxModule.__dict__,
                      "names", "graph", "steps", "noted"))  # fmt: skip
"""Names that a module has already for something else."""


def _place_modules(graph: Graph, model: OnnxModule) -> list[Step]:
    """Put a module for each node into the model: where its weights are, if they are its own, or under its name."""
    users = Counter(model.names[n] for step in graph.steps for n in dict.fromkeys(step.inputs) if n in model.names)
    held = Counter(path.rpartition(".")[0] for path in model.names.values())
    taken = {path.partition(".")[0] for path in model.names.values()}
    found = list[Step]()
    for step in graph.steps:
        if not step.module:
            found.append(step)
            continue
        module = _class_of(step.operator)(step.operator, step.attributes, len(step.outputs))
        own = [model.names[name] for name in dict.fromkeys(step.inputs) if name in model.names]
        homes = {path.rpartition(".")[0] for path in own}
        home = homes.pop() if len(homes) == 1 else ""
        container = model.get_submodule(home) if home else model
        alone = all(users[path] == 1 for path in own) and held[home] == len(own)
        if home and alone and type(container) is Weights and not list(container.children()):
            above, _, leaf = home.rpartition(".")
            for name, weight in container.named_parameters(recurse=False):
                module.register_parameter(name, weight)
            for name, buffer in container.named_buffers(recurse=False):
                module.register_buffer(name, buffer)
            setattr(model.get_submodule(above), leaf, module)
            path = home
        else:
            path = step.name.strip("/").replace(".", "_") or "_"
            while path in RESERVED or path in taken:
                path += "_"
            model.add_module(path, module)
            taken.add(path)
        found.append(replace(step, module=path))
    return found


def _at_batch(
    step: Step, read: list[Value], batch: int, graph: Graph, seen: dict[str, tuple[int, ...]] | None
) -> list[Value]:
    """What a node of a graph for one batch size reads, as it is for another batch: shapes in it follow.

    Args:
        step: The node.
        read: What it reads.
        batch: The batch that the graph gets.
        graph: Knows which entry of a shape the batch is a factor of, once that was found.
        seen: Shapes of what nodes read at the graph's own batch: by these the entry is found.
    """
    first, fixed = read[0], graph.batch
    if step.operator in ("Reshape", "Expand") and is_sizes(read[1]) and isinstance(first, Tensor):
        shape = read[1].copy()
        if seen is not None:
            old, given = seen[step.name], seen[f"{step.name}:shape"]
            written = given == tuple(shape)  # a shape that is computed follows by itself
            found = _batch_entry(step, old, tuple(first.shape), shape.tolist(), fixed) if written else -1
            graph.entries[step.name] = found
        entry = graph.entries.get(step.name, -1)
        if entry >= 0 and shape[entry] > 0:
            shape[entry] = shape[entry] * batch // fixed
        return [first, shape, *read[2:]]
    if step.operator in ("LSTM", "GRU", "RNN"):
        states = [
            one.expand(-1, batch, -1) if one is not None and one.shape[1] == fixed == 1 else one for one in read[5:7]
        ]
        return [*read[:5], *states, *read[7:]]
    if step.operator == "Concat" and step.attributes["axis"] and fixed == 1:
        most = max((len(one) for one in read if isinstance(one, Tensor) and one.ndim), default=1)
        return [
            one.expand(most, *[-1] * (one.ndim - 1)) if isinstance(one, Tensor) and one.ndim and len(one) == 1 else one
            for one in read
        ]
    return read


def _batch_entry(step: Step, old: tuple[int, ...], new: tuple[int, ...], shape: list[int], fixed: int) -> int:
    """The entry of a shape that has the batch as a factor, -1 for none.

    Args:
        step: A node that reshapes or expands.
        old: The shape of what it reads, at the graph's own batch.
        new: The same at another batch.
        shape: The shape that the file gives it.
        fixed: The graph's own batch.
    """
    if step.operator == "Expand":
        return 0 if shape and shape[0] == fixed and len(old) <= len(shape) else -1
    changed = [n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
    if len(changed) != 1:
        return -1
    axis, known = changed[0], math.prod(one for one in shape if one > 0)
    shape = [old[n] if one == 0 else math.prod(old) // max(known, 1) if one < 0 else one for n, one in enumerate(shape)]
    if fixed in shape:
        return shape.index(fixed)
    if len(shape) == len(old) and shape[:axis] == list(old[:axis]):
        return axis
    # Where no entry is the batch, it is a factor of the one that ends where it stood, or of the first.
    return next((n for n in range(len(shape)) if math.prod(shape[: n + 1]) == math.prod(old[:axis])), 0)


def example_shape(one: GraphInput, batch: int) -> tuple[int, ...]:
    """A shape for an input: the batch is first, images are [N, C, H, W], sequences [N, T, ...]."""
    return tuple(
        batch if n == 0 else size if isinstance(size, int) else _free_size(one, n) for n, size in enumerate(one.dims)
    )


IMAGE, TIME, OTHER = 224, 16, 8
"""What sizes are where the file leaves them free: height and width, steps of a sequence, any other."""


def _free_size(one: GraphInput, n: int) -> int:
    name = str(one.dims[n]).lower()
    if len(one.dims) >= 4:
        return 3 if n == 1 else IMAGE
    return TIME if n == 1 or any(part in name for part in ("seq", "time", "len", "token")) else OTHER


# Arithmetic on shapes: arrays of Python objects, elementwise as Python computes.


def _shape_value(step: Step, read: list[Value]) -> Any:
    first = read[0]
    if step.operator == "Shape":
        sizes = _objects(first.shape)
        return sizes[step.attributes.get("start", 0) : step.attributes.get("end", len(sizes))]
    if step.operator == "Size":
        return _objects(math.prod(first.shape))
    return SHAPE_OPERATORS[step.operator](step.attributes, *read)


def _objects(value: Any) -> Sizes:
    several = isinstance(value, (list, tuple))
    found: Sizes = np.empty(len(cast("Sequence[Any]", value)) if several else (), dtype=object)
    found[...] = list(cast("Sequence[Any]", value)) if several else value
    return found


def _one(function: Callable[[Any], Any]) -> Callable[..., Sizes]:
    """A function of a Python number, for each element."""
    return _elementwise(function, 1)


def _two(function: Callable[[Any, Any], Any]) -> Callable[..., Sizes]:
    return _elementwise(function, 2)


def _elementwise(function: Callable[..., Any], count: int) -> Callable[..., Sizes]:
    apply = np.frompyfunc(function, count, 1)

    def elementwise(_: Mapping[str, Any], *values: Sizes) -> Sizes:
        return np.asarray(apply(*values), dtype=object)

    return elementwise


def _fold(function: Callable[[Any, Any], Any]) -> Callable[..., Sizes]:
    pair = _two(function)

    def elementwise(attributes: Mapping[str, Any], *values: Sizes) -> Sizes:
        return reduce(lambda a, b: pair(attributes, a, b), values)

    return elementwise


def _divide(a: Any, b: Any) -> Any:
    return a / b if float in (type(a), type(b)) else a // b


def _axes(attributes: Mapping[str, Any], axes: Sizes | None) -> list[int] | None:
    return attributes.get("axes") if axes is None else [int(one) for one in axes.reshape(-1)]


SYMBOLIC: Any = torch
"""Where the functions of sizes that may be symbolic are."""


def _choose(condition: Any, yes: Any, no: Any) -> Any:
    return yes if condition else no


def _same_sizes(attributes: Mapping[str, Any], value: Sizes) -> Sizes:
    return value


def _concat_sizes(attributes: Mapping[str, Any], *values: Sizes) -> Sizes:
    return np.concatenate(values, axis=attributes["axis"])


def _cast_sizes(attributes: Mapping[str, Any], value: Sizes) -> Sizes:
    dtype = DTYPES.get(attributes["to"], torch.int64)
    to: Callable[[Any], Any] = (
        SYMBOLIC.sym_float if dtype.is_floating_point else bool if dtype is torch.bool else _to_whole
    )
    return _one(to)(attributes, value)


def _to_whole(value: Any) -> Any:
    return SYMBOLIC.sym_int(value) if isinstance(value, float | torch.SymFloat) else +value


def _gather_sizes(attributes: Mapping[str, Any], value: Sizes, index: Sizes) -> Sizes:
    return np.asarray(np.take(value, index.astype(np.int64), axis=attributes.get("axis", 0)), dtype=object)


def _slice_sizes(
    attributes: Mapping[str, Any],
    value: Sizes,
    starts: Any = None,
    ends: Any = None,
    axes: Any = None,
    steps: Any = None,
) -> Sizes:
    first = attributes["starts"] if starts is None else list(starts.reshape(-1))
    last = attributes["ends"] if ends is None else list(ends.reshape(-1))
    dims = _axes(attributes, axes) or list(range(len(first)))
    by = [1] * len(first) if steps is None else [int(one) for one in steps.reshape(-1)]
    taken = [slice(None)] * value.ndim
    for a, b, dim, step in zip(first, last, dims, by, strict=True):
        taken[dim] = slice(int(a), None if step < 0 and b < -value.shape[dim] else int(b), step)
    return value[tuple(taken)]


def _squeeze_sizes(attributes: Mapping[str, Any], value: Sizes, axes: Sizes | None = None) -> Sizes:
    dims = _axes(attributes, axes)
    return np.squeeze(value, axis=None if dims is None else tuple(dims))


def _unsqueeze_sizes(attributes: Mapping[str, Any], value: Sizes, axes: Sizes | None = None) -> Sizes:
    return np.expand_dims(value, tuple(_axes(attributes, axes) or ()))


def _reduce_sizes(function: Callable[[Any, Any], Any]) -> Callable[..., Sizes]:
    def reduced(attributes: Mapping[str, Any], value: Sizes, axes: Sizes | None = None) -> Sizes:
        found = reduce(function, list(value.reshape(-1)))
        return _objects([found] * 1).reshape([1] * value.ndim) if attributes.get("keepdims", 1) else _objects(found)

    return reduced


def _fill_sizes(attributes: Mapping[str, Any], shape: Sizes) -> Sizes:
    fill = np.asarray(attributes.get("value", np.zeros(1, np.float32))).reshape(())
    return _as_sizes(np.full([int(one) for one in shape], fill[()]))


def _reshape_sizes(attributes: Mapping[str, Any], value: Sizes, shape: Sizes) -> Sizes:
    return value.reshape([int(one) for one in shape])


def _split_sizes(attributes: Mapping[str, Any], value: Sizes, split: Sizes | None = None) -> tuple[Sizes, ...]:
    sizes = attributes.get("split") if split is None else [int(one) for one in split]
    parts = np.cumsum(sizes)[:-1] if sizes else attributes.get("num_outputs", len(value))
    return tuple(np.split(value, parts, axis=attributes.get("axis", 0)))


SHAPE_OPERATORS: dict[str, Callable[..., Any]] = {
    "Identity": _same_sizes,
    "Cast": _cast_sizes,
    "Gather": _gather_sizes,
    "Slice": _slice_sizes,
    "Concat": _concat_sizes,
    "Squeeze": _squeeze_sizes,
    "Unsqueeze": _unsqueeze_sizes,
    "Add": _two(lambda a, b: a + b),
    "Sub": _two(lambda a, b: a - b),
    "Mul": _two(lambda a, b: a * b),
    "Div": _two(_divide),
    "Mod": _two(lambda a, b: a % b),
    "Pow": _two(lambda a, b: a**b),
    "Neg": _one(lambda a: -a),
    "Abs": _one(abs),
    "Floor": _one(lambda a: math.floor(a) * 1.0),
    "Ceil": _one(lambda a: math.ceil(a) * 1.0),
    "Sqrt": _one(lambda a: a**0.5),
    "Reciprocal": _one(lambda a: 1.0 / a),
    "Min": _fold(SYMBOLIC.sym_min),
    "Max": _fold(SYMBOLIC.sym_max),
    "Equal": _two(lambda a, b: a == b),
    "Greater": _two(lambda a, b: a > b),
    "Less": _two(lambda a, b: a < b),
    "GreaterOrEqual": _two(lambda a, b: a >= b),
    "LessOrEqual": _two(lambda a, b: a <= b),
    "Not": _one(lambda a: not a),
    "And": _two(lambda a, b: bool(a) and bool(b)),
    "Or": _two(lambda a, b: bool(a) or bool(b)),
    "Where": _elementwise(_choose, 3),
    "ReduceProd": _reduce_sizes(lambda a, b: a * b),
    "ReduceSum": _reduce_sizes(lambda a, b: a + b),
    "ReduceMax": _reduce_sizes(SYMBOLIC.sym_max),
    "ReduceMin": _reduce_sizes(SYMBOLIC.sym_min),
    "ConstantOfShape": _fill_sizes,
    "Reshape": _reshape_sizes,
    "Split": _split_sizes,
}
"""What runs in Python where everything that it reads is a size."""


# Operators on tensors. Each takes the node's module and its inputs, and calls torch.
#
# A repair that replaces a number names the place by the functions that lead to the call, each with a checksum of its
# text (`load_pruned.call_site`). So sessions and exports of pruned ONNX models open only as long as the names and the
# text of these functions stay as they are, comments included. That holds for `Operator.forward`, `OnnxModule.forward`,
# `OnnxModule._run` and `_at_batch` too.


def _tensor_of(value: Value, like: Tensor | None = None) -> Tensor:
    """Sizes as a tensor; a tensor is itself."""
    if isinstance(value, Tensor):
        return value
    kinds: list[Any] = [type(one) for one in value.reshape(-1)]
    dtype = torch.bool if bool in kinds else torch.float32 if float in kinds else torch.int64
    if like is not None and like.is_floating_point() == dtype.is_floating_point:
        dtype = like.dtype
    if any(isinstance(one, torch.SymInt) for one in value.reshape(-1)):
        return torch.stack([torch.scalar_tensor(one, dtype=dtype) for one in value.reshape(-1)]).reshape(value.shape)
    return torch.tensor(value.tolist(), dtype=dtype, device=None if like is None else like.device)


def _operands(*values: Value) -> list[Any]:
    """What is computed elementwise: a single number as Python's own, if that leaves the result's shape alone."""
    ranks = [one.ndim for one in values if isinstance(one, Tensor)]
    like = next((one for one in values if isinstance(one, Tensor)), None)
    rank = max(ranks, default=0)
    return [
        one if isinstance(one, Tensor)
        else one.reshape(-1)[0] if one.size == 1 and one.ndim <= rank and ranks
        else _tensor_of(one, like)
        for one in values
    ]  # fmt: skip


def _own(function: Callable[[Operator, Tensor], Tensor]) -> Callable[..., Tensor]:
    """An operator with one input that looks at its attributes."""
    return function


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def run(node: Operator, x: Value) -> Tensor:
        return function(_tensor_of(x))

    return run


def _binary(function: Callable[[Any, Any], Tensor]) -> Callable[..., Tensor]:
    def run(node: Operator, *values: Value) -> Tensor:
        a, b = _operands(*values)
        return function(a, b)

    return run


def _many(function: Callable[[Any, Any], Tensor]) -> Callable[..., Tensor]:
    def run(node: Operator, *values: Value) -> Tensor:
        return reduce(function, map(_tensor_of, values))

    return run


def _add(a: Any, b: Any) -> Tensor:
    return a + b


def _sub(a: Any, b: Any) -> Tensor:
    return a - b


def _mul(a: Any, b: Any) -> Tensor:
    return a * b


def _div(a: Any, b: Any) -> Tensor:
    floating = any(isinstance(one, float) or (isinstance(one, Tensor) and one.is_floating_point()) for one in (a, b))
    return a / b if floating else torch.div(a, b, rounding_mode="trunc")


def _power(node: Operator, a: Value, b: Value) -> Tensor:
    base, exponent = _operands(a, b)
    found = base**exponent
    return found.to(base.dtype) if isinstance(base, Tensor) else found


def _mod(node: Operator, a: Value, b: Value) -> Tensor:
    first, second = _operands(a, b)
    return torch.fmod(first, second) if node.get("fmod", 0) else torch.remainder(first, second)


def _clip(node: Operator, x: Tensor, least: Value = None, most: Value = None) -> Tensor:
    least = node.get("min") if least is None else _operands(x, least)[1]
    most = node.get("max") if most is None else _operands(x, most)[1]
    if isinstance(least, Tensor) or isinstance(most, Tensor):
        x = x if least is None else torch.maximum(x, torch.as_tensor(least))
        return x if most is None else torch.minimum(x, torch.as_tensor(most))
    return x if least is None and most is None else x.clamp(least, most)


def _softmax(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(node: Operator, x: Tensor) -> Tensor:
        """Over one axis; before opset 13 over all from that one on."""
        if node.get("opset") >= 13:
            return function(x, dim=node.get("axis", -1))
        axis = node.get("axis", 1)
        if axis in (-1, x.ndim - 1):
            return function(x, dim=-1)
        if all(size == 1 for size in x.shape[axis + 1 :]):
            return function(x, dim=axis)
        return function(x.flatten(axis), dim=-1).reshape(x.shape)

    return run


def _where(node: Operator, condition: Value, a: Value, b: Value) -> Tensor:
    yes, no = _operands(a, b)
    if not isinstance(yes, Tensor) and not isinstance(no, Tensor):
        yes = torch.tensor(yes)
    return torch.where(_tensor_of(condition).bool(), yes, no)


def _hard_sigmoid(node: Operator, x: Tensor) -> Tensor:
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return F.hardsigmoid(x)
    return (x * alpha + beta).clamp(0.0, 1.0)


def _selu(node: Operator, x: Tensor) -> Tensor:
    alpha, gamma = node.get("alpha", SELU[0]), node.get("gamma", SELU[1])
    if (alpha, gamma) == SELU:
        return F.selu(x)
    return gamma * torch.where(x > 0, x, alpha * (x.exp() - 1))


SELU = 1.67326319217681884765625, 1.05070102214813232421875
"""Alpha and gamma by default."""


def _is_infinite(node: Operator, x: Tensor) -> Tensor:
    found = torch.isinf(x)
    found = found if node.get("detect_positive", 1) else found & (x < 0)
    return found if node.get("detect_negative", 1) else found & (x > 0)


def _mean(node: Operator, *values: Tensor) -> Tensor:
    return reduce(_add, values) / len(values)


def _shrink(node: Operator, x: Tensor) -> Tensor:
    bias, edge = node.get("bias", 0.0), node.get("lambd", 0.5)
    return torch.where(x < -edge, x + bias, torch.where(x > edge, x - bias, torch.zeros_like(x)))


def _prelu(node: Operator, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def _hardmax(node: Operator, x: Tensor) -> Tensor:
    axis = node.get("axis", -1 if node.get("opset") >= 13 else 1)
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1.0)


def _bit_shift(node: Operator, a: Tensor, b: Tensor) -> Tensor:
    return a << b if node.get("direction") == "LEFT" else a >> b


def _matmul(node: Operator, a: Value, b: Value) -> Tensor:
    return torch.matmul(_tensor_of(a), _tensor_of(b))


def _gemm(node: Operator, a: Tensor, b: Tensor, c: Value = None) -> Tensor:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    a = a.t() if node.get("transA", 0) else a
    weight = b if node.get("transB", 0) else b.t()
    if c is None:
        found = F.linear(a, weight)
        return found if alpha == 1.0 else found * alpha
    if alpha == beta == 1.0 and isinstance(c, Tensor) and c.ndim == 1:
        return F.linear(a, weight, c)
    found = F.linear(a, weight)
    found = found if alpha == 1.0 else found * alpha
    bias = _operands(found, c)[1]
    return found + (bias if beta == 1.0 else bias * beta)


def _einsum(node: Operator, *values: Tensor) -> Tensor:
    return torch.einsum(node.get("equation"), *map(_tensor_of, values))


def _padding(
    node: Operator, x: Tensor, window: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """Begins, then ends, of each spatial dimension."""
    n = len(window)
    auto = node.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        return list(node.get("pads", [0] * 2 * n)) if auto == "NOTSET" else [0] * 2 * n
    begins, ends = list[int](), list[int]()
    for size, k, s, d in zip(x.shape[2:], window, strides, dilations, strict=True):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        half = total // 2
        begins.append(total - half if auto == "SAME_LOWER" else half)
        ends.append(half if auto == "SAME_LOWER" else total - half)
    return [*begins, *ends]


def _even(x: Tensor, pads: Sequence[int], value: float = 0.0) -> tuple[Tensor, list[int]]:
    """Padding that is the same on both sides is left to the operator; any other is put on."""
    n = len(pads) // 2
    begins, ends = list(pads[:n]), list(pads[n:])
    if begins == ends:
        return x, begins
    order = [one for dim in reversed(range(n)) for one in (begins[dim], ends[dim])]
    return F.pad(x, order, value=value), [0] * n


def _spatial(x: Tensor) -> int:
    """How many dimensions are spatial; 1 to 3 are possible."""
    if not 3 <= x.ndim <= 5:
        raise UnsupportedGraph("form", f"a window over {x.ndim - 2} dimensions")
    return x.ndim - 2


def _conv(node: Operator, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    n = _spatial(x)
    window = node.get("kernel_shape") or list(weight.shape[2:])
    strides, dilations = node.get("strides", [1] * n), node.get("dilations", [1] * n)
    x, padding = _even(x, _padding(node, x, window, strides, dilations))
    function: Any = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
    return function(x, weight, bias, strides, padding, dilations, node.get("group", 1))


def _conv_transpose(node: Operator, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    n = _spatial(x)
    window, group = node.get("kernel_shape") or list(weight.shape[2:]), node.get("group", 1)
    strides, dilations = node.get("strides", [1] * n), node.get("dilations", [1] * n)
    more = node.get("output_padding", [0] * n)
    pads = list(node.get("pads", [0] * 2 * n))
    wanted, auto = node.get("output_shape"), node.get("auto_pad", "NOTSET")
    if wanted is not None or auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = wanted[-n:] if wanted is not None else [size * s for size, s in zip(x.shape[2:], strides, strict=True)]
        full = [s * (size - 1) + o + (k - 1) * d + 1
                for size, s, o, k, d in zip(x.shape[2:], strides, more, window, dilations, strict=True)]  # fmt: skip
        total = [a - b for a, b in zip(full, wanted, strict=True)]
        small, large = [one // 2 for one in total], [one - one // 2 for one in total]
        pads = [*small, *large] if auto == "SAME_UPPER" else [*large, *small]
    function: Any = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
    begins, ends = pads[:n], pads[n:]
    if begins == ends:
        return function(x, weight, bias, strides, begins, more, group, dilations)
    found = function(x, weight, None, strides, 0, more, group, dilations)
    found = F.pad(found, [-one for dim in reversed(range(n)) for one in (begins[dim], ends[dim])])
    return found if bias is None else found + bias.reshape(-1, *[1] * n)


def _pool_form(node: Operator, x: Tensor) -> tuple[int, list[int], list[int], list[int], bool]:
    n, window = _spatial(x), node.get("kernel_shape")
    ones = [1] * n
    return n, window, node.get("strides", ones), node.get("dilations", ones), bool(node.get("ceil_mode", 0))


def _max_pool(node: Operator, x: Tensor) -> Tensor:
    if node.get("outputs") != "1":
        raise UnsupportedGraph("form", "MaxPool with indices")
    n, window, strides, dilations, ceil = _pool_form(node, x)
    pads = _padding(node, x, window, strides, dilations)
    if any(2 * pad > size for pad, size in zip(pads, (*window, *window), strict=True)):
        order = [one for dim in reversed(range(n)) for one in (pads[dim], pads[dim + n])]
        x, padding = F.pad(x, order, value=-math.inf), [0] * n
    else:
        x, padding = _even(x, pads, -math.inf)
    function: Any = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]
    return function(x, window, strides, padding, dilations, ceil)


def _average_pool(node: Operator, x: Tensor) -> Tensor:
    n, window, strides, dilations, ceil = _pool_form(node, x)
    if any(one != 1 for one in dilations):
        raise UnsupportedGraph("form", "AveragePool with dilations")
    pads, counted = _padding(node, x, window, strides, dilations), bool(node.get("count_include_pad", 0))
    function: Any = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1]
    fits = pads[:n] == pads[n:] and all(2 * pad <= size for pad, size in zip(pads[:n], window, strict=True))
    if fits:
        return function(x, window, strides, pads[:n], ceil, counted)
    order = [one for dim in reversed(range(n)) for one in (pads[dim], pads[dim + n])]
    found = function(F.pad(x, order), window, strides, 0, ceil)
    if counted:
        return found
    inside = function(F.pad(torch.ones_like(x[:1, :1]), order), window, strides, 0, ceil)
    return found / inside


def _lp_pool(node: Operator, x: Tensor) -> Tensor:
    n, window, strides, dilations, ceil = _pool_form(node, x)
    if n > 2 or any(one != 1 for one in dilations):
        raise UnsupportedGraph("form", "LpPool of this form")
    pads = _padding(node, x, window, strides, dilations)
    order = [one for dim in reversed(range(n)) for one in (pads[dim], pads[dim + n])]
    function: Any = (F.lp_pool1d, F.lp_pool2d)[n - 1]
    return function(
        F.pad(x.abs(), order),
        float(node.get("p", 2)),
        window if n > 1 else window[0],
        strides if n > 1 else strides[0],
        ceil,
    )


def _global_average(node: Operator, x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


def _global_max(node: Operator, x: Tensor) -> Tensor:
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


_linalg: Any = torch.linalg
"""Its stubs know no tensors."""


def _norm(x: Tensor, p: int, dims: Any) -> Tensor:
    return _linalg.vector_norm(x, p, dims, keepdim=True)


def _global_lp(node: Operator, x: Tensor) -> Tensor:
    return _norm(x, node.get("p", 2), tuple(range(2, x.ndim)))


def _batch_norm(node: Operator, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    if node.get("training_mode", 0):
        raise UnsupportedGraph("form", "BatchNormalization in training mode")
    momentum = 1.0 - node.get("momentum", 0.9)
    return F.batch_norm(x, mean, var, scale, bias, node.training, momentum, node.get("epsilon", 1e-5))


def _instance_norm(node: Operator, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return F.instance_norm(x, None, None, scale, bias, True, 0.0, node.get("epsilon", 1e-5))


def _layer_norm(node: Operator, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Any:
    if node.get("outputs") != "1":
        raise UnsupportedGraph("form", "LayerNormalization with its statistics")
    axis = node.get("axis", -1)
    return F.layer_norm(x, x.shape[axis:], scale, bias, node.get("epsilon", 1e-5))


def _rms_norm(node: Operator, x: Tensor, scale: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[node.get("axis", -1) :], scale, node.get("epsilon", 1e-5))


def _group_norm(node: Operator, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups, epsilon = node.get("num_groups"), node.get("epsilon", 1e-5)
    if node.get("opset") >= 21:
        return F.group_norm(x, groups, scale, bias, epsilon)
    found = F.group_norm(x, groups, None, None, epsilon)
    by_group = found.reshape(found.shape[0], groups, -1)
    return (by_group * scale[:, None] + bias[:, None]).reshape(x.shape)


def _lp_norm(node: Operator, x: Tensor) -> Tensor:
    axis = node.get("axis", -1)
    return x / _norm(x, node.get("p", 2), axis).clamp_min(1e-12)


def _mean_variance(node: Operator, x: Tensor) -> Tensor:
    axes = node.get("axes", [0, 2, 3])
    centred = x - x.mean(axes, keepdim=True)
    return centred / ((centred * centred).mean(axes, keepdim=True).sqrt() + 1e-9)


def _lrn(node: Operator, x: Tensor) -> Tensor:
    return F.local_response_norm(
        x, node.get("size"), node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    )


def _reshape(node: Operator, x: Value, shape: Value) -> Tensor:
    tensor, sizes = _tensor_of(x), node.ints("shape", shape) or []
    if not node.get("allowzero", 0):
        sizes = [tensor.shape[n] if isinstance(one, int) and one == 0 else one for n, one in enumerate(sizes)]
    return tensor.reshape(sizes)


def _flatten(node: Operator, x: Tensor) -> Tensor:
    axis = node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    if axis == 1:
        return x.flatten(1)
    return x.reshape(1, -1) if axis == 0 else x.flatten(0, axis - 1).flatten(1) if axis < x.ndim else x.reshape(-1, 1)


def _squeeze(node: Operator, x: Tensor, axes: Value = None) -> Tensor:
    dims = node.ints("axes", axes)
    return x.squeeze() if dims is None else x.squeeze(tuple(dims))


def _unsqueeze(node: Operator, x: Value, axes: Value = None) -> Tensor:
    x, dims = _tensor_of(x), node.ints("axes", axes) or []
    for dim in sorted(dim + x.ndim + len(dims) if dim < 0 else dim for dim in dims):
        x = x.unsqueeze(dim)
    return x


def _transpose(node: Operator, x: Tensor) -> Tensor:
    return x.permute(node.get("perm") or list(range(x.ndim))[::-1])


def _concat(node: Operator, *values: Value) -> Tensor:
    like = next((one for one in values if isinstance(one, Tensor)), None)
    return torch.cat([_tensor_of(one, like) for one in values], node.get("axis"))


def _split(node: Operator, x: Tensor, split: Value = None) -> tuple[Tensor, ...]:
    axis, sizes = node.get("axis", 0), node.ints("split", split)
    if sizes is None:
        count = int(node.get("outputs"))
        if isinstance(x.shape[axis], int) and x.shape[axis] % count == 0:
            return x.chunk(count, axis)
        sizes = cast("Any", -(-x.shape[axis] // count))
    return cast("Any", x).split(sizes, axis)


def _slice(
    node: Operator, x: Value, starts: Value = None, ends: Value = None, axes: Value = None, steps: Value = None
) -> Tensor:
    x = _tensor_of(x)
    first, last = node.ints("starts", starts) or [], node.ints("ends", ends) or []
    dims = node.ints("axes", axes)
    dims = list(range(len(first))) if dims is None else [dim + x.ndim if dim < 0 else dim for dim in dims]
    by = node.ints("steps", steps) or [1] * len(first)
    taken, flipped = [slice(None)] * x.ndim, list[int]()
    for a, b, dim, step in zip(first, last, dims, by, strict=True):
        if step < 0:
            if step != -1 or b > -x.shape[dim] or a not in (-1, x.shape[dim] - 1):
                raise UnsupportedGraph("form", "Slice backwards over a part")
            flipped.append(dim)
            continue
        begin = None if isinstance(a, int) and a == 0 else a
        end = None if isinstance(b, int) and b >= 2**31 - 1 else b
        taken[dim] = slice(begin, end, None if step == 1 else step)
    x = x[tuple(taken)] if any(one != slice(None) for one in taken) else x
    return x.flip(flipped) if flipped else x


def _gather(node: Operator, data: Value, index: Value) -> Tensor:
    data, axis = _tensor_of(data), node.get("axis", 0)
    if is_sizes(index) and index.ndim == 0:
        return data.select(axis, index[()])
    if is_sizes(index):
        index = np.asarray([one + data.shape[axis] if one < 0 else one for one in index.reshape(-1)], object).reshape(
            index.shape
        )
    place = _tensor_of(index).to(torch.int64)
    if axis == 0 and data.ndim == 2 and data.is_floating_point() and not is_sizes(index):
        return F.embedding(place, data)
    if place.ndim == 1:
        return data.index_select(axis, place)
    axis = axis + data.ndim if axis < 0 else axis
    return data[(slice(None),) * axis + (place,)]


def _from_start(place: Tensor, size: Any) -> Tensor:
    """Indices of which some are counted from the end."""
    return torch.where(place < 0, place + size, place)


def _gather_elements(node: Operator, data: Tensor, index: Tensor) -> Tensor:
    axis = node.get("axis", 0)
    place = _tensor_of(index).to(torch.int64)
    return data.gather(axis, _from_start(place, data.shape[axis]))


def _gather_nd(node: Operator, data: Tensor, index: Value) -> Tensor:
    batch, place = node.get("batch_dims", 0), _tensor_of(index)
    if batch:
        raise UnsupportedGraph("form", "GatherND with batch_dims")
    return data[place.unbind(-1)]


def _scatter_elements(node: Operator, data: Tensor, index: Value, updates: Value) -> Tensor:
    axis, how = node.get("axis", 0), node.get("reduction", "none")
    place = _tensor_of(index).to(torch.int64)
    place, new = _from_start(place, data.shape[axis]), _tensor_of(updates, data)
    if how == "none":
        return data.scatter(axis, place, new)
    kind = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}[how]
    return data.scatter_reduce(axis, place, new, kind)


def _scatter_nd(node: Operator, data: Tensor, index: Value, updates: Value) -> Tensor:
    how = node.get("reduction", "none")
    if how not in ("none", "add"):
        raise UnsupportedGraph("form", f"ScatterND with {how}")
    data = _tensor_of(data)
    return data.index_put(_tensor_of(index).unbind(-1), _tensor_of(updates, data), accumulate=how == "add")


def _expand(node: Operator, x: Value, shape: Value) -> Tensor:
    x, sizes = _tensor_of(x), node.ints("shape", shape) or []
    missing = len(sizes) - x.ndim
    if missing < 0:
        sizes = [1] * -missing + sizes
        missing = 0
    kept = [one if n < missing else -1 if one == 1 else one for n, one in enumerate(sizes)]
    return x.expand(kept)


def _tile(node: Operator, x: Value, repeats: Value) -> Tensor:
    return _tensor_of(x).repeat(node.ints("repeats", repeats) or [])


def _pad(node: Operator, x: Tensor, pads: Value = None, value: Value = None, axes: Value = None) -> Tensor:
    given = node.ints("pads", pads) or []
    count = len(given) // 2
    dims = node.ints("axes", axes) or list(range(x.ndim - count, x.ndim) if count < x.ndim else range(x.ndim))
    amounts = dict[int, tuple[Any, Any]]()
    for n, dim in enumerate(dims):
        amounts[dim + x.ndim if dim < 0 else dim] = given[n], given[n + count]
    order = [one for dim in reversed(range(x.ndim)) for one in amounts.get(dim, (0, 0))]
    while len(order) >= 2 and order[-1] == 0 and order[-2] == 0:
        order = order[:-2]
    mode = node.get("mode", "constant")
    if not order:
        return x
    if mode == "constant":
        fill = node.get("value", 0.0) if value is None else _operands(x, value)[1]
        return F.pad(x, order, value=float(fill) if not isinstance(fill, Tensor) else fill.item())
    kind = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}[mode]
    return F.pad(x, order, mode=kind)


def _depth_to_space(node: Operator, x: Tensor) -> Tensor:
    block = node.get("blocksize")
    if node.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, block)
    n, c, h, w = x.shape
    apart = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return apart.reshape(n, c // block**2, h * block, w * block)


def _space_to_depth(node: Operator, x: Tensor) -> Tensor:
    block = node.get("blocksize")
    n, c, h, w = x.shape
    order = (0, 1, 3, 5, 2, 4) if node.get("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
    apart = x.reshape(n, c, h // block, block, w // block, block).permute(order)
    return apart.reshape(n, c * block**2, h // block, w // block)


def _constant_of_shape(node: Operator, shape: Value) -> Tensor:
    fill = np.asarray(node.get("value", np.zeros(1, np.float32)))
    dtype = torch.float32 if _is_floating(fill) else torch.from_numpy(fill).dtype
    return torch.full(node.ints("shape", shape) or [], fill.reshape(())[()].item(), dtype=dtype)


def _range(node: Operator, start: Value, limit: Value, delta: Value) -> Tensor:
    first, last, step = (one.reshape(-1)[0] if is_sizes(one) else one.item() for one in (start, limit, delta))
    return torch.arange(first, last, step)


def _cast(node: Operator, x: Value) -> Tensor:
    dtype = DTYPES.get(node.get("to"))
    if dtype is None:
        raise UnsupportedGraph("form", f"Cast to {TensorProto.DataType.Name(node.get('to'))}")
    return _tensor_of(x).to(dtype)


def _cast_like(node: Operator, x: Value, like: Value) -> Tensor:
    return _tensor_of(x).to(_tensor_of(like).dtype)


def _one_hot(node: Operator, index: Tensor, depth: Value, values: Value) -> Tensor:
    count, axis = int(depth.reshape(-1)[0] if is_sizes(depth) else depth.item()), node.get("axis", -1)
    off, on = _tensor_of(values).unbind(0)
    index = index.to(torch.int64)
    hot = F.one_hot(torch.where(index < 0, index + count, index), count).bool()
    return torch.where(hot if axis == -1 else hot.movedim(-1, axis), on, off)


def _compress(node: Operator, x: Tensor, condition: Value) -> Tensor:
    axis, taken = node.get("axis"), _tensor_of(condition).bool().nonzero().squeeze(1)
    return x.flatten().index_select(0, taken) if axis is None else x.index_select(axis, taken)


def _trilu(node: Operator, x: Tensor, k: Value = None) -> Tensor:
    diagonal = 0 if k is None else int(k.reshape(-1)[0]) if is_sizes(k) else int(k.item())
    return x.triu(diagonal) if node.get("upper", 1) else x.tril(diagonal)


def _eye_like(node: Operator, x: Tensor) -> Tensor:
    dtype = DTYPES[node.get("dtype")] if node.get("dtype") else x.dtype
    return torch.ones_like(x, dtype=dtype).triu(node.get("k", 0)).tril(node.get("k", 0))


def _top_k(node: Operator, x: Tensor, k: Value) -> tuple[Tensor, Tensor]:
    count = k.reshape(-1)[0] if is_sizes(k) else int(k.item())
    found = x.topk(count, node.get("axis", -1), bool(node.get("largest", 1)), bool(node.get("sorted", 1)))
    return found.values, found.indices


def _cum_sum(node: Operator, x: Tensor, axis: Value) -> Tensor:
    dim = int(axis.reshape(-1)[0]) if is_sizes(axis) else int(axis.item())
    x = _tensor_of(x)
    x = x.flip(dim) if node.get("reverse", 0) else x
    found = x.cumsum(dim).to(x.dtype)
    found = found - x if node.get("exclusive", 0) else found
    return found.flip(dim) if node.get("reverse", 0) else found


def _arg(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(node: Operator, x: Tensor) -> Tensor:
        if node.get("select_last_index", 0):
            raise UnsupportedGraph("form", "select_last_index")
        return function(x, node.get("axis", 0), bool(node.get("keepdims", 1)))

    return run


def _reduction(function: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    def run(node: Operator, x: Value, axes: Value = None) -> Tensor:
        x, dims = _tensor_of(x), node.ints("axes", axes)
        if not dims and node.get("noop_with_empty_axes", 0):
            return x
        return function(x, dims or list(range(x.ndim)), bool(node.get("keepdims", 1)))

    return run


def _product(x: Tensor, dims: list[int], keep: bool) -> Tensor:
    for dim in sorted((dim % x.ndim for dim in dims), reverse=True):
        x = x.prod(dim, keepdim=keep)
    return x


def _resize(node: Operator, x: Tensor, *rest: Value) -> Tensor:  # noqa: PLR0912 - the standard has as many cases
    """Resize of opset 10 (x, scales) and later (x, roi, scales, sizes); Upsample of opset 9."""
    scales = rest[0] if len(rest) == 1 else rest[1] if len(rest) > 1 else None
    sizes = rest[2] if len(rest) > 2 else None
    by = node.get("scales") if scales is None else node.ints("scales", scales)
    to = None if sizes is None else node.ints("sizes", sizes)
    axes = [one % x.ndim for one in node.get("axes", range(x.ndim))]
    default = "half_pixel" if node.get("opset") >= 11 else "asymmetric"
    where, mode = node.get("coordinate_transformation_mode", default), node.get("mode", "nearest")
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    if where == "tf_crop_and_resize" or policy != "stretch":
        raise UnsupportedGraph("form", f"Resize with {where if policy == 'stretch' else policy}")
    factors: list[Any] = [1.0] * x.ndim
    wanted: list[Any] = list(x.shape)
    for n, dim in enumerate(axes):
        if to:
            wanted[dim] = to[n]
            factors[dim] = to[n] / x.shape[dim]
        elif by:
            factors[dim] = by[n]
            wanted[dim] = math.floor(cast("Any", x.shape[dim]) * by[n])
    if list(factors[:2]) != [1.0, 1.0] or not 3 <= x.ndim <= 5:
        raise UnsupportedGraph("form", "Resize of batch or channels")
    size, n = wanted[2:], x.ndim - 2
    scale = None if to else factors[2:]
    rounding = node.get("nearest_mode", "round_prefer_floor") if node.get("opset") >= 11 else "floor"
    whole = all(float(one).is_integer() for one in factors[2:])
    if mode == "nearest":
        plain = where == "asymmetric" and rounding == "floor"
        centred = where in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round") and whole
        if plain or (centred and all(one == 1 or one % 2 == 0 or one % 2 == 1 for one in factors[2:])):
            return (
                F.interpolate(x, size, mode="nearest")
                if scale is None or whole
                else F.interpolate(x, scale_factor=scale, mode="nearest")
            )
        return _nearest(x, size, factors[2:], where, rounding)
    linear = ("linear", "bilinear", "trilinear")[n - 1]
    name: str = linear if mode == "linear" else "bicubic" if mode == "cubic" else mode
    if node.get("antialias", 0):
        raise UnsupportedGraph("form", "Resize with antialias")
    if where == "pytorch_half_pixel" and any(new == 1 != old for new, old in zip(size, x.shape[2:], strict=True)):
        raise UnsupportedGraph("form", "Resize to one with pytorch_half_pixel")
    if mode == "cubic" and (n != 2 or node.get("cubic_coeff_a", -0.75) != -0.75):
        raise UnsupportedGraph("form", "Resize with this cubic")
    if where == "align_corners" and (scale is None or whole):
        return F.interpolate(x, size, mode=name, align_corners=True)
    if where in ("half_pixel", "pytorch_half_pixel") and not node.get("exclude_outside", 0):
        exact = scale is None or whole
        return F.interpolate(x, size if exact else None, None if exact else scale, name, False)
    if where == "asymmetric" and mode == "linear":
        return _linear(x, size, factors[2:])
    raise UnsupportedGraph("form", f"Resize {mode} with {where}")


def _nearest(x: Tensor, size: Sequence[int], factors: Sequence[float], where: str, rounding: str) -> Tensor:
    """Take the nearest value along each dimension by the formulas of the standard."""
    for n, (new, factor) in enumerate(zip(size, factors, strict=True)):
        dim, old = n + 2, x.shape[n + 2]
        at = torch.arange(new, dtype=torch.float64)
        if where in ("half_pixel", "pytorch_half_pixel"):
            at = (at + 0.5) / factor - 0.5
        elif where == "align_corners":
            at = at * ((old - 1) / max(new - 1, 1))
        else:
            at = at / factor
        shift = {"round_prefer_floor": -0.5, "round_prefer_ceil": 0.5}.get(rounding, 0.0)
        rounded = (at + shift).ceil() if rounding in ("ceil", "round_prefer_floor") else (at + shift).floor()
        x = x.index_select(dim, rounded.clamp(0, old - 1).to(torch.int64))
    return x


def _linear(x: Tensor, size: Sequence[int], factors: Sequence[float]) -> Tensor:
    """Between neighbours, where output k lies at k / factor."""
    for n, (new, factor) in enumerate(zip(size, factors, strict=True)):
        dim, old = n + 2, x.shape[n + 2]
        at = (torch.arange(new, dtype=torch.float32) / factor).clamp(0, old - 1)
        low = at.floor().to(torch.int64)
        share = (at - low).reshape([-1 if d == dim else 1 for d in range(x.ndim)])
        high = (low + 1).clamp(max=old - 1)
        x = x.index_select(dim, low) * (1 - share) + x.index_select(dim, high) * share
    return x


def _grid_sample(node: Operator, x: Tensor, grid: Tensor) -> Tensor:
    asked: str = node.get("mode", "linear")
    mode = "bilinear" if asked == "linear" else "bicubic" if asked == "cubic" else asked
    return F.grid_sample(x, grid, mode, node.get("padding_mode", "zeros"), bool(node.get("align_corners", 0)))


def _recurrent(node: Operator, *inputs: Value) -> tuple[Tensor, ...]:
    """LSTM, GRU or RNN of one layer; gates are brought from ONNX's order into torch's."""
    kind = node.operator
    given: list[Any] = [*inputs, *[None] * (8 - len(inputs))]
    x, weight, recurrent, bias, lengths, first, cell, holes = given
    odd = next((n for n in ("clip", "input_forget") if node.get(n)), "peepholes" if holes is not None else "")
    if lengths is not None and isinstance(lengths, Tensor):
        odd = "sequence lengths"
    usual = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}[kind]
    functions = node.get("activations", usual * weight.shape[0])
    if functions != usual * weight.shape[0] and not (kind == "RNN" and set(functions) == {"Relu"}):
        odd = f"the activations {', '.join(functions)}"
    if kind == "GRU" and not node.get("linear_before_reset", 0):
        odd = "linear_before_reset = 0"
    if odd:
        raise UnsupportedGraph("form", f"{kind} with {odd}")
    order = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}[kind]
    direction = node.get("direction", "forward")
    x = x.transpose(0, 1) if node.get("layout", 0) else x
    x = x.flip(0) if direction == "reverse" else x

    def gates(one: Tensor) -> Tensor:
        parts = one.chunk(len(order))
        return one if len(order) == 1 else torch.cat([parts[n] for n in order])

    flat = list[Tensor]()
    for number in range(weight.shape[0]):
        flat += [gates(weight[number]), gates(recurrent[number])]
        if bias is not None:
            flat += [gates(one) for one in bias[number].chunk(2)]
    units = recurrent.shape[-1]
    states = [
        x.new_zeros(weight.shape[0], x.shape[1], units) if one is None
        else _tensor_of(one).transpose(0, 1) if node.get("layout", 0) else _tensor_of(one)
        for one in ((first, cell) if kind == "LSTM" else (first,))
    ]  # fmt: skip
    run: Any = {"LSTM": torch.lstm, "GRU": torch.gru, "RNN": torch.rnn_relu if "Relu" in functions else torch.rnn_tanh}[
        kind
    ]
    both = direction == "bidirectional"
    found, *last = run(x, states if kind == "LSTM" else states[0], flat, bias is not None, 1, 0.0, False, both, False)
    found = found.flip(0) if direction == "reverse" else found
    steps, batch = found.shape[:2]
    y = found.reshape(steps, batch, 2, -1).transpose(1, 2) if both else found.unsqueeze(1)
    if node.get("layout", 0):
        return y.permute(2, 0, 1, 3), *(one.transpose(0, 1) for one in last)
    return y, *last


def _attention(node: Operator, q: Tensor, k: Tensor, v: Tensor, mask: Value = None, *past: Value) -> Tensor:
    known = {
        "is_causal",
        "kv_num_heads",
        "q_num_heads",
        "scale",
        "softcap",
        "softmax_precision",
        "qk_matmul_output_mode",
    }
    more = {*node.attributes} - known - {"opset", "outputs"}
    if more or any(one is not None for one in past) or node.get("softcap", 0.0) or node.get("outputs") != "1":
        raise UnsupportedGraph("form", "Attention with a cache, a window, softcap or more outputs")
    flat = q.ndim == 3
    if flat:
        heads, groups = node.get("q_num_heads"), node.get("kv_num_heads")
        q = q.reshape(q.shape[0], q.shape[1], heads, -1).transpose(1, 2)
        k = k.reshape(k.shape[0], k.shape[1], groups, -1).transpose(1, 2)
        v = v.reshape(v.shape[0], v.shape[1], groups, -1).transpose(1, 2)
    shared = q.shape[1] != k.shape[1]
    found = F.scaled_dot_product_attention(
        q, k, v, None if mask is None else _tensor_of(mask), 0.0, bool(node.get("is_causal", 0)),
        scale=node.get("scale"), enable_gqa=shared,
    )  # fmt: skip
    return found.transpose(1, 2).flatten(2) if flat else found


def _dropout(node: Operator, x: Tensor, *rest: Value) -> Any:
    return x if node.get("outputs") == "1" else (x, torch.ones_like(x, dtype=torch.bool))


def _identity(node: Operator, x: Value) -> Value:
    return x


OPERATORS: dict[str, Callable[..., Any]] = {
    **{
        name: _unary(getattr(torch, name.lower()))
        for name in (
            "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor",
            "Log", "Neg", "Reciprocal", "Round", "Sign", "Sin", "Sinh", "Sqrt", "Tan", "Tanh", "Sigmoid", "IsNaN",
            "Relu",
        )
    },
    "Not": _unary(torch.logical_not),
    "BitwiseNot": _unary(torch.bitwise_not),
    "IsInf": _is_infinite,
    "Softplus": _unary(F.softplus),
    "Softsign": _unary(F.softsign),
    "Mish": _unary(F.mish),
    "HardSwish": _unary(F.hardswish),
    "Identity": _identity,
    "Dropout": _dropout,
    "LeakyRelu": _own(lambda node, x: F.leaky_relu(x, node.get("alpha", 0.01))),
    "Elu": _own(lambda node, x: F.elu(x, node.get("alpha", 1.0))),
    "Celu": _own(lambda node, x: F.celu(x, node.get("alpha", 1.0))),
    "Selu": _selu,
    "ThresholdedRelu": _own(lambda node, x: F.threshold(x, node.get("alpha", 1.0), 0.0)),
    "Gelu": _own(lambda node, x: F.gelu(x, approximate=node.get("approximate", "none"))),
    "Swish": _own(lambda node, x: x * torch.sigmoid(x * node.get("alpha", 1.0))),
    "HardSigmoid": _hard_sigmoid,
    "Shrink": _shrink,
    "PRelu": _prelu,
    "Clip": _clip,
    "Softmax": _softmax(torch.softmax),
    "LogSoftmax": _softmax(torch.log_softmax),
    "Hardmax": _hardmax,
    "Add": _binary(_add),
    "Sub": _binary(_sub),
    "Mul": _binary(_mul),
    "Div": _binary(_div),
    "Pow": _power,
    "Mod": _mod,
    "Min": _many(torch.minimum),
    "Max": _many(torch.maximum),
    "Sum": _many(_add),
    "Mean": _mean,
    "And": _binary(lambda a, b: torch.logical_and(_boolean(a), _boolean(b))),
    "Or": _binary(lambda a, b: torch.logical_or(_boolean(a), _boolean(b))),
    "Xor": _binary(lambda a, b: torch.logical_xor(_boolean(a), _boolean(b))),
    "BitwiseAnd": _binary(lambda a, b: a & b),
    "BitwiseOr": _binary(lambda a, b: a | b),
    "BitwiseXor": _binary(lambda a, b: a ^ b),
    "BitShift": _bit_shift,
    "Equal": _binary(lambda a, b: a == b),
    "Greater": _binary(lambda a, b: a > b),
    "Less": _binary(lambda a, b: a < b),
    "GreaterOrEqual": _binary(lambda a, b: a >= b),
    "LessOrEqual": _binary(lambda a, b: a <= b),
    "Where": _where,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "LpPool": _lp_pool,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max,
    "GlobalLpPool": _global_lp,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "GroupNormalization": _group_norm,
    "LpNormalization": _lp_norm,
    "MeanVarianceNormalization": _mean_variance,
    "LRN": _lrn,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Scatter": _scatter_elements,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Cast": _cast,
    "CastLike": _cast_like,
    "OneHot": _one_hot,
    "NonZero": _own(lambda node, x: x.nonzero().t()),
    "Compress": _compress,
    "Trilu": _trilu,
    "EyeLike": _eye_like,
    "TopK": _top_k,
    "CumSum": _cum_sum,
    "ArgMax": _arg(torch.argmax),
    "ArgMin": _arg(torch.argmin),
    "Det": _unary(_linalg.det),
    "ReduceMean": _reduction(lambda x, dims, keep: x.mean(dims, keepdim=keep)),
    "ReduceSum": _reduction(lambda x, dims, keep: x.sum(dims, keepdim=keep)),
    "ReduceMax": _reduction(lambda x, dims, keep: x.amax(dims, keepdim=keep)),
    "ReduceMin": _reduction(lambda x, dims, keep: x.amin(dims, keepdim=keep)),
    "ReduceProd": _reduction(_product),
    "ReduceL1": _reduction(lambda x, dims, keep: x.abs().sum(dims, keepdim=keep)),
    "ReduceL2": _reduction(lambda x, dims, keep: (x * x).sum(dims, keepdim=keep).sqrt()),
    "ReduceSumSquare": _reduction(lambda x, dims, keep: (x * x).sum(dims, keepdim=keep)),
    "ReduceLogSum": _reduction(lambda x, dims, keep: x.sum(dims, keepdim=keep).log()),
    "ReduceLogSumExp": _reduction(lambda x, dims, keep: x.logsumexp(dims, keepdim=keep)),
    "Resize": _resize,
    "Upsample": _resize,
    "GridSample": _grid_sample,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "Attention": _attention,
}  # fmt: skip
"""What runs each operator of the standard on tensors."""


def _boolean(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value)

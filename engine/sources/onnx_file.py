"""Opens an ONNX file: read within bounds, built as a module of its nodes, and compared with ONNX Runtime."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import Message, OpenError
from ..foreign_code.consent import Consent
from ..inference.model_inputs import Inputs, call
from ..jobs import CancelToken, check
from ..messages import Phrase
from ..storage.file_limits import UNPACKED, check_special, disk_size
from ..text.format import byte_size
from ..text.python_code import quoted
from .build_model import Origin, open_origin
from .protocol import FactoryCode, InputSpec, ModelSpec, SourceModel

if TYPE_CHECKING:
    import onnx

    from ..runtime.onnx_module import Graph, OnnxModule, UnsupportedGraph

SUFFIX = ".onnx"
MOVES = ("Cast", "Identity", "Reshape", "Expand", "Unsqueeze", "Squeeze", "Flatten", "Transpose")
"""Operators whose output holds the values of their first input."""
BATCH = 2
"""Examples that the graph is run with."""
SINGLE = 4
"""Bytes of a number in float32."""
LARGEST_GRAPH = 2**31 - 1
"""Bytes of the file itself; weights beyond that lie beside it."""
APART = 1e-2
"""Difference from ONNX Runtime above which a graph is not opened."""


class OnnxFile:
    """`path/to/model.onnx`, with its external data beside it."""

    def matches(self, source: str) -> bool:
        """True for a name that ends like an ONNX file."""
        return source.lower().endswith(SUFFIX)

    def open(self, spec: ModelSpec, token: CancelToken, consent: Consent) -> SourceModel:
        """Open it as a module whose weights have the file's names; nothing of the file is run as code."""
        path = Path(spec.source).expanduser()
        proto = read_model(path)
        check(token)
        return open_graph(path, proto, spec, token)

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """The file and what reads it, both copied beside the code."""
        from ..runtime import onnx_module

        path = Path(spec.source).expanduser().absolute()
        copies = (Path(onnx_module.__file__), path, *data_files(path))
        return FactoryCode(
            "from onnx_module import OnnxModule, read_graph\n\n\n"
            f"def make_model():\n    return OnnxModule(read_graph(folder + {quoted('/' + path.name)}))",
            copies,
        )


def open_graph(
    path: Path,
    proto: "onnx.ModelProto",
    spec: ModelSpec,
    token: CancelToken,
    notes: Sequence[Message] = (),
    program: Any = None,
) -> SourceModel:
    """Open a graph as a module, on example inputs of its own shapes, and compare it.

    Args:
        path: The file that it came from, for sentences.
        proto: The graph with its data.
        spec: What was asked for.
        token: Cancels.
        notes: What is known of the file already.
        program: What it is compared with: a function of tensors; None for ONNX Runtime on the file.

    Raises:
        OpenError: It cannot be run, or computes something else.
    """
    from ..runtime.onnx_module import OnnxModule, example_shape

    graph = _graph(path, proto)
    for one in graph.inputs:  # before any is made: a file says any size
        size = SINGLE * math.prod(example_shape(one, max(BATCH, graph.batch)))
        if size > UNPACKED:
            template = "{path} takes {name} as {shape}, which is {size}. Export the model for smaller inputs."
            shape = "x".join(map(str, one.dims))
            words = {"path": str(path), "name": one.name, "shape": shape, "size": byte_size(min(size, 1 << 62))}
            raise OpenError("onnx.large_input", template, **words)
    model = OnnxModule(graph).eval()
    inputs = _example_inputs(graph, spec.asked_inputs)
    remarks = [*notes, *_remarks(path, proto)]
    check(token)
    _check_runs(path, model, inputs, graph)
    check(token)
    remarks.append(_parity(path, model, inputs, graph.batch, program))
    shape = tuple(inputs[0].shape) if isinstance(inputs, tuple) and len(inputs) == 1 else ()
    origin = Origin(
        make=lambda: OnnxModule(graph),
        name=path.stem,
        input_shape=shape,
        notes=tuple(remarks),
        inputs=() if shape else inputs,
    )
    return open_origin(origin, spec, token)


def read_model(path: Path) -> "onnx.ModelProto":
    """The content of an ONNX file with its external data, which must lie in the folder of the file.

    Raises:
        OpenError: It is no ONNX file, damaged, too large, or its data lies elsewhere or is not there.
    """
    import onnx
    from google.protobuf.message import DecodeError

    check_special(path)
    if not path.is_file():
        raise OpenError("onnx.missing", "File {path} does not exist. Check the path.", path=str(path))
    if path.stat().st_size > LARGEST_GRAPH:
        template = "{path} has {size}; an ONNX file may have at most 2 GB. Save its weights as external data."
        raise OpenError("onnx.large", template, path=str(path), size=byte_size(path.stat().st_size))
    try:
        proto = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, RuntimeError, ValueError, OSError) as error:
        raise _damaged(path, error) from error
    if not proto.graph.node or not proto.graph.output:
        raise _damaged(path, ValueError("it holds no graph"))
    for tensor in _tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _load_external(path, tensor)
    return proto


def _damaged(path: Path, error: Exception) -> OpenError:
    template = "{path} is not an ONNX file, or it is damaged. Copy or download it again."
    return OpenError("onnx.damaged", template, str(error), path=str(path))


def _tensors(proto: "onnx.ModelProto") -> Iterator["onnx.TensorProto"]:
    """Weights and constants, those of functions too."""
    yield from proto.graph.initializer
    for node in (*proto.graph.node, *(node for one in proto.functions for node in one.node)):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _load_external(path: Path, tensor: "onnx.TensorProto") -> None:
    """Read the data of a tensor that lies beside the file, no byte more than its shape says."""
    import onnx
    from onnx import helper

    entries = {one.key: one.value for one in tensor.external_data}
    folder = path.resolve().parent
    found = (folder / entries.get("location", "")).resolve()
    if not found.is_relative_to(folder):
        template = "{path} names data outside of its folder: {location}. Get it from another source."
        raise OpenError("onnx.outside", template, path=str(path), location=str(entries.get("location"))[:200])
    check_special(found)
    if not found.is_file():
        template = "{path} needs its data file {location}, which is not there. Copy it into the same folder."
        raise OpenError("onnx.data", template, path=str(path), location=found.name)
    try:
        size = math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", size))
    except (ValueError, KeyError) as error:
        raise _damaged(path, error) from error
    if length != size or offset < 0 or offset + length > disk_size(found):
        raise _damaged(path, ValueError(f"{tensor.name} does not fit its data"))
    with found.open("rb") as file:
        file.seek(offset)
        tensor.raw_data = file.read(length)
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def data_files(path: Path) -> tuple[Path, ...]:
    """Files with data of an ONNX file that `read_model` reads, in its folder or below."""
    import onnx

    proto = onnx.load_model_from_string(path.read_bytes())
    external = (one for one in _tensors(proto) if one.data_location == onnx.TensorProto.EXTERNAL)
    places = {entry.value for one in external for entry in one.external_data if entry.key == "location"}
    files = (path.parent / place for place in sorted(places) if ".." not in Path(place).parts)
    return tuple(file for file in files if file.is_relative_to(path.parent) and file.is_file())


def _graph(path: Path, proto: "onnx.ModelProto") -> "Graph":
    from ..runtime.onnx_module import UnsupportedGraph, graph_of

    try:
        return graph_of(proto)
    except UnsupportedGraph as error:
        raise refused(path, error) from error
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error


def refused(path: Path, error: "UnsupportedGraph") -> OpenError:  # noqa: PLR0911 - a sentence for each kind
    """Why a graph cannot be opened, in a sentence of its own for each kind."""
    match error.kind:
        case "control":
            template = (
                "{path} contains {what} (node {node!r}): a graph with control flow has no fixed set of layers to cut. "
                "Export the model without it, or open the model's Python class."
            )
            return OpenError("onnx.control", template, path=str(path), what=error.what, node=error.node)
        case "quantised":
            template = (
                "{path} is quantised ({what}, node {node!r}): its integer weights and scales can be neither trained "
                "nor cut. Open the float model, prune it, and quantise the result again."
            )
            return OpenError("onnx.quantised", template, path=str(path), what=error.what, node=error.node)
        case "opset":
            template = "{path} uses opset {what}, which is older than 9. Convert it with onnx.version_converter first."
            return OpenError("onnx.opset", template, path=str(path), what=error.what, node=error.node)
        case "custom":
            template = (
                "{path} uses operators beyond the ONNX standard: {what}. Export the model without optimisations of a "
                "runtime, or open the model's Python class."
            )
            return OpenError("onnx.custom", template, path=str(path), what=error.what, node=error.node)
        case "made":
            template = (
                "{path} describes far more data than it holds ({what}, node {node!r}). Get it from another source."
            )
            return OpenError("onnx.made", template, path=str(path), what=error.what, node=error.node)
        case "operator":
            template = (
                "{path} uses operators that Secateur does not know: {what}. Open the model's Python class instead."
            )
            return OpenError("onnx.operator", template, path=str(path), what=error.what, node=error.node)
        case _:
            template = "{path} has a part that Secateur cannot run: {what}. Open the model's Python class instead."
            return OpenError("onnx.part", template, path=str(path), what=error.what, node=error.node)


def _example_inputs(graph: "Graph", asked: tuple[InputSpec, ...]) -> Inputs:
    """Example inputs of the shapes in the file, or of those that were asked for; by name where they are several."""
    import torch

    from ..runtime.onnx_module import as_identifier, example_shape

    generator = torch.Generator().manual_seed(0)
    found = dict[str, Any]()
    by_name = {given.name: given.shape for given in asked if given.name}
    by_place = {place: given.shape for place, given in enumerate(asked) if not given.name}
    for place, one in enumerate(graph.inputs):
        name = as_identifier(one.name)
        wanted = by_name.get(name, by_place.get(place, ()))
        shape = (BATCH, *wanted[1:]) if len(wanted) == len(one.dims) else example_shape(one, BATCH)
        dtype = cast("torch.dtype", getattr(torch, one.dtype))
        if dtype.is_floating_point:
            found[name] = torch.randn(shape, generator=generator)
        elif dtype is torch.bool or "mask" in one.name.lower():
            found[name] = torch.ones(shape, dtype=dtype)
        else:
            found[name] = torch.randint(0, _count_values(one.name, graph), shape, generator=generator).to(dtype)
    return tuple(found.values()) if len(found) == 1 and graph.inputs[0].dtype == "float32" else found


def _count_values(name: str, graph: "Graph") -> int:
    """How many values an input of whole numbers may have; 2 where nothing says it.

    So many as the rows of the table that it reads, or the classes of the one-hot code that it becomes, through casts
    and changes of shape too.
    """
    names: set[str] = {name}
    known: dict[str, Any] = {**graph.sizes, **graph.buffers, **graph.weights}
    for step in graph.steps:
        reads = [one in names for one in step.inputs]
        if step.operator in MOVES and reads[0]:
            names.update(step.outputs)
        elif step.operator == "Gather" and reads[1] and step.inputs[0] in known and not step.attributes.get("axis", 0):
            return int(known[step.inputs[0]].shape[0])
        elif step.operator == "OneHot" and reads[0] and step.inputs[1] in known:
            return int(known[step.inputs[1]].flatten()[0])
        elif step.operator == "Equal" and any(reads):
            for classes in (known[one].flatten().tolist() for one in step.inputs if one in known):
                if len(classes) > 1 and classes == [*range(len(classes))]:
                    return len(classes)
    return 2


def _remarks(path: Path, proto: "onnx.ModelProto") -> Iterator[Message]:
    """What a user should know of the file."""
    import onnx

    operators = {node.op_type for node in proto.graph.node}
    if "Conv" in operators and "BatchNormalization" not in operators:
        template = (
            "{name} has no BatchNorm layers, as most exporters fold them into the convolutions. For criteria that read "
            "BatchNorm scales, open the model's Python class."
        )
        yield Message("onnx.folded", template, {"name": path.name})
    floats = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE}
    if any(one.data_type in floats for one in proto.graph.initializer):
        template = "{name} is not in float32. It computes in float32 here; an export has the file's own types again."
        yield Message("onnx.float32", template, {"name": path.name})


def _check_runs(path: Path, model: "OnnxModule", inputs: Inputs, graph: "Graph") -> None:
    """Raise OpenError where the graph does not run, or where samples of a batch do not stay apart."""
    import torch

    from ..runtime.onnx_module import UnsupportedGraph

    try:
        with torch.no_grad():
            found = _outputs(call(model, inputs))
            singles = [_outputs(call(model, _sample(inputs, n))) for n in range(BATCH)] if graph.batch else []
    except UnsupportedGraph as error:
        raise refused(path, error) from error
    except Exception as error:
        template = (
            "{path} does not run on example inputs of {shapes}: {error}. Enter an input shape that the model takes."
        )
        shapes = ", ".join("x".join(map(str, one.shape)) for one in _given(inputs))
        text = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise OpenError("onnx.run", template, path=str(path), shapes=shapes, error=text) from error
    for number, whole in enumerate(found if singles else ()):
        parts = [one[number] for one in singles]
        joined = torch.cat(parts) if whole.ndim and sum(len(one) for one in parts) == len(whole) else None
        if joined is None or _apart(joined.numpy(), whole.numpy()) > APART:
            template = "{path} works at batch {batch} only. Export it with a free batch size (dynamic axes)."
            raise OpenError("onnx.batch", template, path=str(path), batch=graph.batch)


def _given(inputs: Inputs) -> list[Any]:
    return list(inputs.values()) if not isinstance(inputs, tuple) else list(inputs)


def _sample(inputs: Inputs, n: int) -> Inputs:
    if isinstance(inputs, tuple):
        return tuple(one[n : n + 1] for one in inputs)
    return {name: one[n : n + 1] for name, one in inputs.items()}


def _outputs(found: Any) -> list[Any]:
    several: dict[str, Any] = cast("dict[str, Any]", found) if isinstance(found, dict) else {"": found}
    return [one.detach() for one in several.values()]


def _apart(a: Any, b: Any) -> float:
    """max|a - b| / max|a|."""
    import numpy as np

    if a.shape != b.shape:
        return math.inf
    if not a.size or np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return 0.0
    gap, size = float(np.abs(a.astype(float) - b).max()), float(np.abs(a.astype(float)).max())
    return gap / size if size and math.isfinite(gap) else math.inf


def _parity(path: Path, model: "OnnxModule", inputs: Inputs, batch: int, program: Any) -> Message:
    """How far the module is from ONNX Runtime, or from `program`; raises OpenError where that is another function."""
    import numpy as np
    import torch
    from torch.utils._pytree import tree_leaves

    rows = [one[np.arange(batch) % BATCH] if batch else one for one in _given(inputs)]
    whose: Phrase = "ONNX Runtime" if program is None else Message("onnx.program", "the program in the file")
    try:
        if program is None:
            expected = _run_onnxruntime(path, rows)
        else:
            with torch.no_grad():
                expected = [one.numpy() for one in tree_leaves(program(*rows)) if isinstance(one, torch.Tensor)]
    except Exception as error:  # whatever a runtime of others says of a file
        template = "Not compared with {whose}, which cannot run the file: {error}"
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Message("onnx.no_parity", template, {"whose": whose, "error": text})
    with torch.no_grad():
        found = _outputs(model(*rows))
    difference = max(_apart(a, b.numpy()) for a, b in zip(expected, found, strict=True))
    if difference > APART:
        template = (
            "{path} gives other outputs here than in {whose} (difference {difference}), so it was not opened. Report "
            "this file, or open the model's Python class."
        )
        raise OpenError("onnx.differs", template, path=str(path), whose=whose, difference=f"{difference:.0e}")
    template = "Compared with {whose} on the same inputs: largest difference {difference}."
    return Message("onnx.parity", template, {"whose": whose, "difference": f"{difference:.0e}"})


def _run_onnxruntime(path: Path, rows: list[Any]) -> list[Any]:
    import numpy as np
    import onnxruntime

    library: Any = onnxruntime
    options = library.SessionOptions()
    options.log_severity_level = 4
    session = library.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = {one.name: NUMPY.get(one.type, "float32") for one in session.get_inputs()}
    feed = {name: row.numpy().astype(kind) for (name, kind), row in zip(kinds.items(), rows, strict=True)}
    return [np.asarray(one) for one in session.run(None, feed)]


NUMPY = {"tensor(float16)": "float16", "tensor(double)": "float64", "tensor(int64)": "int64", "tensor(int32)": "int32",
         "tensor(bool)": "bool", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}  # fmt: skip
"""Types of inputs as ONNX Runtime calls them."""

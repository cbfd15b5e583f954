"""What exporters share that go by torch's own: free dimensions, a flat model, paths of outputs, errors in a line.

A file has flat lists of inputs and outputs. `FlatModel` and `output_paths` take a model apart into these;
`output_from_paths` gives what a file computes the structure of the model's output again.
"""

import contextlib
import inspect
import logging
import re
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from ..errors import ExportError
from ..inference.model_inputs import Inputs, batch_size, call
from ..tracing.model_state import model_state_restored
from ..tracing.tree import copied_inputs, exported_outputs

TRACED_BATCH = 2
"""Batch size of a trace whose batch is free; 1 would be frozen into the graph."""
LOGGERS = (
    "torch.onnx", "torch.export", "torch.fx", "torch.utils._pytree", "onnx_ir", "onnxscript", "torchao", "executorch",
    "gguf",
)  # fmt: skip
"""Loggers of torch's exporters and of other libraries that write files."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LARGEST_ONNX = 2**31 - 2**20
"""Bytes that one ONNX file can hold: it is a protobuf."""
FALLBACK = "transformers.grouped_mm_fallback.default"
"""The operator of transformers; its arguments are those of torch's own, `aten._grouped_mm`."""


def free_batch(model: nn.Module, inputs: Inputs) -> Any:
    """Dynamic shapes in which the first dimension of every input that has the batch is free."""
    batch, given = torch.export.Dim("batch", min=1), batch_size(inputs)

    def shape(one: Any) -> Any:
        if not isinstance(one, Tensor):
            return None
        return {0: batch} if one.ndim and len(one) == given else {}

    shapes = tree_map(shape, inputs)
    parameters = inspect.signature(model.forward).parameters.values()
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    named = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    # torch.export takes the shapes of variadic arguments, as `FlatModel` has them, as one tuple.
    if isinstance(inputs, Mapping) or not variadic or len(inputs) <= named:
        return shapes
    return (*shapes[:named], shapes[named:])


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Silence the libraries that write files: their remarks on their own workings are of no use to a person."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [one.level for one in loggers]
    try:
        for one in loggers:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def first_line(error: Exception) -> str:
    """The first line of what caused an error."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__


def plain(error: Exception) -> str:
    """All of an error's text without the colours of a terminal."""
    return _COLOUR.sub("", str(error))


class FlatModel(nn.Module):
    """A model that takes its tensors one by one and gives them so; what else it is given is as it is now."""

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        """Wrap a model that is called with `inputs`."""
        super().__init__()
        self.model = model
        leaves, self.layout = tree_flatten(inputs)
        self.others = [None if isinstance(leaf, Tensor) else (leaf,) for leaf in leaves]

    def forward(self, *tensors: Tensor) -> list[Tensor]:
        """The model's outputs in the order of `output_paths`."""
        given = iter(tensors)
        leaves: list[Any] = [next(given) if other is None else other[0] for other in self.others]
        return [one.tensor for one in exported_outputs(call(self.model, tree_unflatten(leaves, self.layout)))]


def output_paths(model: nn.Module, inputs: Inputs) -> list[str]:
    """Paths of the tensors in the model's output. Sizes that it remembers of this run are forgotten."""
    try:
        with torch.no_grad(), model_state_restored(model):
            return [one.path for one in exported_outputs(call(model, copied_inputs(inputs)))]
    except Exception as error:
        raise ExportError(
            "export.example", "The model does not run on its example inputs: {error}", error=first_line(error)
        ) from error


class NamedOutputs(tuple[Any, ...]):
    """Named outputs: `out.logits`, `out["logits"]` and `out[0]` are the same, as in a dict or a dataclass."""

    _names: tuple[str, ...]

    def __new__(cls, parts: Mapping[str, Any]) -> "NamedOutputs":
        """Take the parts in order."""
        made = super().__new__(cls, parts.values())
        made._names = tuple(parts)
        return made

    def __getnewargs__(self) -> tuple[dict[str, Any]]:
        """Allow copies and pickles."""
        return (dict(zip(self._names, self, strict=True)),)

    def __getitem__(self, key: Any) -> Any:
        """A part by its name or number."""
        if isinstance(key, str):
            if key not in self._names:
                raise KeyError(key)
            return self[self._names.index(key)]
        return super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:
        """A part by its name; AttributeError where there is none."""
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"the file has no output {name!r}; it has {', '.join(self._names)}")
        return self[name]


def output_from_paths(parts: Sequence[tuple[str, Any]]) -> Any:
    """A nested result from the paths of its tensors, as `tracing.tree.exported_outputs` gives them."""
    if [path for path, _ in parts] == [""]:
        return parts[0][1]
    below: dict[str, list[tuple[str, Any]]] = {}
    for path, tensor in parts:
        first, _, rest = path.partition(".")
        below.setdefault(first, []).append((rest, tensor))
    made = {name: output_from_paths(one) for name, one in below.items()}
    if not all(name.isdigit() for name in made):
        return NamedOutputs(made)
    return tuple(made.get(str(number)) for number in range(1 + max(map(int, made))))


def too_large() -> ExportError:
    """The error for a model that one ONNX file cannot hold."""
    template = (
        "The model has more than 2 GB of weights, which is the limit of one ONNX file. Export to a PyTorch folder."
    )
    return ExportError("export.too_large", template)


def bytes_in_float32(model: nn.Module) -> int:
    """Size of all weights in a file that computes in float32 whatever the model does; tied weights count once."""
    tensors = {id(one): one for one in (*model.parameters(), *model.buffers())}.values()
    return sum(4 * one.numel() if one.is_floating_point() else one.numel() * one.element_size() for one in tensors)


# Products of rows with the weights of their experts (grouped matrix products). transformers computes them by its own
# operator where it is traced: a program would not load without that library, and torch has no ONNX form for it, nor for
# torch's operator.


def graph_nodes(program: ExportedProgram) -> Iterator[torch.fx.Node]:
    """All nodes of a program, with those in the bodies of its branches and loops."""
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            yield from part.graph.nodes


def use_torch_operator(program: ExportedProgram) -> None:
    """Have a program compute these products by torch's own operator."""
    for node in graph_nodes(program):
        if str(node.target) == FALLBACK:
            node.target = torch.ops.aten._grouped_mm.default


def has_grouped_products(program: ExportedProgram) -> bool:
    """Whether a program computes such products."""
    return any(str(node.target) == FALLBACK for node in graph_nodes(program))


def onnx_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """By operator, what writes it as ONNX: `custom_translation_table` of `torch.onnx.export`."""
    found: dict[Callable[..., Any], Callable[..., Any]] = {torch.ops.aten._grouped_mm.default: _product_by_expert}
    operators: Any = torch.ops.transformers
    if hasattr(operators, "grouped_mm_fallback"):  # the library is loaded
        found[operators.grouped_mm_fallback.default] = _product_by_expert
    return found


def _product_by_expert(rows: Any, weights: Any, offs: Any, bias: Any = None, out_dtype: Any = None) -> Any:
    """Rows [s, k], sorted by expert, times the expert's own [k, n] of [e, k, n]; `offs` [e] says where each ends.

    One MatMul for each expert, of its rows alone. Raises NotImplementedError for a bias, which torch itself does not
    take yet, and for products without ends.
    """
    if bias is not None or offs is None:
        raise NotImplementedError("products of experts with a bias, or without ends")
    op: Any = import_module("onnxscript").opset18  # imported here: programs need no ONNX
    count, zero = weights.shape[0], op.Constant(value_ints=[0])
    ends = op.Split(op.Cast(offs, to=7), axis=0, num_outputs=count) if count > 1 else [op.Cast(offs, to=7)]
    found: list[Any] = []
    start = zero
    for expert, end in enumerate(ends):
        weight = op.Gather(weights, op.Constant(value_int=expert), axis=0)
        found.append(op.MatMul(op.Slice(rows, start, end, zero), weight))
        start = end
    return op.Concat(*found, axis=0)

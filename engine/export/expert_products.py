"""Products of rows with the weights of their experts (grouped matrix products) in files that torch's exporters write.

transformers computes them by an operator of its own where it is traced: a program would not load without that library,
and torch has no ONNX form for it, nor for its own operator.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch.export import ExportedProgram

FALLBACK = "transformers.grouped_mm_fallback.default"
"""The operator of transformers; its arguments are those of torch's own, `aten._grouped_mm`."""


def use_torch_operator(program: ExportedProgram) -> None:
    """Have a program compute these products by torch's own operator."""
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                if str(node.target) == FALLBACK:
                    node.target = torch.ops.aten._grouped_mm.default


def has_grouped_products(program: ExportedProgram) -> bool:
    """Whether a program computes such products."""
    graphs = (one for one in program.graph_module.modules() if isinstance(one, torch.fx.GraphModule))
    return any(str(node.target) == FALLBACK for one in graphs for node in one.graph.nodes)


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

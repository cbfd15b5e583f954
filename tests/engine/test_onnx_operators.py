"""Each operator of ONNX that is run here, on the cases of the standard itself."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from secateur.engine.runtime.onnx_module import OLDEST, OPERATORS, OnnxModule, UnsupportedGraph, graph_of

OTHERWISE = (
    "test_training_dropout",  # what is random is off, as a graph is opened for evaluation
    "test_top_k_same_values",  # the order of equal values
    "test_reduce_max_empty_set",
    "test_reduce_min_empty_set",
    "test_gather_negative_indices",
    "test_onehot_out_of_range_indices",
    "_bf16",  # which computes in float32
)
"""Cases that differ or raise."""
LEAST = 750
"""Cases that are run at least."""


@pytest.mark.slow
def test_operators_compute_what_the_standard_says() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases: list[Any] = collect_testcases(None)  # type: ignore[arg-type]
    known = [
        case
        for case in cases
        if all(node.op_type in OPERATORS for node in case.model.graph.node)
        and case.model.opset_import[0].version >= OLDEST
        and not any(part in case.name for part in OTHERWISE)
    ]
    results = {case.name: computed(case) for case in known}
    assert [name for name, result in results.items() if result is False] == []
    assert sum(result is True for result in results.values()) >= LEAST


def computed(case: Any) -> bool | None:
    """Whether a case gives what it should; None where its form is refused."""
    inputs, outputs = case.data_sets[0]
    try:
        model = OnnxModule(replace(graph_of(case.model), batch=0)).eval()
        given = [tensor(np.asarray(one)) for one in inputs]
        with torch.no_grad():
            found = model(*given)
    except UnsupportedGraph:
        return None
    several = list(found.values()) if isinstance(found, dict) else [found]
    return all(close(np.asarray(a), b.numpy()) for a, b in zip(outputs, several, strict=False))


def tensor(value: np.ndarray[Any, Any]) -> torch.Tensor:
    """An input; floats are float32."""
    if value.dtype.kind in "OUS":
        raise UnsupportedGraph("form", "strings")
    floating = value.dtype.kind == "f" or "float" in value.dtype.name
    return torch.from_numpy(np.array(value.astype(np.float32) if floating else value))


def close(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Equal to the digits that the type has."""
    fine = 1e-4 if a.dtype == np.float32 else 2e-3
    return a.shape == b.shape and np.allclose(a.astype(float), b.astype(float), rtol=1e-3, atol=fine, equal_nan=True)

"""Twenty architectures of transformers: opened by their folder alone, cut uniformly, loaded by the stock library."""

import pytest

from ...benchmarks.hugging_face import KEEP, NAMES, cell

SCALED = ("Gemma2ForCausalLM", "T5ForConditionalGeneration")
"""Classes that compute a factor from the width, which goes into the weights."""


@pytest.mark.matrix
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES.split())
def test_a_uniform_plan_loads_in_the_stock_library_with_the_same_outputs(name: str) -> None:
    found = cell(name)
    assert found["kept"] <= KEEP
    assert found["difference"] <= (1e-6 if name in SCALED else 0.0)
    assert found["generate"] in (True, None)

"""A verification refuses every broken cut model and every broken cutter of `mutants.py`, and nothing that is right."""

import pytest
import torch

from .mutants import (
    CONDITIONS,
    CUTTERS,
    HARMLESS,
    MODELS,
    MUTANTS,
    broken_model,
    finding,
    prepared,
    refused_cut,
)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in CONDITIONS])
def test_a_right_cut_holds_the_slices_of_its_original(name: str) -> None:
    right = prepared(name)
    found = right.tensors(right.copied())
    assert found.passed, found.detail


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_cut_is_refused(name: str) -> None:
    right, model = broken_model(name)
    # All other comparisons run only where tensors, attributes and hooks are as they should be.
    assert not right.tensors(model).passed or finding(right.verified(model))


@pytest.mark.parametrize("name", CUTTERS)
def test_a_broken_cutter_is_refused(name: str) -> None:
    assert refused_cut(name)


@pytest.mark.parametrize("name", ["zeros for a block", "a second cut in the original's numbers"])
def test_the_cutter_as_it_is_is_not_refused(name: str) -> None:
    assert not refused_cut(name, broken=False)


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_called_harmless_computes_the_same(name: str) -> None:
    right, model = broken_model(name)
    assert not finding(right.verified(model))
    with torch.no_grad():
        assert torch.allclose(model(*right.inputs), right.made.model(*right.inputs), atol=1e-6)

"""The hand-written analysis describes the network that it claims to describe."""

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from secateur.engine.structures.analysis import Kind, Mask
from secateur.engine.structures.costs import costs

from .builders import tiny_analysis, tiny_cut, tiny_net


def _half_of_everything() -> Mask:
    analysis = tiny_analysis()
    removed = analysis.empty()
    for one in analysis.sets:
        if one.kind is not Kind.BLOCK:
            removed[one.first : one.first + one.count // 2] = True
    return removed


def test_tensors_are_those_of_the_network_in_its_order() -> None:
    state = tiny_net().state_dict()
    assert [(t.name, t.shape) for t in tiny_analysis().tensors] == [(n, tuple(v.shape)) for n, v in state.items()]


def test_costs_agree_with_the_flop_counter_before_and_after_a_cut() -> None:
    analysis = tiny_analysis()
    for removed in (analysis.empty(), _half_of_everything()):
        net = tiny_cut(tiny_net(), analysis, removed)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.zeros(1, 1, 8, 8))
        counted = costs(analysis, removed)
        assert counted.macs == counter.get_total_flops() // 2
        assert counted.parameters == sum(p.numel() for p in net.parameters())


def test_modules_are_those_of_the_network_in_definition_order() -> None:
    named = [(path, type(module).__name__) for path, module in tiny_net().named_modules()]
    assert [(m.path, m.type_name) for m in tiny_analysis().modules] == named


def test_sets_cover_all_structures_without_overlap() -> None:
    analysis = tiny_analysis()
    covered = np.concatenate([np.arange(s.first, s.first + s.count) for s in analysis.sets])
    assert covered.tolist() == list(range(analysis.count)) == list(range(len(analysis.member_start) - 1))


def test_a_block_takes_its_tensors_and_operators() -> None:
    analysis = tiny_analysis()
    removed = analysis.empty()
    block = next(s for s in analysis.sets if s.name == "layer1.1")
    removed[block.structures] = True
    held = sum(p.numel() for n, p in tiny_net().named_parameters() if n.startswith("layer1.1."))
    assert costs(analysis).parameters - costs(analysis, removed).parameters == held

"""The layer graph of a run: which layers feed which, compared with the networks as they are written down here."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from secateur.engine import analyse
from secateur.engine.session.structures_file import analysis_from_json, analysis_to_json
from secateur.engine.structures.analysis import Analysis
from secateur.engine.structures.layer_graph import NodeKind


def edges(analysis: Analysis) -> set[tuple[str, str]]:
    """Edges by name: the path of a layer, "operator@module" of a join."""
    graph = analysis.graph
    names = [
        kind.value if kind in (NodeKind.INPUT, NodeKind.OUTPUT) else f"{op}@{path}" if op else path
        for kind, path, op in zip(graph.kind, graph.module, graph.op)
    ]
    return {(names[a], names[b]) for a, b in graph.edges}


class Residual(nn.Module):
    """A stem, a residual branch added in place, two branches side by side, and a gate."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.branch = nn.Conv2d(4, 4, 3, padding=1)
        self.left, self.right = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 3, 1)
        self.gate, self.fc = nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        x += self.branch(x)
        x = torch.cat([self.left(x), self.right(x)], 1).mean((2, 3))
        return self.fc(x * self.gate(x).sigmoid())


def test_norms_and_activations_are_edges_and_streams_meet_in_joins() -> None:
    found = edges(analyse(Residual().eval(), (torch.randn(2, 3, 5, 5),)))
    assert found == {
        ("input", "stem"), ("stem", "branch"), ("stem", "add@"), ("branch", "add@"), ("add@", "left"),
        ("add@", "right"), ("left", "cat@"), ("right", "cat@"), ("cat@", "gate"), ("cat@", "mul@"), ("gate", "mul@"),
        ("mul@", "fc"), ("fc", "output"),
    }  # fmt: skip


class Attention(nn.Module):
    """Attention of four layers, and a mask of whole numbers."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(7, 6)
        self.q, self.k, self.v, self.out = (nn.Linear(6, 6) for _ in range(4))

    def forward(self, ids, mask):
        x = self.words(ids)
        weights = self.q(x) @ self.k(x).mT + (1.0 - mask[:, None].float()) * -1e4
        x = x + self.out(weights.softmax(-1) @ self.v(x))
        return F.linear(x, self.words.weight)


def test_both_products_of_an_attention_are_one_node_and_a_mask_is_no_stream() -> None:
    ids, mask = torch.randint(0, 7, (2, 5)), torch.ones(2, 5, dtype=torch.int64)
    found = edges(analyse(Attention().eval(), (ids, mask)))
    assert found == {
        ("input", "words"), ("words", "q"), ("words", "k"), ("words", "v"), ("q", "matmul@"), ("k", "matmul@"),
        ("v", "matmul@"), ("matmul@", "out"), ("out", "add@"), ("words", "add@"), ("add@", ""), ("", "output"),
    }  # fmt: skip


class Recurrent(nn.Module):
    """A cell in a loop of Python, whose results are written into one tensor."""

    def __init__(self):
        super().__init__()
        self.into, self.again, self.fc = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        state, kept = x.new_zeros(len(x), 4), x.new_zeros(len(x), x.shape[1], 4)
        for step in range(x.shape[1]):
            state = (self.into(x[:, step]) + self.again(state)).tanh()
            kept[:, step] = state
        return self.fc(kept)


def test_a_loop_makes_each_join_once_and_leads_back() -> None:
    found = edges(analyse(Recurrent().eval(), (torch.randn(2, 6, 3),)))
    assert ("into", "add@") in found and ("again", "add@") in found and ("add@", "again") in found
    assert ("add@", "fc") in found and ("fc", "output") in found
    assert len(found) <= 7


@pytest.mark.parametrize("heads", [1, 2])
def test_a_module_that_multiplies_by_its_own_parameters_is_one_layer_whatever_lies_in_it(heads: int) -> None:
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.fc = nn.MultiheadAttention(8, heads, batch_first=True), nn.Linear(8, 8)

        def forward(self, x):
            return self.fc(x + self.attention(x, x, x)[0])

    found = edges(analyse(Block().eval(), (torch.randn(2, 3, 8),)))
    assert found == {
        ("input", "attention"), ("attention", "add@"), ("input", "add@"), ("add@", "fc"), ("fc", "output"),
    }  # fmt: skip


def test_the_graph_goes_along_into_a_project() -> None:
    analysis = analyse(Residual().eval(), (torch.randn(2, 3, 5, 5),))
    read = analysis_from_json(analysis_to_json(analysis)).graph
    assert (read.kind, read.module, read.op) == (analysis.graph.kind, analysis.graph.module, analysis.graph.op)
    assert np.array_equal(read.edges, analysis.graph.edges)

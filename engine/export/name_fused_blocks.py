"""Renames the nodes of an ONNX graph so that fused blocks can be found in a runtime's profile.

A runtime calls a fused block after one of the nodes in it or after their last result, as it likes. Nodes that most
runtimes fuse with the one before share a name here, "block12" with a number behind it. The number says which operator
of its kind in its module a block begins with, so a block has the same name in every cut model of a network, also where
the exporter writes other nodes for some widths (it reshapes a single head once more).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx

from ..targets.latency_table import block_name, block_of

FOLLOWING = frozenset(
    {"Add", "BatchNormalization", "Clip", "Div", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mul"}
    | {"PRelu", "Relu", "Sigmoid", "Softplus", "Sub", "Tanh"}
)
"""Operators that a block goes on with: what they take is made by one node and used by them alone."""


def name_blocks(path: Path) -> None:
    """Rename nodes and their results in a file; its inputs and weights keep their names."""
    model = onnx.load(str(path))
    graph = model.graph
    uses = Counter(_reads(graph))
    block, renamed, sizes = dict[str, int](), dict[str, str](), Counter[int]()
    seen = Counter[tuple[str, str]]()
    for node, home in zip(graph.node, _homes(model), strict=True):
        kind = (home, node.op_type)
        text = json.dumps([*kind, seen[kind]])  # which one of its operator and module it is
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
        seen[kind] += 1
        before = next((name for name in node.input if name in block and uses[name] == 1), "")
        own = block[before] if before and node.op_type in FOLLOWING else number
        node.name = block_name(own, sizes[own])
        for place, name in enumerate(node.output):
            block[name] = own
            renamed[name] = f"{node.name}.{place}" if name else ""
        sizes[own] += 1
    for node in graph.node:
        node.output[:] = [renamed[name] for name in node.output]
    _rename_inputs(graph, renamed)
    del graph.value_info[:]
    onnx.save(model, str(path))


def node_modules(path: Path) -> dict[str, str]:
    """The module that each block of a file belongs to, that of its first node; {} where the file does not say."""
    model, found = onnx.load(str(path), load_external_data=False), dict[str, str]()
    for node, home in zip(model.graph.node, _homes(model), strict=True):
        found.setdefault(block_of(node.name), home)
    return found if any(found.values()) else {}


def _homes(model: onnx.ModelProto) -> list[str]:
    """The module of each node, "" where the file does not say."""
    homes = next((one.value for one in model.metadata_props if one.key == "homes"), None)
    return [""] * len(model.graph.node) if homes is None else json.loads(homes)


def _rename_inputs(graph: onnx.GraphProto, renamed: Mapping[str, str]) -> None:
    """Rename what is read, also in the bodies of branches and loops: those may read results of the graph around."""
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        for body in _bodies(node):
            _rename_inputs(body, renamed)
    for one in graph.output:
        one.name = renamed.get(one.name, one.name)


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [body for one in node.attribute for body in ([one.g] if one.HasField("g") else list(one.graphs))]


def _reads(graph: onnx.GraphProto) -> Iterator[str]:
    """Every name that is read, with those in bodies."""
    for node in graph.node:
        yield from node.input
        for body in _bodies(node):
            yield from _reads(body)
    yield from (one.name for one in graph.output)

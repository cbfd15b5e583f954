"""Torch-Pruning on the same model: half of everything by the L1 norm, output layers left out as its manual asks.

`python -m tests.benchmarks.breadth.torch_pruning_cell SET NAME`
"""
# pyright: reportMissingImports=false, reportMissingModuleSource=false

import json
import sys
import time
from importlib import import_module
from typing import Any, cast

import torch
from torch import nn

from secateur.engine.tracing.tree import call, named_tensors

from .subject import Subject


def pruned(subject: Subject) -> dict[str, Any]:
    """What is left of the parameters, and whether the model still runs and answers with the same shapes."""
    import torch_pruning

    torch.manual_seed(0)
    model, inputs = subject.make().eval(), subject.inputs()
    with torch.no_grad():
        before = [(path, t.shape) for path, t in named_tensors(call(model, inputs))]
    total = sum(p.numel() for p in model.parameters())
    start = time.perf_counter()
    pruner = torch_pruning.pruner.BasePruner(
        model,
        cast("Any", inputs),
        importance=torch_pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=0.5,
        ignored_layers=outputs(model, [shape for _, shape in before]),
        num_heads=heads(model),
    )
    pruner.step()
    seconds = time.perf_counter() - start
    by_hand(model, pruner.num_heads)
    with torch.no_grad():
        after = [(path, t.shape) for path, t in named_tensors(call(model, inputs))]
    if before != after:
        raise ValueError("the outputs have other shapes than before")
    return {"removed": 1 - sum(p.numel() for p in model.parameters()) / total, "seconds": round(seconds, 3)}


def heads(model: nn.Module) -> dict[nn.Module, int]:
    """How many heads the layers of attention have, as its manual asks."""
    found: dict[nn.Module, int] = {}
    for module in model.modules():
        count = getattr(module, "num_heads", None)
        if isinstance(module, nn.MultiheadAttention):
            found[module] = module.num_heads
        elif isinstance(count, int) and isinstance(layer := getattr(module, "qkv", None), nn.Linear):
            found[layer] = count
    return found


def by_hand(model: nn.Module, left: dict[nn.Module, int]) -> None:
    """What its examples for vision transformers set after a cut."""
    if hasattr(model, "hidden_dim") and hasattr(model, "conv_proj"):  # torchvision's
        cast("Any", model).hidden_dim = cast("Any", model).conv_proj.out_channels
    for module in cast("list[Any]", list(model.modules())):  # timm's
        layer = getattr(module, "qkv", None)
        if layer in left and hasattr(module, "head_dim"):
            module.num_heads = left[layer]
            module.head_dim = layer.out_features // (3 * module.num_heads)
            module.attn_dim = module.num_heads * module.head_dim


def outputs(model: nn.Module, shapes: list[torch.Size]) -> list[nn.Module]:
    """Layers that make an output: those whose width is the size of an output's channel axis, the last of each width."""
    widths = {shape[dim] for shape in shapes for dim in (1, -1) if len(shape) > 1}
    found: dict[int, nn.Module] = {}
    for module in model.modules():
        made = getattr(module, "out_features", getattr(module, "out_channels", None))
        if made in widths and isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            found[made] = module
    return list(found.values())


def main() -> None:
    """Print the result as JSON."""
    torch.set_num_threads(1)
    own, name = sys.argv[1:3]
    try:
        result = pruned(import_module(f".{own}", __package__).subject(name))
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"}
    print("\n" + json.dumps({"set": own, "name": name} | result))


if __name__ == "__main__":
    main()

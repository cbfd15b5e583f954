"""What `speed.py` measures, a cell in a process of its own: each gives its results so far, the last one counts."""
# pyright: reportMissingImports=false

import copy
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

ROUNDS, SLOW = 5, 20.0
"""Interleaved runs after one that warms both, and seconds after which no further one begins."""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds, result)."""
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def halves(analysis: Any) -> Any:
    """Half of every coupled set; blocks stay."""
    from secateur.engine.planning.count_balance import balanced

    mask = analysis.empty()
    for one in analysis.sets:
        if one.dim >= 0:
            mask[one.first : one.first + one.count // 2] = True
    return balanced(analysis, mask)


def ours(model: Any, inputs: Any) -> Any:
    """(analysis, mask, cut) of half of everything."""
    from secateur.engine.structures.analyse import analyse
    from secateur.engine.surgery.cut.cut import cut

    analysis = analyse(model, inputs)
    mask = halves(analysis)
    return analysis, mask, cut(model, analysis, mask, inputs)


def theirs(model: Any, example: Any) -> Any:
    """Torch-Pruning: build the graph, remove half of everything but the output layer; the model is changed in place."""
    import torch_pruning as tp
    from torch import nn

    last = [m for m in model.modules() if getattr(m, "out_features", getattr(m, "out_channels", 0)) == 1000]
    pruner = tp.pruner.BasePruner(
        model,
        example,
        importance=tp.importance.RandomImportance(),
        pruning_ratio=0.5,
        ignored_layers=last,
        num_heads={m: m.num_heads for m in model.modules() if isinstance(m, nn.MultiheadAttention)},
    )
    pruner.step()
    return model


def torchvision_cell(name: str, verified: bool) -> Iterator[dict[str, Any]]:
    """One model of torchvision: first the comparison, then verification."""
    import torch
    import torchvision

    from secateur.engine.jobs import finish
    from secateur.engine.surgery.verify.verify import verify

    size = 299 if name == "inception_v3" else 224
    image = torch.randn(2, 3, size, size)
    torch.manual_seed(0)
    extra = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, **extra).eval()
    with torch.no_grad():
        forward, _ = timed(lambda: model(image))
    clone, _ = timed(lambda: [t.clone() for t in model.state_dict().values()])
    result: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters()), "floor": forward + clone}
    mine: list[float] = []
    other: list[float] = []
    begin = time.perf_counter()
    error, cutting = "", None
    while len(mine) < 2 or (len(mine) <= ROUNDS and time.perf_counter() - begin < SLOW):
        seconds, cutting = timed(lambda: ours(model, (image,)))
        mine.append(seconds)
        yield result | {"ours": mine[1:] or mine, "theirs": other[1:] or other}  # theirs may not end
        if not error:
            try:
                seconds, pruned = timed(partial(theirs, copy.deepcopy(model), image))
                with torch.no_grad():
                    pruned(image)
                other.append(seconds)
            except Exception as failure:
                error = f"{type(failure).__name__}: {failure}"[:200]
        # The first round warms both.
        result |= {"ours": mine[1:] or mine, "theirs": [] if error else other[1:] or other, "error": error}
        yield result
    assert cutting is not None
    if not verified:
        return
    analysis, mask, made = cutting
    seconds, done = timed(
        lambda: finish(verify(model, made.model, analysis, mask, (image,), factors=made.factors, edits=made.edits))
    )
    yield result | {"verification": seconds, "verified": done.passed}


def memory(field: str) -> float:
    """A figure of this process in GB ("VmRSS", "VmHWM")."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1e6


def llama_cell(_: str, _verified: bool) -> Iterator[dict[str, Any]]:
    """Llama-2-7B's shape on meta: analysis, memory above the imports, costs of plans."""
    import numpy as np
    import torch
    import transformers

    from secateur.engine.structures.analyse import analyse
    from secateur.engine.structures.costs import costs

    def make(**sizes: Any) -> Any:
        with torch.device("meta"):
            return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)).eval()

    inputs = {"input_ids": torch.randint(0, 32, (2, 64)), "use_cache": False}
    tiny = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 1, "intermediate_size": 48}
    analyse(make(vocab_size=32, **tiny), inputs)
    before = memory("VmRSS")
    model = make(
        hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, intermediate_size=11008, vocab_size=32000
    )
    seconds: list[float] = []
    analysis: Any = None
    for _round in range(3):
        one, analysis = timed(lambda: analyse(model, inputs))
        seconds.append(one)
    rng = np.random.default_rng(0)
    counted: list[float] = []
    for _round in range(20):
        mask = rng.random(analysis.count) < rng.random()
        counted.append(timed(lambda mask=mask: costs(analysis, mask))[0])
    yield {
        "structures": analysis.count,
        "ours": seconds,
        "GB": memory("VmHWM") - before,
        "costs ms": 1e3 * median(counted),
        "parameters": costs(analysis).parameters,
    }


def depth_cell(depth: str, _verified: bool) -> Iterator[dict[str, Any]]:
    """A ResNet of basic blocks in the CIFAR style: seconds against operators."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from secateur.engine.tracing.recorder import record

    class Block(nn.Module):
        def __init__(self, into: int, out: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(into, out, 3, 1 if into == out else 2, 1, bias=False)
            self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
            self.shortcut = nn.Identity() if into == out else nn.Conv2d(into, out, 1, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(y + self.shortcut(x))

    blocks = (int(depth) - 2) // 2
    widths = [16 if 3 * n < blocks else 32 if 3 * n < 2 * blocks else 64 for n in range(blocks)]
    layers = [Block(a, b) for a, b in zip([16, *widths], widths, strict=False)]
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    ).eval()
    inputs = (torch.randn(2, 3, 32, 32),)
    ours(model, inputs)
    yield {
        "operators": len(record(model, inputs).calls),
        "ours": [timed(lambda: ours(model, inputs))[0] for _ in range(3)],
    }


def llama(size: str) -> Any:
    """A Llama of a size, random weights: "0.5b" in float32, "1.1b" (TinyLlama's shape) in bfloat16."""
    import torch
    import transformers

    shapes: dict[str, dict[str, Any]] = {
        "0.5b": {"hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8}
        | {"intermediate_size": 4096, "vocab_size": 32000},
        "1.1b": {"hidden_size": 2048, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4}
        | {"intermediate_size": 5632, "vocab_size": 32000},
    }
    torch.set_default_dtype(torch.bfloat16 if size == "1.1b" else torch.float32)
    try:
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**shapes[size])).eval()
    finally:
        torch.set_default_dtype(torch.float32)


def verify_cell(name: str, _verified: bool) -> Iterator[dict[str, Any]]:
    """What verifying a cut of half of everything takes: CPU time in plain forwards of the example, and memory."""
    import torch
    import torchvision

    from secateur.engine.jobs import finish
    from secateur.engine.surgery.verify.verify import verify

    torch.manual_seed(0)
    if name.startswith("llama-"):
        model = llama(name.removeprefix("llama-"))
        inputs: Any = {"input_ids": torch.randint(0, 32000, (2, 128)), "use_cache": False}
    else:
        model, inputs = torchvision.models.get_model(name).eval(), (torch.randn(2, 3, 224, 224),)

    def forward() -> None:
        with torch.no_grad():
            model(**inputs) if isinstance(inputs, dict) else model(*inputs)

    forward()
    plain = [_cpu(forward)[0] for _ in range(3)]
    _, (analysis, mask, made) = _cpu(lambda: ours(model, inputs))
    stored = sum(p.numel() * p.element_size() for one in (model, made.model) for p in one.parameters()) / 1e9
    before = memory("VmRSS")
    seconds, done = _cpu(
        lambda: finish(verify(model, made.model, analysis, mask, inputs, factors=made.factors, edits=made.edits))
    )
    checks = [(str(c.name), c.dtype, c.difference) for c in done.checks]
    yield {
        "forward": plain, "verification": seconds, "forwards": seconds / min(plain), "verified": done.passed,
        "weights GB": stored, "before GB": before, "peak GB": memory("VmHWM"), "checks": checks,
    }  # fmt: skip


def _cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """(CPU seconds, result)."""
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


PRUNED = {"s3d": "1x3x16x224x224", "mvit_v1_b": "1x3x16x224x224", "fasterrcnn_resnet50_fpn": "1x3x320x320"}
"""Inputs of the networks whose default is another one."""
RIVAL = """
import sys, torch, torchvision, torch_pruning as tp, numpy, onnxruntime
torch.manual_seed(0)
model = torchvision.models.get_model(sys.argv[1]).eval()
image = torch.randn(1, 3, 224, 224)
last = [m for m in model.modules() if getattr(m, "out_features", 0) == 1000]
heads = {m: m.num_heads for m in model.modules() if isinstance(m, torch.nn.MultiheadAttention)}
tp.pruner.BasePruner(model, image, importance=tp.importance.MagnitudeImportance(p=1), pruning_ratio=0.3,
                     ignored_layers=last, num_heads=heads).step()
torch.onnx.export(model, (image,), sys.argv[2], dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},))
session = onnxruntime.InferenceSession(sys.argv[2])
(found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
with torch.no_grad():
    print(abs(found - model(image).numpy()).max())
"""
"""The road with Torch-Pruning: cut, `torch.onnx.export`, one run compared."""


def _process(command: list[str], folder: str) -> tuple[float, float, float]:
    """(CPU seconds, wall seconds, peak GB) of a command and its children; the peak is of the largest process."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 3):  # 3: a goal was not met
        raise RuntimeError(said.decode()[-300:])
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begin, usage.ru_maxrss / 1e6


def road_cell(name: str, _verified: bool) -> Iterator[dict[str, Any]]:
    """One command from the network's name to a verified, exported, compared file, beside the same by hand."""
    mine: list[float] = []
    other: list[float] = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            command = ["-m", "secateur.app.main", "prune", f"torchvision:{name}", "--keep-macs", "50%"]
            mine.append(_process([sys.executable, *command, "--no-recover", "--export", "out.onnx"], folder)[0])
            other.append(_process([sys.executable, "-c", RIVAL, name, "theirs.onnx"], folder)[0])
        yield {"ours cpu": mine, "theirs cpu": other, "ratio": median(mine) / median(other)}


def prune_cell(name: str, _verified: bool) -> Iterator[dict[str, Any]]:
    """`secateur prune` of a network with large inputs or many operators: CPU time and memory of the command."""
    size = ["--input", PRUNED[name]] if name in PRUNED else []
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "secateur.app.main", "prune", f"torchvision:{name}", "--keep-macs", "50%", "--no-recover"]
        cpu, wall, peak = _process([sys.executable, *command, *size], folder)
    yield {"cpu": cpu, "wall": wall, "peak GB": peak}


KINDS: dict[str, Callable[[str, bool], Iterator[dict[str, Any]]]] = {
    "torchvision": torchvision_cell,
    "llama": llama_cell,
    "depth": depth_cell,
    "verify": verify_cell,
    "road": road_cell,
    "prune": prune_cell,
}

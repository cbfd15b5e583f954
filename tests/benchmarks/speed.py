"""How long an analysis and a cut take: `python -m tests.benchmarks.speed --out speed.jsonl`.

Side by side in one run, each model in a process of its own with a time limit, resumable (cells in the file are not run
again): our analysis plus cut against Torch-Pruning's dependency graph plus pruning (its output layers protected), on
every torchvision classification model, half of everything removed; beside them the floor (one plain forward and one
copy of the weights) and what verification takes. Then Llama-2-7B's shape without weights, and ResNets of 18 to 1,202
layers. Seconds are medians of interleaved runs; the spread is (max - min) / median of a run against itself.
"""

import argparse
import copy
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

LIMIT = 240
"""Seconds a cell may take."""
ROUNDS, SLOW = 5, 20.0
"""Interleaved runs, and seconds after which no further round begins."""
DEPTHS = (18, 50, 110, 218, 434, 866, 1202)


def cells() -> list[str]:
    """Names of all measurements."""
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    return [*(f"torchvision/{n}" for n in names), "llama", *(f"depth/{d}" for d in DEPTHS)]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds, result)."""
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def halves(analysis: Any) -> Any:
    """Half of every coupled set; blocks stay."""
    mask = analysis.empty()
    for one in analysis.sets:
        if one.dim >= 0:
            mask[one.first : one.first + one.count // 2] = True
    return mask


def ours(model: Any, inputs: Any) -> Any:
    """(analysis, mask, cut) of half of everything."""
    from secateur.engine.structures.analyse import analyse
    from secateur.engine.surgery.cut import cut
    from secateur.engine.surgery.protocol import Edits

    analysis = analyse(model, inputs)
    mask = halves(analysis)
    return analysis, mask, cut(model, analysis, analysis.empty(), mask, Edits(), inputs)


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


def torchvision_cell(name: str) -> Iterator[dict[str, Any]]:
    """One model of torchvision: first the comparison, then verification."""
    import torch
    import torchvision

    from secateur.engine.jobs import NeverCancelled, finish
    from secateur.engine.surgery.verify import verify

    warm = torchvision.models.resnet18().eval()
    size = 299 if name == "inception_v3" else 224
    one, two = torch.randn(1, 3, size, size), (torch.randn(2, 3, size, size),)
    ours(warm, two)
    theirs(copy.deepcopy(warm), one)
    torch.manual_seed(0)
    extra = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, **extra).eval()
    with torch.no_grad():
        forward, _ = timed(lambda: model(one))
    clone, _ = timed(lambda: [t.clone() for t in model.state_dict().values()])
    result: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters()), "floor": forward + clone}
    mine: list[float] = []
    other: list[float] = []
    begin = time.perf_counter()
    error, cutting = "", None
    while len(mine) < ROUNDS and time.perf_counter() - begin < SLOW:
        seconds, cutting = timed(lambda: ours(model, two))
        mine.append(seconds)
        if not error:
            try:
                seconds, pruned = timed(partial(theirs, copy.deepcopy(model), one))
                with torch.no_grad():
                    pruned(one)
                other.append(seconds)
            except Exception as failure:
                error = f"{type(failure).__name__}: {failure}"[:200]
        result |= {"ours": mine, "theirs": other if not error else [], "error": error}
        yield result
    assert cutting is not None
    if not VERIFY:
        return
    analysis, mask, made = cutting
    seconds, done = timed(
        lambda: finish(verify(model, made.model, analysis, analysis.empty(), mask, two, NeverCancelled()))
    )
    yield result | {"verification": seconds, "verified": done.passed}


def memory(field: str) -> float:
    """A figure of this process in GB ("VmRSS", "VmHWM")."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1e6


def llama_cell(_: str) -> Iterator[dict[str, Any]]:
    """Llama-2-7B's shape on meta: analysis, memory above the imports, costs of plans."""
    import numpy as np
    import torch
    import transformers

    from secateur.engine.structures.analyse import analyse
    from secateur.engine.structures.costs import costs

    def make(**sizes: int) -> Any:
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


def depth_cell(depth: str) -> Iterator[dict[str, Any]]:
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


VERIFY = "--no-verification" not in sys.argv
KINDS: dict[str, Callable[[str], Iterator[dict[str, Any]]]] = {
    "torchvision": torchvision_cell,
    "llama": llama_cell,
    "depth": depth_cell,
}


def in_a_process(name: str) -> dict[str, Any]:
    """Run a cell; what it had said before its end counts."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.speed",
        "--cell",
        name,
        *([] if VERIFY else ["--no-verification"]),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        said, problem = done.stdout, "" if done.returncode == 0 else done.stderr.strip()[-300:]
    except subprocess.TimeoutExpired as late:
        said, problem = (late.stdout or b"").decode(), f"over {LIMIT} s"
    results = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return {"cell": name, **(results[-1] if results else {}), **({"problem": problem} if problem else {})}


def spread(seconds: list[float]) -> float:
    return (max(seconds) - min(seconds)) / median(seconds)


def table(results: dict[str, dict[str, Any]]) -> str:
    """What was measured, as text."""
    heads = ("ours s", "spread", "theirs s", "spread", "ratio", "floor s", "verify s")
    lines = [f"{'model':28}" + "".join(f"{h:>10}" for h in heads)]
    ratios: dict[str, float] = {}
    for name, one in results.items():
        if not name.startswith("torchvision/") or not one.get("ours"):
            continue
        short, mine, other = name.partition("/")[2], one["ours"], one.get("theirs", [])
        line = f"{short:28}{median(mine):10.3f}{spread(mine):10.0%}"
        if other:
            ratios[short] = median(other) / median(mine)
            line += f"{median(other):10.3f}{spread(other):10.0%}{ratios[short]:10.1f}"
        else:
            line += f"{'-':>10}" * 3
        line += f"{one['floor']:10.3f}{one.get('verification', math.nan):10.2f}"
        lines.append(line + ("  not verified" if one.get("verified") is False else ""))
    problems = {name: one.get("error") or one.get("problem") for name, one in results.items()}
    failed = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    if ratios:
        worst = min(ratios, key=ratios.__getitem__)
        mean = geometric_mean(ratios.values())
        lines.append(f"geometric mean of {len(ratios)} ratios: {mean:.2f} (bar 3)")
        lines.append(f"least: {ratios[worst]:.2f} ({worst})")
        if "densenet201" in ratios:
            lines.append(f"densenet201: {ratios['densenet201']:.0f} (bar 50)")
    if results.get("llama", {}).get("ours"):
        one = results["llama"]
        lines.append(
            f"Llama-2-7B's shape: {median(one['ours']):.2f} s (bar 5), {one['GB']:.2f} GB above the imports (bar 1), "
            f"{one['structures']} structures, costs of a plan in {one['costs ms']:.1f} ms (bar 10)"
        )
    for name, one in results.items():
        if name.startswith("depth/") and one.get("ours"):
            each = median(one["ours"]) / one["operators"] * 1e3
            lines.append(f"{name:12}{one['operators']:8} operators{median(one['ours']):9.3f} s{each:8.3f} ms each")
    return "\n".join([*lines, *failed])


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("speed.jsonl"), help="results, one line a cell")
    parser.add_argument("--only", nargs="*", help="cells or their first letters")
    parser.add_argument("--no-verification", action="store_true", help="leave out how long verification takes")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        kind, _, rest = options.cell.partition("/")
        for result in KINDS[kind](rest):
            print(json.dumps(result), flush=True)
        return
    results: dict[str, dict[str, Any]] = {}
    if options.out.exists():
        lines = [json.loads(line) for line in options.out.read_text().splitlines()]
        results = {one["cell"]: one for one in lines}
    for name in cells():
        if name in results or (options.only and not name.startswith(tuple(options.only))):
            continue
        results[name] = in_a_process(name)
        with options.out.open("a") as file:
            file.write(json.dumps(results[name]) + "\n")
        print(json.dumps(results[name])[:200], flush=True)
    print(table(results))


if __name__ == "__main__":
    main()

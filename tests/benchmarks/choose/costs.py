"""What a score costs: seconds and memory of every criterion that reads weights alone.

ResNet-50 within one second (the geometric median by sampling among them), and a Llama of 1.1 billion parameters
(TinyLlama's sizes, random weights, float32 and bfloat16) within 60 seconds and without a copy of the weights: the peak
above what model and analysis take. Seconds are of one thread.
"""

import gc
import resource
import time
from statistics import median
from typing import Any

import torch

from secateur.engine.jobs import finish
from secateur.engine.scoring.criteria import CRITERIA, score
from secateur.engine.scoring.protocol import Needs
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis

from . import harness

LLAMA: dict[str, Any] = {
    "hidden_size": 2048,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "intermediate_size": 5632,
    "vocab_size": 32000,
}
TINY: dict[str, Any] = {
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "vocab_size": 99,
}
WEIGHTS_ONLY = [name for name, one in CRITERIA.items() if one.needs is Needs.NOTHING]


def cells(protocol: str) -> list[str]:
    """A process for each criterion of the Llama, so that its peak is its own."""
    llamas = [f"llama/{dtype}/{name}" for dtype in ("float32", "bfloat16") for name in WEIGHTS_ONLY]
    return ["resnet50", *(cell for cell in llamas if not cell.endswith("batchnorm"))]


def run(cell: str, protocol: str) -> harness.Result:
    """One cell."""
    torch.set_num_threads(1)
    if cell == "resnet50":
        return _resnet50()
    _, dtype, name = cell.split("/")
    from transformers import LlamaConfig, LlamaForCausalLM

    config: Any = LlamaConfig(**(TINY if protocol == "tiny" else LLAMA), use_cache=False)
    inputs = {"input_ids": torch.randint(0, 90, (2, 16))}
    with torch.device("meta"):
        analysis = analyse(LlamaForCausalLM(config).eval(), inputs)
    model = _random(config, getattr(torch, dtype))
    gc.collect()
    held, weights = _kilobytes("VmRSS"), sum(p.numel() * p.element_size() for p in model.parameters())
    begin, worked = time.perf_counter(), time.process_time()
    finish(score(model, analysis, analysis.empty(), name))
    seconds, worked = time.perf_counter() - begin, time.process_time() - worked
    above = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) * 1024 / 1e9
    return {"took": seconds, "processor": worked, "weights GB": weights / 1e9, "above GB": above}


def _resnet50() -> harness.Result:
    from torchvision import models

    model = models.resnet50().eval()
    analysis = analyse(model, (torch.randn(2, 3, 224, 224),))
    timed = {name: _five(model, analysis, name) for name in WEIGHTS_ONLY}
    return {"took": {n: took for n, (took, _) in timed.items()}, "processor": {n: cpu for n, (_, cpu) in timed.items()}}


def _five(model: Any, analysis: Analysis, name: str) -> tuple[float, float]:
    """Medians of five runs: seconds, and seconds of the processor."""
    found: list[tuple[float, float]] = []
    for _ in range(5):
        begin, worked = time.perf_counter(), time.process_time()
        finish(score(model, analysis, analysis.empty(), name))
        found.append((time.perf_counter() - begin, time.process_time() - worked))
    return median(took for took, _ in found), median(cpu for _, cpu in found)


def _random(config: Any, dtype: torch.dtype) -> Any:
    """Random weights made in place, so that making them leaves no higher peak than having them."""
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        model: Any = LlamaForCausalLM(config)
    model = model.to(dtype).to_empty(device="cpu").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            for part in parameter.flatten().split(1 << 22):
                part.normal_(0.0, 0.02)
    return model


def _kilobytes(what: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(what))


def table(results: dict[str, harness.Result], protocol: str) -> str:
    """A row a criterion; beside the time that passed, what the processor worked: on a busy machine the two differ."""
    first = results.get("resnet50")
    lines = [["criterion", "ResNet-50, s (of processor)"]]
    lines[0] += [f"Llama 1.1B {dtype}, s (of processor), above the weights" for dtype in ("float32", "bfloat16")]
    for name in WEIGHTS_ONLY:
        found = [f"{first['took'][name]:.2f} ({first['processor'][name]:.2f})" if first else ""]
        for dtype in ("float32", "bfloat16"):
            one = results.get(f"llama/{dtype}/{name}")
            words = f"{one['took']:.1f} ({one['processor']:.1f}), {one['above GB']:.2f} GB" if one else ""
            found.append(words)
        lines.append([name, *found])
    return "\n".join([harness.rows(lines), "", harness.machines(results, len(cells(protocol)))])

"""What an update costs that several processes make together: bytes on the network, seconds.

`unshare -n sh -c "ip link set lo up; python -m tests.benchmarks.processes FOLDER"` has a network of its own, so that
the loopback device counts nothing else. Two trainings of different length leave out what comes before the first update.
"""

import json
import os
import random
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from secateur.engine.distributed import joined, launched
from secateur.engine.jobs import finish
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recovery.protocol import RecoverySettings, Repair, Teacher
from secateur.engine.session.parallel import Follower
from secateur.engine.session.session import Session
from secateur.engine.session.states import PlanIntent
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec

LENGTH, BATCH, BRIEF, LONG = 64, 4, 4, 14
OPTIONS = (("tokenizer", "bytes"), ("length", str(LENGTH)), ("purpose", "causal"))
SIZES: dict[str, Any] = {
    "vocab_size": 256, "hidden_size": 320, "intermediate_size": 860, "num_hidden_layers": 8, "num_attention_heads": 8,
    "num_key_value_heads": 4, "max_position_embeddings": 64,
}  # fmt: skip
SETTINGS = RecoverySettings(
    learning_rate=1e-3,
    threads=1,
    repair=Repair.NONE,
    teacher=Teacher.ORIGINAL,
    accumulate=4,
    shard="--shard" in sys.argv,
)
PORT = "29871"


def write_files(folder: Path) -> None:
    """A Llama of 10 M parameters, and text."""
    import transformers

    torch.manual_seed(0)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).save_pretrained(folder / "llama")
    draw, texts = random.Random(0), folder / "texts"
    texts.mkdir()
    for split, count in (("train", 240), ("val", 2), ("test", 2)):
        (texts / f"{split}.txt").write_text("".join(draw.choice("aeiou 0123") for _ in range(count * LENGTH)))


def sent() -> int:
    """Bytes that went through the loopback device."""
    line = next(one for one in Path("/proc/net/dev").read_text().splitlines() if one.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[0])


def measure(folder: Path) -> dict[str, float]:
    """Of an update: MB sent, seconds. MB of the student's weights."""
    task = TaskSpec("text", str(folder / "texts"), batch=BATCH, options=OPTIONS)
    with closing(Session()) as session:
        finish(session.open(ModelSpec(str(folder / "llama"), task=task)))
        goal = Goal((Limit(Cost.PARAMETERS, 0.8),))
        scores = finish(session.score("s0", "l1"))
        plan = solve(session.analysis, scores, goal, session.removed("s0")).removed
        cut = finish(session.cut("s0", plan, PlanIntent("l1", goal=goal)))
        weights = sum(one.numel() for one in session.model(cut.id).parameters())
        costs = list[tuple[float, float]]()
        for steps in (1, BRIEF, LONG):  # before the first one the others get the original
            began, before = time.monotonic(), sent()
            finish(session.recover(cut.id, replace(SETTINGS, steps=steps)))
            costs.append((time.monotonic() - began, sent() - before))
    seconds, size = ((last - first) / (LONG - BRIEF) for first, last in zip(*costs[1:], strict=True))
    return {"seconds": seconds, "MB sent": size / 1e6, "MB of weights": 4 * weights / 1e6}


def main(folder: Path) -> None:
    """Measure with one and two processes; as one of two, compute."""
    if launched().size == 1:
        if not folder.exists():
            folder.mkdir()
            write_files(folder)
        names = ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        place = os.environ | dict(zip(names, ("2", "2", "127.0.0.1", PORT), strict=True))
        command = [sys.executable, "-m", "tests.benchmarks.processes", *sys.argv[1:]]
        both = [subprocess.Popen(command, env=place | {"RANK": str(n), "LOCAL_RANK": str(n)}) for n in range(2)]
        for one in both:
            one.wait()
        print("one process", json.dumps(measure(folder)))
        return
    with joined() as group:
        if group.is_writer:
            print("two processes", json.dumps(measure(folder)))
        else:
            Follower(group).follow()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""A checkpoint that is cut from file to file: `python -m tests.benchmarks.shear_files FOLDER [--criterion l2]`.

Writes a checkpoint of Llama-2-7B's shape with random weights (13.5 GB of bfloat16) into FOLDER, unless it is there,
copies it, and cuts it to the shape of Sheared-LLaMA-1.3B. Prints the rate of the copy and of the cut, the time of each
stage and the memory that the process held at most; pages of files, which it may give back at any time, are told apart.
"""

import argparse
import json
import os
import shutil
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from secateur.engine.jobs import Progress, finish
from secateur.engine.planning.protocol import Goal, KindLimit
from secateur.engine.sources.open import named_by_hand
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Kind
from secateur.engine.workflows.shear_checkpoint import CRITERION, shear_checkpoint

WIDTH, NEURONS, LAYERS, WORDS = 4096, 11008, 32, 32000
SHAPE = (
    KindLimit(Kind.BLOCK, count=24), KindLimit(Kind.WIDTH, count=2048), KindLimit(Kind.HEAD, count=16),
    KindLimit(Kind.NEURON, count=5504),
)  # fmt: skip
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": NEURONS,
    "num_hidden_layers": LAYERS, "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": WORDS,
    "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "dtype": "bfloat16", "tie_word_embeddings": False,
}  # fmt: skip
MEMORY: tuple[str, ...] = ("VmRSS", "RssAnon", "RssFile")
"""All, its own, and that of files, as Linux counts."""


def write_checkpoint(folder: Path) -> None:
    """Random weights in Llama's shapes, a file for each layer; files that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    pool = (0.02 * torch.randn(50_000_017)).bfloat16()
    places = dict[str, str]()
    attention = {f"self_attn.{one}_proj": (WIDTH, WIDTH) for one in "qkvo"}
    neurons = {"mlp.gate_proj": (NEURONS, WIDTH), "mlp.up_proj": (NEURONS, WIDTH), "mlp.down_proj": (WIDTH, NEURONS)}
    norms = {"input_layernorm": (WIDTH,), "post_attention_layernorm": (WIDTH,)}
    files = [
        {f"model.layers.{n}.{name}": s for name, s in (attention | neurons | norms).items()} for n in range(LAYERS)
    ]
    files.append({"model.embed_tokens": (WORDS, WIDTH), "lm_head": (WORDS, WIDTH), "model.norm": (WIDTH,)})
    for number, shapes in enumerate(files, start=1):
        name = f"model-{number:05}-of-{len(files):05}.safetensors"
        places |= {f"{one}.weight": name for one in shapes}
        if not (folder / name).exists():
            save_file({f"{one}.weight": _drawn(pool, shape) for one, shape in shapes.items()}, folder / "part")
            (folder / "part").rename(folder / name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "config.json").write_text(json.dumps(CONFIG))


def _drawn(pool: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """A part of the pool; about one for a norm."""
    count = int(torch.tensor(shape).prod())
    start = int(torch.randint(len(pool), (1,)))
    found = pool.repeat(-(-(count + start) // len(pool)))[start : start + count].reshape(shape).clone()
    return found if len(shape) > 1 else 1 + 5 * found


def forget(folder: Path) -> None:
    """Take files out of the system's memory, so that they are read from the disk."""
    os.sync()
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def copied(folder: Path, place: Path) -> float:
    """Seconds of a copy of a folder's weights, to the disk."""
    forget(folder)
    place.mkdir()
    begin = time.monotonic()
    for file in sorted(folder.glob("*.safetensors")):
        shutil.copyfile(file, place / file.name)
        with (place / file.name).open("rb+") as opened:
            os.fsync(opened.fileno())
    took = time.monotonic() - begin
    shutil.rmtree(place)
    return took


@contextmanager
def watched() -> Generator[dict[str, int]]:
    """The largest memory of this process meanwhile, in bytes."""
    largest, ended = dict.fromkeys(MEMORY, 0), threading.Event()

    def look() -> None:
        while not ended.wait(0.01):
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in largest:
                    largest[name] = max(largest[name], 1024 * int(value.split()[0]))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield largest
    finally:
        ended.set()
        thread.join()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--criterion", default=CRITERION)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model, out = asked.folder / "model", asked.folder / "sheared"
    write_checkpoint(model)
    size = sum(file.stat().st_size for file in model.glob("*.safetensors"))
    took = copied(model, asked.folder / "copy")
    print(f"copied {size / 1e9:.2f} GB in {took:.0f} s, {size / 1e6 / took:.0f} MB/s", flush=True)
    forget(model)
    begin, stage = time.monotonic(), ""
    with watched() as largest:

        def show(progress: Progress) -> None:
            nonlocal stage
            words = str(progress.message).partition(",")[0]
            if words != stage:
                held = ", ".join(f"{name} {value / 1e9:.2f} GB" for name, value in largest.items())
                spent = f"{time.monotonic() - begin:6.0f} s, {time.process_time():6.0f} CPU s"
                print(f"{spent}  {words}; at most {held}", flush=True)
            stage = words

        spec = ModelSpec(str(model))
        job = shear_checkpoint(
            spec, Goal((), shape=SHAPE), out, named_by_hand(spec), criterion=asked.criterion, overwrite=True
        )
        done = finish(job, show)
    took = time.monotonic() - begin
    print(f"{took:.0f} s in all, {size / 1e6 / took:.0f} MB/s of the original; {done.plan.parameters[1]:,} parameters")
    for check in done.verification.checks:
        print(f"{check.name}: {check.difference:.1e} (allowed {check.tolerance:.0e})")


if __name__ == "__main__":
    main()

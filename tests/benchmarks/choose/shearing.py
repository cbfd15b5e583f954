"""Ways to choose what stays, at the same cost and with the same number of training steps in all.

`bundled:resnet` and `bundled:vit` at half of the MACs on the images that ship, and a small Llama with grouped queries
at 40 % of its parameters, uniform, that was trained here on Shakespeare byte by byte. Each way has the same steps:
`scores` spends them after one cut, `rounds` in equal parts after each of several cuts, `masks` half on masks and half
after the cut; `random` is a cut by random scores and `uncut` the original, with all steps behind. Taylor, no tuned
teacher. The test split is read once, at the end.
"""

from contextlib import closing
from dataclasses import replace
from time import process_time

from secateur.engine.jobs import finish
from secateur.engine.planning.protocol import Choose, Cost, Goal, Limit
from secateur.engine.recovery.protocol import RecoverySettings, Teacher
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Kind
from secateur.engine.tasks.protocol import Split, TaskSpec
from secateur.engine.workflows.prune import PruneRequest, prune_state

from . import harness, models, packages
from .language_training import TEMPERATURE, trained_language_model

NETS = ("llama", "resnet", "vit")
WAYS = ("scores", "masks", "rounds", "random", "uncut")
SEEDS = {"tiny": 1, "short": 3, "full": 5}
EPOCHS = {"tiny": 2, "short": 2, "full": 10}
"""Passes that each way has in all."""
BASE = {"tiny": 1, "short": 6, "full": 40}
"""Passes in which the Llama is trained."""
LENGTH, BATCH = 64, 16
TEXT = {"tiny": 20_000, "short": 250_000, "full": 1_000_000}
"""Bytes of the text that are used."""
KEEP = {
    "llama": Goal((Limit(Cost.PARAMETERS, 0.4),), multiple=4, kinds=(Kind.NEURON, Kind.KV_GROUP, Kind.WIDTH)),
    "resnet": Goal((Limit(Cost.MACS, 0.5),), multiple=16),
    "vit": Goal((Limit(Cost.MACS, 0.5),), multiple=16),
}


def cells(protocol: str) -> list[str]:
    """Names of all measurements, seed by seed."""
    return [f"{net}/{way}/{seed}" for seed in range(SEEDS[protocol]) for net in NETS for way in WAYS]


def run(cell: str, protocol: str) -> harness.Result:
    """One cell."""
    net, way, seed = cell.split("/")
    spec = llama_spec(protocol) if net == "llama" else ModelSpec(f"bundled:{net}", task=TaskSpec("bundled"))
    with closing(Session()) as session:
        opened = finish(session.open(spec, evaluate=False), harness.say)
        begun = process_time()
        state, steps = _made(session, net, way, int(seed), EPOCHS[protocol])
        seconds = process_time() - begun
        metric = finish(session.evaluate(state, Split.TEST), harness.say)
        before = finish(session.evaluate("s0", Split.TEST), harness.say)
        now = session.history.state(state)
        return {
            "original": before.value,
            "metric": {"name": metric.name, "value": metric.value, "error": metric.error, "n": metric.count},
            "parameters": now.parameters / opened.state.parameters,
            "macs": now.macs / opened.state.macs,
            "steps": steps,
            "cpu seconds": round(seconds, 1),
        }


def _made(session: Session, net: str, way: str, seed: int, epochs: int) -> tuple[str, int]:
    """The state that a way leads to, and how many steps it took."""
    a_pass = session.task.batch_count(Split.TRAIN)
    recovery = RecoverySettings(
        epochs=epochs, temperature=TEMPERATURE, seed=seed, threads=1, teacher=Teacher.ORIGINAL, mirror=False
    )
    if way == "uncut":
        return finish(session.recover("s0", recovery), harness.say).id, epochs * a_pass
    settings = PruneRequest(KEEP[net], "random" if way == "random" else "taylor", recovery, seed=seed)
    if way == "rounds":
        settings = replace(settings, recovery=replace(recovery, epochs=1), rounds=epochs)
    if way == "masks":
        half = epochs // 2
        steps = (epochs - half) * a_pass
        settings = replace(settings, choose=Choose.MASKS, mask_steps=steps, recovery=replace(recovery, epochs=half))
    made = finish(prune_state(session, "s0", settings, report=False), harness.say)
    return made[-1].id, epochs * a_pass


def llama_spec(protocol: str) -> ModelSpec:
    """The trained Llama with its text; trained by the first cell that needs it."""
    folder = harness.work() / f"shearing-{protocol}"
    text = (harness.data("text") / "tinyshakespeare.txt").read_bytes()[: TEXT[protocol]].decode(errors="ignore")
    first, second = int(0.8 * len(text)), int(0.9 * len(text))
    for name, some in (("train", text[:first]), ("val", text[first:second]), ("test", text[second:])):
        packages.written(folder / f"{name}.txt", some)
    options = (("tokenizer", "bytes"), ("length", str(LENGTH)), ("purpose", "causal"))
    task = TaskSpec("text", str(folder), batch=BATCH, options=options)
    spec = ModelSpec(f"{models.__file__}:small_llama", task=task, uniform=True)
    return trained_language_model(spec, models.small_llama, folder / "llama.pt", BASE[protocol])


def table(results: dict[str, harness.Result], protocol: str) -> str:
    """A row a network and a way: the metric in the end, and the difference from one cut over the seeds of both."""
    lines = [["network", "way", "kept", "original", "in the end", "beside `scores`", "steps", "CPU s", "seeds"]]
    for net in NETS:
        for way in WAYS:
            some = {cell.split("/")[-1]: one for cell, one in results.items() if cell.startswith(f"{net}/{way}/")}
            if not some:
                continue
            scale, digits = (1, 3) if net == "llama" else (100, 2)
            pairs = [
                one["metric"]["value"] - results[f"{net}/scores/{seed}"]["metric"]["value"]
                for seed, one in some.items()
                if way != "scores" and f"{net}/scores/{seed}" in results
            ]
            first = next(iter(some.values()))
            cost = "parameters" if net == "llama" else "macs"
            kept = harness.spread([one[cost] for one in some.values()], 1, 100)
            lines.append(
                [
                    f"{net}, {first['metric']['name']}",
                    way,
                    f"{kept} % of the {'parameters' if net == 'llama' else 'MACs'}",
                    f"{scale * first['original']:.{digits}f}",
                    harness.spread([one["metric"]["value"] for one in some.values()], digits, scale),
                    harness.spread(pairs, digits, scale),
                    str(first["steps"]),
                    harness.spread([one["cpu seconds"] for one in some.values()], 0),
                    str(len(some)),
                ]
            )
    return "\n".join([harness.rows(lines), "", harness.machines(results, len(cells(protocol)))])

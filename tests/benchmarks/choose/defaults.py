"""What the program does by default at half of the MACs: selections and recoveries beside each other.

ResNet-20 with its published weights on CIFAR-10 (JPEG): 5,000 training images, 1,000 to choose by, 5 epochs. The
bundled networks on Fashion-MNIST: 10,000 and 2,000 images, 2 epochs. Multiples of 16; all 10,000 test images. A way is
a selection (`taylor`, `obs`, `random`) and a recovery: `default` is what nobody has set; `plain` has the original as
teacher, no repair and no mirrored images; `logits` learns from the tuned teacher alone, at temperature 4; `untrained`
is the repair by least squares alone. Beside them `uncut` gets the same epochs without a cut, and `peer` is
Torch-Pruning's global group Taylor with SGD as one writes it by hand. Cells of one seed share data and order; all share
one tuned teacher.
"""

from contextlib import closing
from dataclasses import replace
from typing import Any

from secateur.engine.jobs import finish
from secateur.engine.planning.protocol import MULTIPLE, Cost, Goal, Limit
from secateur.engine.recovery.protocol import RecoverySettings, Repair, Teacher
from secateur.engine.recovery.recover import recover
from secateur.engine.session.session import Session
from secateur.engine.session.states import State
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.costs import costs
from secateur.engine.tasks.protocol import Split, TaskSpec
from secateur.engine.workflows.baselines import standing_of
from secateur.engine.workflows.prune import PruneRequest, prune_state

from . import cifar, fashion, harness, models

NETS = ("resnet20", "resnet", "vit")
EPOCHS = {"resnet20": 5, "resnet": 2, "vit": 2}
IMAGES = {"tiny": (512, 256, 256), "short": (5_000, 1_000, 10_000), "full": (45_000, 5_000, 10_000)}
SEEDS = 3
RECOVERIES: dict[str, dict[str, Any]] = {
    "default": {},
    "plain": {"teacher": Teacher.ORIGINAL, "repair": Repair.NONE, "mirror": False},
    "logits": {"distillation": 1.0, "temperature": 4.0},
    "untrained": {"epochs": 0, "repair": Repair.LEAST_SQUARES},
    "sgd": cifar.BY_HAND,
}
WAYS = (
    "taylor-untrained",
    "obs-untrained",
    "random-untrained",
    "taylor-default",
    "obs-default",
    "random-default",
    "taylor-plain",
    "taylor-logits",
    "uncut-default",
    "peer-sgd",
)


def cells(protocol: str) -> list[str]:
    """Names of all measurements, seed by seed."""
    found = [f"{net}/{way}/{seed}" for seed in range(SEEDS) for net in NETS for way in WAYS]
    return [cell for cell in found if "peer" not in cell or cell.startswith("resnet20")]


def run(cell: str, protocol: str) -> harness.Result:
    """One cell."""
    net, way, seed = cell.split("/")
    selection, _, name = way.partition("-")
    epochs = 1 if protocol == "tiny" else EPOCHS[net]
    recovery = replace(RecoverySettings(epochs=epochs, seed=int(seed), threads=1), **RECOVERIES[name])
    settings = PruneRequest(Goal((Limit(Cost.MACS, 0.5),), multiple=MULTIPLE), selection, recovery, seed=int(seed))
    with closing(Session(cache=harness.work() / "teachers")) as session:
        opened = finish(session.open(_spec(net, protocol), evaluate=False), harness.say)
        original = finish(session.evaluate("s0", Split.TEST), harness.say)
        if selection == "peer":
            return {"original": original.value, **_peer(session, recovery)}
        if selection == "uncut":
            whole = finish(session.recover("s0", recovery), harness.say)
            metric = finish(session.evaluate(whole.id, Split.TEST), harness.say)
            return {"original": original.value, "metric": harness.plain(metric), "kept": 1.0, "told": _told(whole)}
        made = finish(prune_state(session, "s0", settings), harness.say)
        cut = finish(session.evaluate(made[0].id, Split.TEST), harness.say)
        state = session.history.state(made[-1].id)
        metric = next(one for one in state.metrics if one.split is Split.TEST)
        return {
            "original": original.value,
            "cut": cut.value,
            "metric": harness.plain(metric),
            "kept": state.macs / opened.state.macs,
            "told": _told(state),
        }


def _told(state: State) -> list[str]:
    """What the recovery said of the teacher and the repair."""
    return [str(one) for one in state.repaired]


def _peer(session: Session, recovery: RecoverySettings) -> harness.Result:
    """Torch-Pruning's cut, fine-tuned."""
    standing = standing_of(session, "s0")
    student, whole = cifar.theirs(session, 0.5, recovery.seed, isomorphic=False), costs(session.analysis).macs
    kept = costs(analyse(student, standing.inputs)).macs / whole
    done = finish(recover(student, standing.original, standing.task, recovery), harness.say)
    student.load_state_dict(done.state_dict)
    return {"metric": cifar.judged(student, standing.task), "kept": kept, "told": []}


def _spec(net: str, protocol: str) -> ModelSpec:
    if net != "resnet20":
        return ModelSpec(f"bundled:{net}", task=fashion.image_task(protocol))
    weights = next(harness.data("resnet-cifar10").glob(f"{net}-*.th"))
    images: TaskSpec = cifar.image_task(f"defaults-{protocol}", IMAGES[protocol])
    return ModelSpec(f"{models.__file__}:{net}", str(weights), task=images, trust_pickle=True)


def table(results: dict[str, harness.Result], protocol: str) -> str:
    """A row a network and a way: top-1, and the difference from Taylor's over the seeds that both have."""
    titles = ["network", "selection", "recovery", "MACs kept", "recovered, %", "lost, points", "beside Taylor, points"]
    lines = [[*titles, "seeds"]]
    for net in NETS:
        for way in WAYS:
            some = {cell.split("/")[-1]: one for cell, one in results.items() if cell.startswith(f"{net}/{way}/")}
            if not some:
                continue
            other = "taylor-untrained" if way.endswith("untrained") else "taylor-default"
            pairs = [
                one["metric"]["value"] - results[f"{net}/{other}/{seed}"]["metric"]["value"]
                for seed, one in some.items()
                if way != other and f"{net}/{other}/{seed}" in results
            ]
            lines.append(
                [
                    net,
                    *way.split("-"),
                    f"{harness.spread([one['kept'] for one in some.values()], 1, 100)} %",
                    harness.spread([one["metric"]["value"] for one in some.values()], 2, 100),
                    harness.spread([one["original"] - one["metric"]["value"] for one in some.values()], 2, 100),
                    harness.spread(pairs, 2, 100),
                    str(len(some)),
                ]
            )
    return "\n".join([harness.rows(lines), "", harness.machines(results, len(cells(protocol)))])

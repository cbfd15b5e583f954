"""Kills every command that saves at random moments and runs it again: nothing is lost, all ends as if never killed.

    python -m tests.benchmarks.kills --count 200 --seed 1 [--case sweep] [--results FILE] [--table]

A trial runs a command in a process group of its own, kills the group with SIGKILL once to three times (the command
that goes on, too), and then lets it end. Half of the kills come at a random moment by the clock, half inside of a
random write: before or behind an `fsync`, a `rename` or a link, or when half of a line of the history is written.
Afterwards the project has to hold the same weights, bit for bit, and the same metrics as that of a run that nobody
disturbed, at one thread; after each kill it has to hold all that it held before. Every trial is a line of the results,
and a run goes on from those.

The commands run in forks of a process that has loaded torch, so that moments are spread over their work, not over their
imports. `window` and `engine` kill a real window or its engine, as `tests/app/storage/autosave/test_kill.py` does.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secateur.engine.cli.main import main as secateur
from secateur.engine.session.state_history import StateHistory, is_project
from tests.engine.session.small import write_project

RESULTS = Path(__file__).parent / "results" / "kills.jsonl"
GOAL = ("--criterion", "taylor", "--multiple", "4", "--threads", "1", "--seed", "3")
CALLS = ("fsync", "replace", "link", "unlink", "write")
"""Functions of `os` in which a kill can come."""


@dataclass(frozen=True, slots=True)
class Case:
    """A command that saves.

    Attributes:
        first: Arguments at the first time; `{mine}` is the model's folder, `{project}` where it saves.
        again: Arguments where the project is there; () for the same.
        given: Whether the project is there before, with a pruned model in it.
        files: What it writes besides, relative to the folder of the trial; what is said on standard output is "said".
    """

    first: tuple[str, ...]
    again: tuple[str, ...] = ()
    given: bool = False
    files: tuple[str, ...] = ()


MODEL = ("{mine}/model.py:make", "--task", "{mine}/data.npz")
SAVE, TRUST = ("--save", "{project}"), ("--trust-code",)  # what was made elsewhere is copied here
PRUNE = ("--keep-macs", "60%", "--epochs", "2", *GOAL, *SAVE)
ROUNDS = ("--keep-params", "40%", "--rounds", "3", "--epochs", "1", *GOAL, *SAVE)
SEARCH = ("--max-loss", "90%", "--epochs", "1", *GOAL, *SAVE)
EXPORT = ("--keep-macs", "60%", "--epochs", "1", *GOAL, *SAVE, "--export", "{here}/exported")
SHARES = ("--shares", "25%,50%", "--criterion", "l1", "--threads", "1", "--json", "--cache", "{here}/points")
CASES = {
    "prune": Case(("prune", *MODEL, *PRUNE), ("prune", "{project}", *PRUNE)),
    "rounds": Case(("prune", *MODEL, *ROUNDS)),
    "search": Case(("prune", *MODEL, *SEARCH)),
    "sweep": Case(("sweep", *MODEL, "--budgets", "80%,60%,40%", "--epochs", "1", *GOAL, *SAVE), ("sweep", "{project}")),
    "baselines": Case(
        ("baselines", "{project}", "--kind", "random", "--kind", "scratch", "--epochs", "1", "--no-timing", *TRUST),
        given=True,
    ),
    "sensitivity": Case(("sensitivity", *MODEL, *SHARES), files=("said",)),
    "run": Case(("run", "{mine}/recipe.json", *SAVE, *TRUST)),
    "export": Case(
        ("prune", *MODEL, *EXPORT), ("prune", "{project}", *EXPORT), files=("exported/weights.safetensors",)
    ),
}
WINDOWS = ("window", "engine")


@dataclass(slots=True)
class Trial:
    """One of them; a line of the results.

    Attributes:
        case: Which command.
        number: Which trial of it.
        seed: Of all of them.
        kills: When each kill came, in words.
        lost: What was there before a kill and was not behind it.
        differs: What is not as in the undisturbed run, "" where all is.
        seconds: It took.
    """

    case: str
    number: int
    seed: int
    kills: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])
    differs: str = ""
    seconds: float = 0.0


class Folder:
    """A folder for one run: model, project, caches and temporary files lie in it."""

    def __init__(self, path: Path, made: Path, case: Case) -> None:
        """Copy what is there before: the model, and the project where the case has one."""
        self.path, self.case, self.project = path, case, path / "project"
        shutil.copytree(made, path / "mine", ignore=shutil.ignore_patterns("project"))
        if case.given:
            shutil.copytree(made / "project", self.project)
        (path / "temporary").mkdir()

    def command(self) -> list[str]:
        """What a person would type now."""
        words = self.case.again if self.case.again and is_project(str(self.project)) else self.case.first
        places = {"mine": self.path / "mine", "project": self.project, "here": self.path}
        return [word.format(**places) for word in words]

    def start(self, write: int = 0) -> int:
        """Run the command in a fork; `write` counts the call of `CALLS` in which it kills itself, 0 for none."""
        command = self.command()
        if (pid := os.fork()) == 0:
            code = 70
            try:
                os.setsid()
                said = os.open(self.path / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                told = os.open(self.path / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(said, 1)
                os.dup2(told, 2)
                os.environ |= {"XDG_CACHE_HOME": str(self.path / "cache"), "TMPDIR": str(self.path / "temporary")}
                tempfile.tempdir, sys.argv = None, ["secateur", *command]
                _count(self.path / "calls", write)
                code = secateur(command)
                sys.stdout.flush()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        return pid

    def held(self) -> set[str]:
        """What a person would miss: weights of states and baselines, and measured points."""
        found = {line for file in self.path.glob("points/*/*.jsonl") for line in file.read_text().splitlines()[:-1]}
        if not is_project(str(self.project)):
            return found
        history = StateHistory(self.project)
        history.read()
        for digest in history.weights:
            data = (self.project / "weights" / f"{digest}.safetensors").read_bytes()
            assert hashlib.sha256(data).hexdigest() == digest, f"{digest} is damaged"
        measured = {f"{one.id} {one.weights} {metric}" for one in history.states.values() for metric in one.metrics}
        return found | history.weights | measured

    def ended(self) -> dict[str, Any]:
        """What a run leaves that has ended: states in order, baselines, and files; raises what is wrong with it."""
        found: dict[str, Any] = {}
        if is_project(str(self.project)):
            self.held()
            history = StateHistory(self.project)
            history.read()
            states, beside = history.states.values(), history.baselines.values()
            found["states"] = [(one.id, one.parent, one.weights, sorted(map(repr, one.metrics))) for one in states]
            found["baselines"] = [(one.title, one.weights, repr(one.metric)) for one in beside]
            found["present"] = json.loads((self.project / "project.json").read_bytes())["state"]
            left = [*self.project.glob("*lock*"), *self.project.glob(".*"), *self.project.glob("weights/.*")]
            assert not left, f"left behind: {left}"
        for name in self.case.files:
            found[name] = hashlib.sha256((self.path / name).read_bytes()).hexdigest()
        return found


def _count(file: Path, kill: int) -> None:
    """Count the calls of this process in which a write can be cut off, and kill its group in one of them."""
    count = [0]

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] != kill:
                result = real(*args, **kwargs)
                if not kill:
                    file.write_text(str(count[0]))
                return result
            if name == "write":
                real(args[0], args[1][: len(args[1]) // 2])
            elif kill % 2:
                real(*args, **kwargs)
            os.killpg(0, signal.SIGKILL)

        return call

    for name in CALLS:
        setattr(os, name, counted(name, getattr(os, name)))


def killed(folder: Folder, chance: random.Random, seconds: float, calls: int) -> str:
    """Start the command and kill it at a random moment; in words when that was, "" where it ended before."""
    if calls and chance.random() < 0.5:
        number = chance.randint(1, calls)
        _, status = os.waitpid(folder.start(number), 0)
        return f"in write {number} of {calls}" if os.WIFSIGNALED(status) else ""
    wait = chance.uniform(0, seconds)
    pid = folder.start()
    time.sleep(wait)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return f"{wait:.2f} of {seconds:.2f} s" if os.WIFSIGNALED(status) else ""


def trial(one: Trial, root: Path, made: Path, whole: dict[str, Any], seconds: float, calls: int) -> None:
    """Kill, go on, and compare with the undisturbed run."""
    chance = random.Random(f"{one.seed} {one.case} {one.number}")
    folder = Folder(root / f"{one.case} {one.number}", made, CASES[one.case])
    for _ in range(chance.choice((1, 1, 2, 3))):
        before = folder.held()
        if words := killed(folder, chance, seconds, calls):
            one.kills.append(words)
        one.lost += sorted(before - folder.held())
    _, status = os.waitpid(folder.start(), 0)
    if status:
        one.differs = f"ended with {status}: {(folder.path / 'told').read_text()[-800:]}"
        return
    found = folder.ended()
    one.differs = "; ".join(name for name in whole if found.get(name) != whole[name])
    if not one.differs:
        shutil.rmtree(folder.path)


def prepare(root: Path) -> Path:
    """The model with its data, a project with a pruned one, and its recipe."""
    made = root / "made"
    write_project(made, 240)
    folder = Folder(root / "first", made, Case(("prune", *MODEL, *ROUNDS)))
    _, status = os.waitpid(folder.start(), 0)
    assert not status, (folder.path / "told").read_text()
    project = (folder.project / "recipe.json").read_text().replace(str(folder.path / "mine"), "..")
    (made / "recipe.json").write_text(project.replace("../mine/", ""))
    shutil.copytree(folder.project, made / "project")
    return made


def undisturbed(root: Path, made: Path, name: str) -> tuple[dict[str, Any], float, int]:
    """What a case ends with, how many seconds it takes, and how many calls of `CALLS` it makes."""
    folder = Folder(root / f"{name} undisturbed", made, CASES[name])
    began = time.monotonic()
    _, status = os.waitpid(folder.start(), 0)
    assert not status, (folder.path / "told").read_text()
    calls = folder.path / "calls"
    return folder.ended(), time.monotonic() - began, int(calls.read_text()) if calls.exists() else 0


class _Folders:
    """Gives folders as pytest does."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def mktemp(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=name, dir=self.root))


def window_trial(one: Trial, root: Path, told: Any) -> None:
    """Kill a window or its engine; see `tests/app/storage/autosave/test_kill.py`."""
    from tests.app.storage.autosave import test_kill

    chance = random.Random(f"{one.seed} {one.case} {one.number}")
    (step,) = chance.choices(range(test_kill.STEPS), told[2] if one.number % 2 else None)
    wait = chance.uniform(0, told[2][step])
    kill = test_kill.engine_killed if one.case == "engine" else test_kill.window_killed
    try:
        one.kills.append(f"{wait:.2f} s after {kill(told, root / f'{one.case} {one.number}', step, wait, further=1)}")
    except AssertionError as error:
        one.differs = str(error)[-800:] or traceback.format_exc()[-800:]


def read(results: Path) -> list[dict[str, Any]]:
    """All trials so far."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def table(trials: list[dict[str, Any]]) -> str:
    """Kills, losses and differences of each case."""
    lines = ["| command | trials | kills | lost | ends differently |", "|---|---|---|---|---|"]
    names = [name for name in (*CASES, *WINDOWS) if any(one["case"] == name for one in trials)]
    for name in (*names, "all"):
        own = [one for one in trials if name in (one["case"], "all")]
        counts = (len(own), *(sum(len(one[k]) for one in own) for k in ("kills", "lost")))
        lines.append(f"| {name} | {' | '.join(map(str, counts))} | {sum(bool(one['differs']) for one in own)} |")
    return "\n".join(lines)


def main() -> None:
    """Run trials until there are as many kills as asked for, then print the table; 1 where anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.kills", description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="kills in all, evenly over the cases")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", choices=[*CASES, *WINDOWS], action="append", help="default: all")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="only print the table of the results that there are")
    given = parser.parse_args()
    names = given.case or [*CASES, *WINDOWS]
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        if not given.table:
            _run(Path(folder), names, given)
    done = read(given.results)
    print(table(done))
    sys.exit(any(one["lost"] or one["differs"] for one in done))


def _run(root: Path, names: list[str], given: argparse.Namespace) -> None:
    import torch  # for all forks

    torch.set_num_threads(1)
    made = prepare(root) if set(names) & set(CASES) else root
    given.results.parent.mkdir(parents=True, exist_ok=True)
    share = -(-given.count // len(names))
    for name in names:
        known = [one for one in read(given.results) if (one["case"], one["seed"]) == (name, given.seed)]
        kills, number = sum(len(one["kills"]) for one in known), max((one["number"] for one in known), default=-1) + 1
        if kills >= share:
            continue
        if name in WINDOWS:
            from tests.app.storage.autosave import test_kill

            told: Any = test_kill.undisturbed(_Folders(root), test_kill.STEPS)
        else:
            told = undisturbed(root, made, name)
        while kills < share:
            one, began = Trial(name, number, given.seed), time.monotonic()
            if name in WINDOWS:
                window_trial(one, root, told)
            else:
                trial(one, root, made, *told)
            one.seconds = round(time.monotonic() - began, 2)
            line = {name: getattr(one, name) for name in Trial.__slots__}
            with given.results.open("a") as file:
                file.write(json.dumps(line).replace(str(root), "FOLDER") + "\n")
            print(f"{name} {number}: {'; '.join(one.kills) or 'it ended before'}; {one.differs or 'equal'}", flush=True)
            kills, number = kills + len(one.kills), number + 1


if __name__ == "__main__":
    main()

"""The script of a session gives, in a fresh process, the same weights as its recipe does in another."""

import ast
import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch

from secateur import engine
from secateur.engine.cli.main import main
from secateur.engine.jobs import finish
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recipes.recipe import read_recipe
from secateur.engine.recipes.script import Spelling, script_of, write_script
from secateur.engine.recipes.steps import Open, Plan, Recipe
from secateur.engine.recovery.protocol import Mixing, RecoverySettings, Repair, Teacher
from secateur.engine.recovery.reference_losses import ReferenceLosses
from secateur.engine.session.session import Session
from secateur.engine.session.state_history import StateHistory
from secateur.engine.session.states import PlanIntent
from secateur.engine.sharing.session_files import save_project, save_recipe, save_script, session_recipe
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import from_identities
from secateur.engine.structures.index_ranges import indices_of, ranges_of
from secateur.engine.tasks.protocol import TaskSpec
from secateur.engine.workflows.export import export_state
from secateur.engine.workflows.plan import plan_masks, start_from
from secateur.engine.workflows.prune import PruneRequest, prune_state
from tests.conftest import ROOT
from tests.warm_start import python

from ..session.small import write_project

pytestmark = pytest.mark.end_to_end

FILTERS = "filter|block.conv1.weight|0"
TASK = """
import torch

def images(seed):
    made = torch.Generator().manual_seed(seed)
    labels = torch.arange(48) % 3
    found = torch.randn(48, 1, 8, 8, generator=made) * 0.3
    for image, label in zip(found, labels):
        image[0, :, 3 * label : 3 * label + 2] += 2
    return found, labels

def example_inputs():
    return (images(0)[0][:2],)

def batches(split):
    found, labels = images({"train": 0, "val": 1, "test": 2}[split])
    return list(zip(found.split(16), labels.split(16)))

def loss(model, batch):
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])

def evaluate(model):
    found, labels = images(2)
    return {"right": float((model(found).argmax(1) == labels).float().mean())}
"""


def by_hand(session: Session, folder: Path) -> str:
    """Marks by hand, a second cut for a goal with a lock on top of it, then fine-tuning."""
    opened = finish(session.open(write_project(folder)))
    marks = from_identities(opened.analysis, {FILTERS: [1, 2, 3, 17]})[0]
    first = finish(session.cut("s0", marks))
    goal, locked = Goal((Limit(Cost.MACS, 0.6),), multiple=4), {FILTERS: [4, 5]}
    scores = finish(session.score(first.id, "taylor"))
    spared = from_identities(opened.analysis, locked)[0]
    plan = solve(opened.analysis, scores, goal, session.removed(first.id), spared).removed
    second = finish(session.cut(first.id, plan, PlanIntent("taylor", goal=goal, locked=locked)))
    return finish(session.recover(second.id, RecoverySettings(epochs=1, threads=1, seed=3))).id


def repaired(session: Session, folder: Path) -> str:
    """A cut that is repaired without training, and a file."""
    opened = finish(session.open(write_project(folder)))
    marks = from_identities(opened.analysis, {FILTERS: list(range(0, 12))})[0]
    cut = finish(session.cut("s0", marks))
    state = finish(session.recover(cut.id, RecoverySettings(epochs=0, threads=1, repair=Repair.LEAST_SQUARES)))
    finish(export_state(session, state.id, "pytorch", str(folder / "out")))
    return state.id


def own_task(session: Session, folder: Path) -> str:
    """A model and a task.py of the user's own."""
    spec = write_project(folder)
    (folder / "task.py").write_text(TASK)
    opened = finish(session.open(ModelSpec(spec.source, task=TaskSpec("file", str(folder / "task.py")))))
    marks = from_identities(opened.analysis, {FILTERS: [0, 5, 6]})[0]
    return finish(session.recover(finish(session.cut("s0", marks)).id, RecoverySettings(epochs=1, threads=1))).id


def elsewhere(*command: str) -> str:
    """What a command prints in a fresh process, in an empty folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / ".links"), str(ROOT)))}
    done = subprocess.run(python(*command), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def last(folder: Path) -> str:
    """sha256 of the weights of a project's last state."""
    history = StateHistory(folder)
    history.read()
    return list(history.states.values())[-1].weights


@pytest.mark.parametrize("way", [by_hand, repaired, own_task])
def test_script_and_recipe_give_the_same_weights_in_fresh_processes(way, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    session, mine = Session(tmp_path / "session"), tmp_path / "mine"
    state = way(session, mine)
    recorded = session.history.state(state).weights
    save_script(session, state, str(mine / "again.py"))
    save_recipe(session, state, str(mine / "recipe.json"))
    said = elsewhere(str(mine / "again.py"), str(tmp_path / "by script"))
    elsewhere(
        "-m",
        "secateur.engine.cli.main",
        "run",
        str(mine / "recipe.json"),
        "--save",
        str(tmp_path / "by recipe"),
        "--overwrite",
    )
    assert last(tmp_path / "by script") == last(tmp_path / "by recipe") == recorded
    assert "the same weights as recorded" in said
    by_script, by_recipe = (read_recipe(tmp_path / name / "recipe.json") for name in ("by script", "by recipe"))
    assert msgspec.structs.replace(by_script) == by_recipe  # and the same steps, with the same numbers


def test_plans_can_be_made_anew_by_the_script(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    session, mine = Session(tmp_path / "session"), tmp_path / "mine"
    state = by_hand(session, mine)
    save_script(session, state, str(mine / "again.py"))
    said = elsewhere(str(mine / "again.py"), str(tmp_path / "anew"), "--plan-again")
    assert "the same weights as recorded" in said  # the same scores, the same plan


def test_searched_plans_are_searched_again_by_the_script(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    session, mine = Session(tmp_path / "session"), tmp_path / "mine"
    finish(session.open(write_project(mine)))
    settings = PruneRequest(Goal((Limit(Cost.MACS, 0.6),)), "l1", search=30)
    (cut,) = finish(prune_state(session, "s0", settings))
    scores = finish(session.score("s0", "l1"))
    start = start_from(session, "s0", PlanIntent("l1", goal=settings.goal), scores)
    assert (session.removed(cut.id) != plan_masks(session, start, settings.goal).removed).any()
    save_script(session, cut.id, str(mine / "again.py"))
    said = elsewhere(str(mine / "again.py"), str(tmp_path / "anew"), "--plan-again")
    assert "the same weights as recorded" in said


def test_the_script_reads_as_a_person_would_write_it(tmp_path: Path) -> None:
    session, mine = Session(), tmp_path / "mine"
    state = by_hand(session, mine)
    text = script_of(session_recipe(session, state), mine)
    assert f'"{FILTERS}": "1-3, 17",' in text
    assert 'str(HERE / "model.py:make")' in text and str(tmp_path) not in text
    assert "# Cut 4 structures, marked by hand." in text
    assert re.search(r"# Cut \d+ structures, planned for keeping 60.0% of the MACs, by taylor scores\.", text)
    assert re.search(r"# [\d,]+ parameters \([\d.]+ %\)", text) and re.search(r"# top-1 [\d.]+.* n = 48\)\.", text)
    assert "RecoverySettings(epochs=1, seed=3, threads=1)" in text
    names = {one.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) for one in node.names}
    assert "Session" in names and "solve" in names
    assert all(len(line) <= 120 for line in text.splitlines())
    session.close()


def test_many_marks_lie_in_a_file_beside_the_script(tmp_path: Path) -> None:
    session, mine = Session(), tmp_path / "mine"
    recipe = small_recipe(session, mine)
    many = {f"filter|layer{number}.weight|0": list(range(0, 400, 2)) for number in range(20)}
    big = Recipe(1, tuple(marked(step, many) if isinstance(step, Plan) else step for step in recipe.steps))
    files = write_script(tmp_path / "big.py", big)
    assert [file.name for file in files] == ["big.py", "big.marks.json"]
    text = files[0].read_text()
    assert len(text) < 5_000 and 'MARKS["cut 1"]' in text and ast.parse(text)
    assert indices_of(json.loads(files[1].read_text())["cut 1"]) == many
    session.close()


def test_nothing_in_a_recipe_becomes_code(tmp_path: Path) -> None:
    session, mine = Session(), tmp_path / "mine"
    recipe = small_recipe(session, mine)
    nasty = 'x"""\nimport os; os.abort() #\\" \x0c\n"'
    first = recipe.steps[0]
    assert isinstance(first, Open)
    model = ModelSpec(nasty, nasty, arguments={nasty: nasty}, task=TaskSpec(nasty, nasty, options=((nasty, nasty),)))
    metric = replace(first.outcome.metrics[0], name=nasty)
    opening = msgspec.structs.replace(first.intent, model=model, versions={nasty: nasty})
    outcome = msgspec.structs.replace(first.outcome, metrics=(metric,), weights=nasty)
    steps = (msgspec.structs.replace(first, intent=opening, outcome=outcome), *recipe.steps[1:])
    steps = tuple(marked(step, {nasty: [1]}) if isinstance(step, Plan) else step for step in steps)
    for folder in (None, tmp_path):
        tree = ast.parse(script_of(Recipe(1, steps), folder))
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert imported <= {"json", "sys", "torch"}
        assert not any(isinstance(node, ast.Attribute) and node.attr == "abort" for node in ast.walk(tree))
    session.close()


@pytest.mark.parametrize(
    "value",
    [
        ModelSpec("a.py:make", arguments={"depths": [2, 2, 6], "name": 'it\'s "x"', "rate": 0.1, "flag": None}),
        PlanIntent("l1", locked={FILTERS: [5, 1, 2]}, goal=Goal((Limit(Cost.SIZE, amount=9),), scope=("a", "*.b"))),
        RecoverySettings(learning_rate=float("inf"), repair=Repair.BIAS, half=True, teacher=Teacher.ORIGINAL),
        RecoverySettings(mixing=Mixing.CLAMPED, references=(ReferenceLosses((("wiki", 1.76), ("code", 0.75))),)),
        TaskSpec("csv", mean=(0.5,), size=(32, 48), options=(("label", "a,b"),)),
    ],
)
def test_what_is_spelled_is_what_it_was(value) -> None:
    for column in (0, 200):  # on one line, and on several
        spelling = Spelling()
        text = spelling.of(value, column)
        again = eval(text, {name: getattr(engine, name) for name in spelling.names})
        sort = replace(again, locked={FILTERS: [5, 1, 2]}) if isinstance(again, PlanIntent) else again
        assert sort == value


def test_ranges_are_read_back() -> None:
    named = {"a": [3, 1, 2, 9], "b": [0], "c": []}
    assert ranges_of(named) == {"a": "1-3, 9", "b": "0", "c": ""}
    assert indices_of(ranges_of(named)) == {"a": [1, 2, 3, 9], "b": [0], "c": []}


def small_recipe(session: Session, folder: Path) -> Recipe:
    opened = finish(session.open(write_project(folder)))
    return session_recipe(session, finish(session.cut("s0", from_identities(opened.analysis, {FILTERS: [1]})[0])).id)


def marked(step: Plan, removed: dict[str, list[int]]) -> Plan:
    return msgspec.structs.replace(step, outcome=msgspec.structs.replace(step.outcome, removed=removed))


def test_a_saved_project_has_both(tmp_path: Path) -> None:
    session, mine = Session(), tmp_path / "mine"
    small_recipe(session, mine)
    folder = Path(finish(save_project(session, str(tmp_path / "project"), "s1")))
    assert read_recipe(folder / "recipe.json") == session_recipe(session, "s1")
    assert (folder / "recipe.py").read_text() == script_of(session_recipe(session, "s1"), folder)
    session.close()


def test_the_command_line_prints_or_writes_it_without_opening_the_model(tmp_path: Path, capsys) -> None:
    session, mine = Session(), tmp_path / "mine"
    small_recipe(session, mine)
    folder = Path(finish(save_project(session, str(tmp_path / "project"), "s1")))
    recipe = session_recipe(session, "s1")
    session.close()
    (mine / "model.py").unlink()
    assert main(["script", str(folder)]) == 0
    # Made anew from the project, it has no seal: that the code is as it was allowed cannot be told without it.
    assert capsys.readouterr().out == script_of(msgspec.structs.replace(recipe, seal=""))
    assert main(["script", str(folder / "recipe.json"), "--out", str(mine / "again.py"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [str(mine / "again.py")]
    assert (mine / "again.py").read_text() == script_of(recipe, mine)
    assert main(["script", str(folder), "--state", "s0"]) == 0
    assert "session.cut" not in capsys.readouterr().out
    assert main(["script", str(folder), "--state", "s7"]) == 1 and main(["script", str(mine)]) == 2

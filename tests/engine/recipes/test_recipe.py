"""A recipe is the path from the original to a state, moves with its folder, and says what is wrong with a bad file."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from secateur.engine.errors import OpenError
from secateur.engine.export.protocol import Exported
from secateur.engine.recipes.recipe import read_recipe, recipe_of, write_recipe
from secateur.engine.recipes.steps import Attach, Export, Open, Plan, Recipe, Score
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.score_options import Choices, Combine, Normalise, Slices
from secateur.engine.session.state_history import StateHistory
from secateur.engine.session.states import PlanIntent, State, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.storage.serialization import from_plain
from secateur.engine.structures.analysis import from_identities, identities
from secateur.engine.surgery.cut.edits import Check, Edits, Verification
from secateur.engine.tasks.protocol import Metric, Split, TaskSpec
from tests.engine.builders import tiny_analysis

ANALYSIS = tiny_analysis()
METRIC = Metric("top-1", 0.9, 1000, 0.01, Split.TEST)


def removed(*structures: int) -> dict[str, list[int]]:
    mask = ANALYSIS.empty()
    mask[list(structures)] = True
    return identities(ANALYSIS, mask)


@pytest.fixture
def history(tmp_path: Path) -> StateHistory:
    """Original, a planned cut, a dead branch, a recovered state, a second cut by hand, weights from elsewhere."""
    code = tmp_path / "code"
    task = TaskSpec("file", str(code / "task.py"))
    spec = ModelSpec(f"{code / 'model.py'}:make", str(code / "w.pt"), trust_pickle=True, task=task)
    history = StateHistory(tmp_path / "session")
    history.open(spec, task, State("s0", "", StateKind.ORIGINAL, {}, Edits(), "aa", 10, 100, metrics=(METRIC,)))
    check = Verification((Check("removal", 1e-16, 0.1, 1e-9, "float64"),))
    plan = PlanIntent("taylor", 0.5, 16, removed(3), ("filter",), 7)
    edits = Edits(attributes=(("conv1", "out_channels", 6),), attention=(("attn", 2, 4),))
    cut = State("s1", "s0", StateKind.CUT, removed(0, 2), edits, "bb", 8, 80, verification=check, plan=plan)
    history.put(cut)
    history.put(replace(cut, id="s2"))
    exported = Exported("onnx", (str(tmp_path / "out" / "m.onnx"),), 1e-7, METRIC, 1234)
    settings = RecoverySettings(epochs=2, seed=5)
    history.put(replace(cut, id="s3", parent="s1", kind=StateKind.RECOVERED, recovery=settings, exports=(exported,)))
    history.put(replace(cut, id="s4", parent="s3", removed=removed(0, 1, 2), plan=None))
    history.put(replace(cut, id="s5", parent="s4", kind=StateKind.ATTACHED, removed=removed(0, 1, 2), weights="cc"))
    return history


def test_the_steps_are_the_path_to_the_state_in_order(history: StateHistory) -> None:
    recipe = recipe_of(history, "s5", ANALYSIS)
    names = [msgspec.to_builtins(step)["step"] for step in recipe.steps]
    assert names == ["open", "score", "plan", "cut", "recover", "export", "plan", "cut", "attach"]


def test_each_plan_names_only_what_it_marks_in_original_coordinates(history: StateHistory) -> None:
    first, second = (step for step in recipe_of(history, "s4", ANALYSIS).steps if isinstance(step, Plan))
    assert from_identities(ANALYSIS, first.outcome.removed)[0].nonzero()[0].tolist() == [0, 2]
    assert from_identities(ANALYSIS, second.outcome.removed)[0].nonzero()[0].tolist() == [1]
    assert (first.intent.keep_macs, first.intent.multiple, first.intent.seed) == (0.5, 16, 7)


def test_a_recipe_never_carries_consent_to_pickles(history: StateHistory) -> None:
    first = recipe_of(history, "s1", ANALYSIS).steps[0]
    assert isinstance(first, Open) and history.spec is not None
    assert history.spec.trust_pickle and not first.intent.model.trust_pickle


def test_a_written_recipe_reads_back_equal(history: StateHistory, tmp_path: Path) -> None:
    recipe = recipe_of(history, "s5", ANALYSIS)
    write_recipe(tmp_path / "r" / "recipe.json", recipe)
    assert read_recipe(tmp_path / "r" / "recipe.json") == recipe


def test_paths_are_relative_to_the_recipe_and_move_with_it(history: StateHistory, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "code").mkdir(parents=True)
    history.spec = replace(history.spec, source=f"{here}/code/model.py:make", weights=f"{here}/code/w.pt")  # type: ignore[type-var]
    write_recipe(here / "recipe.json", recipe_of(history, "s5", ANALYSIS))
    assert str(here) not in (here / "recipe.json").read_text()
    shutil.move(here, there)
    steps = read_recipe(there / "recipe.json").steps
    assert isinstance(steps[0], Open)
    assert steps[0].intent.model.source == f"{there}/code/model.py:make"
    assert steps[0].intent.model.weights == f"{there}/code/w.pt"
    export, attach = (next(s for s in steps if isinstance(s, kind)) for kind in (Export, Attach))
    assert export.intent.path == str(tmp_path / "out" / "m.onnx")  # type: ignore[union-attr]
    assert attach.intent.weights == str(tmp_path / "session" / "weights" / "cc.safetensors")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("\xff", "not valid JSON"),
        ("[]", "schema"),
        ('{"steps": []}', "schema"),
        ('{"schema": 99, "steps": []}', "newer version"),
        ('{"schema": 1, "steps": []}', "opens a model"),
        ('{"schema": 1, "steps": [{"step": "dance"}]}', "dance"),
        ('{"schema": 1, "steps": [{"step": "open", "intent": {"model": {"weights": "x"}}}]}', "source"),
        ('{"schema": 1, "steps": [{"step": "cut"}]}', "opens a model"),
    ],
)
def test_a_bad_recipe_is_a_sentence(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(OpenError, match=words) as raised:
        read_recipe(path)
    assert str(path) in str(raised.value)


def test_a_missing_recipe_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OpenError, match=r"Cannot read .*: No such file"):
        read_recipe(tmp_path / "recipe.json")


def test_the_file_is_for_people_and_says_its_schema(history: StateHistory, tmp_path: Path) -> None:
    write_recipe(tmp_path / "recipe.json", recipe_of(history, "s1", ANALYSIS))
    text = (tmp_path / "recipe.json").read_text()
    content = json.loads(text)
    assert content["schema"] == 1 and "\n  " in text
    plan = next(step for step in content["steps"] if step["step"] == "plan")
    assert plan["intent"]["criterion"] == "taylor" and plan["outcome"]["removed"] == removed(0, 2)
    cut = next(step for step in content["steps"] if step["step"] == "cut")
    assert cut["outcome"]["verification"]["checks"][0]["difference"] == 1e-16


def test_numpy_numbers_in_metrics_are_written_as_numbers(history: StateHistory, tmp_path: Path) -> None:
    metric = replace(METRIC, value=np.float32(0.5), count=np.int64(3))  # type: ignore[arg-type]
    state = history.add_metric("s1", metric)
    write_recipe(tmp_path / "recipe.json", recipe_of(history, state.id, ANALYSIS))
    recipe = read_recipe(tmp_path / "recipe.json")
    assert isinstance(recipe, Recipe) and METRIC.split is Split.TEST
    assert recipe.steps[-1].outcome.metrics[0].value == 0.5


def test_choices_about_scores_come_back_and_older_recipes_have_none(history: StateHistory, tmp_path: Path) -> None:
    choices = Choices(Combine.MAX, Slices.ALL, Normalise.L2, 8, {"head|a.weight|0": [2]})
    state = history.state("s1")
    assert state.plan is not None
    history.put(replace(state, plan=replace(state.plan, choices=choices, seed=3)))
    write_recipe(tmp_path / "recipe.json", recipe_of(history, "s1", ANALYSIS))
    steps = {type(step).__name__: step for step in read_recipe(tmp_path / "recipe.json").steps}
    assert isinstance(steps["Score"], Score) and isinstance(steps["Plan"], Plan)
    assert steps["Score"].intent.choices == steps["Plan"].intent.choices == choices
    assert from_plain({"criterion": "l1"}, PlanIntent).choices == Choices()

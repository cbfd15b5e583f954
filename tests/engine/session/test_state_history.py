"""A history read back from its log is the history that was written, wherever the crash came."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from secateur.engine.errors import OpenError, PlanError
from secateur.engine.session.state_history import StateHistory, is_project
from secateur.engine.session.states import PlanIntent, State, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.surgery.cut.edits import Check, Edits, Verification
from secateur.engine.targets.protocol import TargetSpec, Timing
from secateur.engine.tasks.protocol import Metric, Split, TaskSpec

METRIC = Metric("top-1", 0.9, 1000, 0.01, Split.TEST)
ORIGINAL = State("s0", "", StateKind.ORIGINAL, {}, Edits(), "aa" * 32, 10, 100, metrics=(METRIC,))
CUT = State(
    id="s1",
    parent="s0",
    kind=StateKind.CUT,
    removed={"filter|conv1.weight|0": [1, 5]},
    edits=Edits(
        (("a", {"tuple": [{"input": "0"}, None]}),),
        (("conv1", "out_channels", 6),),
        (("attn", 2, 8),),
        (("", "view", 0, "1", 64),),
    ),
    weights="bb" * 32,
    parameters=8,
    macs=80,
    verification=Verification((Check("removal", float("nan"), float("inf"), 1e-9, "float64"),), ("permutation: no",)),
    timings=(Timing(TargetSpec(), 1.0, 0.9, 1.1, 30, "a machine"),),
    plan=PlanIntent("l1", 0.5, 8, {"k": [1]}, ("filter",), 3),
)


@pytest.fixture
def history(tmp_path: Path) -> StateHistory:
    history = StateHistory(tmp_path / "session")
    history.open(ModelSpec("bundled:resnet", input_shape=(1, 1, 28, 28)), TaskSpec("bundled", mean=(0.5,)), ORIGINAL)
    history.put(CUT)
    history.put(replace(CUT, id="s2", parent="s1", kind=StateKind.RECOVERED, verification=None))
    return history


def reread(history: StateHistory) -> StateHistory:
    other = StateHistory(history.folder)
    other.read()
    return other


def test_it_reads_back_equal_enums_tuples_and_unfinite_numbers_included(history: StateHistory) -> None:
    other = reread(history)
    assert repr(other.states) == repr(history.states)
    assert (other.spec, other.task, other.versions) == (history.spec, history.task, history.versions)
    assert other.states["s1"].kind is StateKind.CUT and isinstance(other.states["s1"].edits.attributes[0], tuple)


def test_a_metric_replaces_the_one_of_the_same_name_and_split(history: StateHistory) -> None:
    history.add_metric("s0", replace(METRIC, value=0.8))
    history.add_metric("s0", replace(METRIC, value=0.7, split=Split.VAL))
    assert [(m.value, m.split) for m in reread(history).states["s0"].metrics] == [(0.8, "test"), (0.7, "val")]


def test_another_task_forgets_what_the_earlier_one_measured(history: StateHistory) -> None:
    history.add_metric("s1", METRIC)
    history.attach_task(TaskSpec("bundled", batch=8), replace(ORIGINAL, metrics=(replace(METRIC, value=0.1),)))
    for one in (history, reread(history)):
        assert one.states["s1"].metrics == () and one.states["s0"].metrics[0].value == 0.1
        assert one.task == TaskSpec("bundled", batch=8)


def test_opening_another_model_begins_anew(history: StateHistory) -> None:
    history.open(ModelSpec("bundled:vit"), None, replace(ORIGINAL, weights="cc" * 32))
    assert list(reread(history).states) == ["s0"] and reread(history).task is None


def test_a_torn_state_is_as_if_it_had_not_been_made(history: StateHistory) -> None:
    log = history.folder / "events.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    assert list(reread(history).states) == ["s0", "s1"]


def test_the_path_to_a_state_leaves_other_branches_out(history: StateHistory) -> None:
    history.put(replace(CUT, id="s3", parent="s0"))
    assert [state.id for state in history.path_to("s2")] == ["s0", "s1", "s2"]
    with pytest.raises(PlanError, match="no state s9"):
        history.path_to("s9")


def test_a_folder_without_a_session_is_a_sentence(tmp_path: Path) -> None:
    assert not is_project(str(tmp_path))
    with pytest.raises(OpenError, match="holds no session"):
        StateHistory(tmp_path).read()


def test_a_later_schema_or_another_shape_is_a_sentence(history: StateHistory) -> None:
    log = history.folder / "events.jsonl"
    text = log.read_text()
    log.write_text(text.replace('"schema":1', '"schema":9'))
    with pytest.raises(OpenError, match="newer version"):
        reread(history)
    log.write_text(text.replace('"parent":"s0"', '"parent":7.5'))
    with pytest.raises(OpenError, match="does not know"):
        reread(history)


def test_a_project_moves_with_its_code_and_leaves_consent_behind(history: StateHistory, tmp_path: Path) -> None:
    spec = ModelSpec(f"{tmp_path}/code/model.py:make", f"{tmp_path}/code/w.pt", trust_pickle=True)
    history.open(spec, TaskSpec("file", f"{tmp_path}/code/task.py"), ORIGINAL)
    history.put(CUT)
    history.write_to(tmp_path / "project")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    os.rename(tmp_path / "project", moved / "project")
    other = StateHistory(moved / "project")
    other.read()
    assert is_project(str(moved / "project")) and repr(other.states["s1"]) == repr(CUT)
    assert other.spec is not None and other.task is not None
    assert other.spec.source == f"{moved}/code/model.py:make" and other.spec.weights == f"{moved}/code/w.pt"
    assert other.task.path == f"{moved}/code/task.py" and not other.spec.trust_pickle


@pytest.mark.parametrize("source", ["bundled:resnet", "torchvision:resnet18", "timm:vit_tiny_patch16_224"])
def test_names_of_sources_are_no_paths(tmp_path: Path, source: str) -> None:
    history = StateHistory(tmp_path)
    history.open(ModelSpec(source), None, ORIGINAL)
    assert reread(history).spec == ModelSpec(source)

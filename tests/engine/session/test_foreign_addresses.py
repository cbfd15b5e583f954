"""Nothing of a stranger's project leads to a machine, whatever this user writes from it; his own keeps its machines."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from secateur.engine.baselines.protocol import Baseline, BaselineKind, BaselineSpec
from secateur.engine.export.protocol import Exported
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recipes.recipe import is_own, read_recipe, write_recipe
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.state_history import LOG, StateHistory
from secateur.engine.session.states import MaskIntent, PlanIntent, Request, State, StateKind
from secateur.engine.sharing.read_shared import handed
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.surgery.cut.edits import Edits
from secateur.engine.targets.protocol import TargetSpec, Timing, addresses_in, without_addresses
from secateur.engine.tasks.protocol import Metric, Split

ADDRESS = "ssh://me@board"
TARGET = TargetSpec(machine="board", address=ADDRESS)
TIMING = Timing(TARGET, 1.0, 0.9, 1.1, 30, "a board")
EXPORTED = Exported("onnx", ("/tmp/a.onnx",), 0.0, None, 1000, timings=(TIMING,))
PLAN = PlanIntent("l1", goal=Goal((Limit(Cost.LATENCY, 0.6),), target=TARGET))
ORIGINAL = State("s0", "", StateKind.ORIGINAL, {}, Edits(), "aa" * 32, 10, 100, timings=(TIMING,))
CUT = State("s1", "s0", StateKind.CUT, {"k": [1]}, Edits(), "bb" * 32, 8, 80, plan=PLAN, exports=(EXPORTED,))
MASKED = replace(CUT, id="s2", kind=StateKind.MASKED, plan=None, masks=MaskIntent(PLAN, RecoverySettings(), 10))
TOP1 = Metric("top-1", 0.9, 1000, 0.01, Split.TEST)
BESIDE = Baseline("b0", "s1", BaselineSpec(BaselineKind.RANDOM), "", "cc" * 32, 8, 80, 1, TOP1, (TIMING,))


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Work as another user from now on, who has another key."""
    return lambda name: monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / name))


@pytest.fixture
def project(tmp_path: Path, user: Callable[[str], None]) -> Path:
    """A stranger's project that holds an address wherever one can be."""
    user("stranger")
    history = StateHistory(tmp_path / "project")
    history.open(ModelSpec("bundled:resnet"), None, ORIGINAL)
    history.ask(Request("sweep", {"over_ssh": ADDRESS, "budgets": [0.5]}, "s0", files=("/home/me/thesis.onnx",)))
    history.put(CUT)
    history.put(MASKED)
    history.put_baseline(BESIDE)
    assert (history.folder / LOG).read_text().count(ADDRESS) == 7
    return history.folder


def reread(folder: Path) -> StateHistory:
    history = StateHistory(folder)
    history.read()
    return history


def test_a_strangers_project_leads_to_no_machine_once_it_is_read(project: Path, user: Callable[[str], None]) -> None:
    user("me")
    history = reread(project)
    assert addresses_in((*history.states.values(), *history.baselines.values())) == []
    assert [state.plan and state.plan.goal for state in (history.state("s1"),)] == [PLAN.goal]  # all but the address
    assert [note.code for note in history.notes] == ["session.machine"] and ADDRESS in str(history.notes[0])
    asked = history.request
    assert asked is not None and (asked.options, asked.files) == ({"budgets": [0.5]}, ())
    assert asked.elsewhere == ADDRESS  # so that a sweep asks before it goes on here


def test_what_this_user_writes_from_it_has_his_seal_and_no_machine(
    project: Path, user: Callable[[str], None], tmp_path: Path
) -> None:
    user("me")
    recipe = handed(project, "s1").recipe
    write_recipe(tmp_path / "recipe.json", recipe)
    assert is_own(recipe) and is_own(read_recipe(tmp_path / "recipe.json"))
    assert addresses_in(recipe) == [] and ADDRESS not in (tmp_path / "recipe.json").read_text()
    reread(project).write_to(tmp_path / "copy")
    copy = reread(tmp_path / "copy")
    assert copy.notes == () and (copy.request and copy.request.elsewhere) == ADDRESS and not copy.owns_request
    assert addresses_in(tuple(copy.states.values())) == []


def test_an_own_project_keeps_its_machines_through_copies(
    project: Path, user: Callable[[str], None], tmp_path: Path
) -> None:
    history = reread(project)  # by the one who made it
    history.write_to(tmp_path / "copy", consent=True)
    for one in (history, reread(tmp_path / "copy")):
        assert one.notes == ()
        plans = [one.state("s1").plan, one.state("s2").masks]
        assert all(addresses_in(plan) == [ADDRESS] for plan in plans)
        assert one.request is not None and one.request.reach == [ADDRESS, "/home/me/thesis.onnx"] and one.owns_request


def test_a_seal_vouches_for_the_address_that_was_sealed_only(project: Path) -> None:
    log = project / LOG
    log.write_text(log.read_text().replace(ADDRESS, "ssh://me@mallory"))
    assert addresses_in(tuple(reread(project).states.values())) == []
    records = [json.loads(line) for line in log.read_text().splitlines()]
    for record in records:
        record["seal"] = "00" * 32
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert addresses_in(tuple(reread(project).states.values())) == []


def replayed(source: Path, folder: Path) -> None:
    """Give the records of a log the seals that the same kinds of records have in another one."""
    seals = {record["event"]: record.get("seal") for record in map(json.loads, (source / LOG).read_text().splitlines())}
    records = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    lines = [json.dumps(one | {"seal": seals[one["event"]]}) for one in records if one["event"] != "baseline"]
    (folder / LOG).write_text("".join(line + "\n" for line in lines))


def test_a_seal_is_worth_nothing_on_another_record_or_in_another_project(
    tmp_path: Path, user: Callable[[str], None]
) -> None:
    """Who was given a project has its seals: he may not put them on a model, or a request, of his own."""
    given, request = tmp_path / "given", Request("run", {"over_ssh": ADDRESS}, "s0", files=("/home/me/thesis.onnx",))
    other_request, other_cut = (
        replace(request, options={"over_ssh": ADDRESS, "mode": ""}),
        replace(CUT, weights="ef" * 32),
    )
    made = [
        (replace(ORIGINAL, weights="ee" * 32), request, CUT),
        (ORIGINAL, other_request, other_cut),
        (ORIGINAL, request, CUT),
    ]
    user("me")
    for place, name in ((given, "me"), *((tmp_path / str(number), "stranger") for number in range(3))):
        user(name)
        original, asked, cut = made[-1] if place == given else made[int(place.name)]
        history = StateHistory(place)
        history.open(ModelSpec("bundled:resnet"), None, original)
        history.ask(asked)
        history._append(history._state_record(cut))
    user("me")
    found = list[tuple[list[str], bool]]()
    for number in range(3):
        replayed(given, tmp_path / str(number))
        history = reread(tmp_path / str(number))
        assert history.request is not None
        found.append((addresses_in(tuple(history.states.values())), bool(history.request.reach)))
    assert found == [([], False), ([], False), ([ADDRESS], True)]  # the last is what was given, word by word


def test_where_no_key_can_be_kept_an_address_holds_for_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    history = StateHistory(tmp_path / "project")
    history.open(ModelSpec("bundled:resnet"), None, ORIGINAL)
    history.ask(Request("sweep", {"over_ssh": ADDRESS}, "s0"))
    history.put(CUT)
    assert addresses_in(history.state("s1")) == [ADDRESS] and history.notes == ()
    assert addresses_in(reread(history.folder).state("s1")) == []


def test_only_what_changes_is_made_anew() -> None:
    bare = without_addresses(MASKED)
    assert addresses_in(MASKED) == [ADDRESS] and addresses_in(bare) == []
    assert bare.edits is MASKED.edits and without_addresses(bare) is bare

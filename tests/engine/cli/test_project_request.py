"""The same command goes on where it was stopped, and a sweep goes on as it was begun, in the project that it wrote."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from secateur.engine.cli import autosave
from secateur.engine.cli.arguments import WrongUsage, given, parse_kept, parser
from secateur.engine.cli.main import main
from secateur.engine.jobs import Job, finish
from secateur.engine.recipes import replay
from secateur.engine.session.session import Session
from secateur.engine.session.state_history import StateHistory
from secateur.engine.session.states import State
from secateur.engine.sharing.session_files import save_project
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.workflows import export
from secateur.engine.workflows.export import export_state
from tests.engine.session.small import write_project

pytestmark = pytest.mark.end_to_end

Capture = pytest.CaptureFixture[str]
FAST = ["--criterion", "l1", "--multiple", "4", "--epochs", "1", "--threads", "1"]


class Killed(BaseException):
    """What nothing in the program catches, and after which nothing of it runs."""


@pytest.fixture
def mine(tmp_path: Path) -> list[str]:
    write_project(tmp_path / "mine")
    return [f"{tmp_path / 'mine' / 'model.py'}:make", "--task", str(tmp_path / "mine" / "data.npz")]


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a command and kills it when a step of the session is asked for the n-th time: it saves nothing any more."""

    def run(command: list[str], step: str, number: int = 1) -> None:
        homes, name = ([export, replay], "export_state") if step == "export" else ([Session], step)
        count, real = iter(range(1, 100)), getattr(homes[0], name)

        def stopped(session: Session, *args: Any, **kwargs: Any) -> Job[Any]:
            if next(count) == number:
                monkeypatch.setattr(autosave, "save_result", lambda *_: "")
                raise Killed
            return (yield from real(session, *args, **kwargs))

        with monkeypatch.context() as patch:
            for home in homes:
                patch.setattr(home, name, stopped)
            with pytest.raises(Killed):
                main(command)
        monkeypatch.undo()

    return run


def states(project: Path | str) -> dict[str, State]:
    history = StateHistory(Path(project))
    history.read()
    return history.states


def left_at(project: Path | str) -> str:
    return json.loads((Path(project) / "project.json").read_text())["state"]


def result(capsys: Capture) -> dict[str, Any]:
    """What was printed, but for when each number was measured."""

    def timeless(one: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in one.items() if name != "when"}

    return json.loads(capsys.readouterr().out, object_hook=timeless)


def test_killed_between_the_recovery_and_the_last_evaluation_it_goes_on(
    mine: list[str], tmp_path: Path, killed, capsys: Capture
) -> None:
    goal = ["--keep-macs", "60%", *FAST, "--json"]
    assert main(["prune", *mine, *goal, "--save", str(tmp_path / "whole")]) == 0
    whole = result(capsys)
    project, file = str(tmp_path / "project"), tmp_path / "out.pt2"
    killed(["prune", *mine, *goal, "--save", project], "evaluate_once")
    capsys.readouterr()
    found = states(project)
    assert [one.kind.value for one in found.values()] == ["original", "cut", "recovered"]
    assert not any(metric.split == "test" for metric in found["s2"].metrics)
    assert main(["prune", project, *goal, "--save", project, "--export", str(file)]) == 0
    again = result(capsys)
    assert again["metrics"] == whole["metrics"] and again["after"] == whole["after"] and file.exists()
    assert [one.weights for one in states(project).values()] == [
        one.weights for one in states(tmp_path / "whole").values()
    ]


@pytest.mark.parametrize(("step", "number"), [("cut", 1), ("recover", 1), ("cut", 2), ("recover", 2), ("export", 1)])
def test_killed_at_any_step_of_its_rounds_it_goes_on(
    mine: list[str], tmp_path: Path, killed, capsys: Capture, step: str, number: int
) -> None:
    project, out = str(tmp_path / "project"), str(tmp_path / "out.pt2")
    goal = ["--keep-params", "50%", "--rounds", "2", *FAST, "--export", out, "--json"]
    killed(["prune", *mine, *goal, "--save", project], step, number)
    begun = "s1" in (states(project) if Path(project).exists() else {})
    assert begun or (step, number) == ("cut", 1)
    assert main(["prune", *([project] if begun else mine), *goal, "--save", project]) == 0
    assert [one.kind.value for one in states(project).values()] == ["original", *["cut", "recovered"] * 2]
    assert Path(out).exists()


def test_the_same_once_more_gives_the_same_and_another_goal_goes_on_from_the_result(
    mine: list[str], tmp_path: Path, capsys: Capture
) -> None:
    project = str(tmp_path / "project")
    assert main(["prune", *mine, "--keep-macs", "60%", *FAST, "--save", project, "--json"]) == 0
    first = result(capsys)
    again = ["prune", project, "--save", project, "--json"]
    assert main([*again, "--keep-macs", "60%", *FAST]) == 0
    assert result(capsys)["after"] == first["after"] and len(states(project)) == 3
    assert main([*again, "--keep-macs", "40%", *FAST]) == 0
    assert [one.parent for one in states(project).values()] == ["", "s0", "s1", "s2", "s3"]


def test_a_cut_without_recovery_once_more_gives_the_same(mine: list[str], tmp_path: Path, capsys: Capture) -> None:
    goal = ["--keep-macs", "60%", "--no-recover", "--threads", "1", "--save", str(tmp_path / "project"), "--json"]
    assert main(["prune", *mine, *goal]) == 0
    first = result(capsys)
    assert main(["prune", str(tmp_path / "project"), *goal]) == 0
    assert result(capsys)["after"] == first["after"] and len(states(tmp_path / "project")) == 2


def test_a_run_that_was_stopped_has_no_result_to_go_on_from(
    mine: list[str], tmp_path: Path, killed, capsys: Capture
) -> None:
    project = str(tmp_path / "project")
    killed(["prune", *mine, "--keep-macs", "40%", *FAST, "--save", project], "recover")
    assert main(["prune", project, "--keep-macs", "60%", *FAST, "--save", project]) == 0
    assert [one.parent for one in states(project).values()] == ["", "s0", "s0", "s2"]


def test_what_a_person_did_since_is_gone_on_with(mine: list[str], tmp_path: Path, killed, capsys: Capture) -> None:
    project = str(tmp_path / "project")
    goal = ["--keep-macs", "60%", *FAST, "--save", project]
    assert main(["prune", *mine, *goal]) == 0
    session = Session(tmp_path / "window", exclusive=True)
    opened = finish(session.open(ModelSpec(project)))
    marks = session.removed("s2").copy()
    marks[next(n for n, gone in enumerate(marks) if not gone)] = True
    assert opened.state.id == "s0" and finish(session.cut("s2", marks)).id == "s3"
    finish(save_project(session, project, "s3"))
    session.close()
    assert main(["prune", project, *goal]) == 1
    assert "already meets the goal" in capsys.readouterr().err


def test_a_search_goes_on_and_a_stricter_one_begins_where_it_began(
    mine: list[str], tmp_path: Path, killed, capsys: Capture
) -> None:
    project = str(tmp_path / "project")
    loose, strict = (["--max-loss", loss, *FAST, "--save", project, "--json"] for loss in ("90%", "70%"))
    killed(["prune", *mine, *loose], "recover", 3)
    capsys.readouterr()
    made = len(states(project))
    assert main(["prune", project, *loose]) == 0
    first = result(capsys)
    assert len(states(project)) > made and all(
        one.parent in ("", "s0") or one.recovery for one in states(project).values()
    )
    assert main(["prune", project, *loose]) == 0
    assert result(capsys)["search"] == first["search"]
    main(["prune", project, *strict])
    assert {one.parent for one in states(project).values() if one.kind == "cut"} == {"s0"}


def test_a_sweep_goes_on_as_it_was_begun_in_its_project(
    mine: list[str], tmp_path: Path, killed, capsys: Capture
) -> None:
    settings = ["--budgets", "80%,60%", "--cost", "parameters", *FAST]
    assert main(["sweep", *mine, *settings, "--save", str(tmp_path / "whole"), "--json"]) == 0
    whole = result(capsys)
    project = str(tmp_path / "project")
    killed(["sweep", *mine, *settings, "--save", project], "recover", 2)
    capsys.readouterr()
    assert len(states(project)) == 4
    assert main(["sweep", project, "--json"]) == 0
    assert result(capsys)["points"] == whole["points"]
    assert [one.weights for one in states(project).values()] == [
        one.weights for one in states(tmp_path / "whole").values()
    ]
    file = Path(project) / "project.json"
    file.write_text(file.read_text().replace('"s4"', '"s1"'))  # as a run leaves it that is killed when it goes on
    assert main(["sweep", project]) == 0
    assert left_at(project) == left_at(tmp_path / "whole") == "s4"
    assert main(["sweep", project, "--budgets", "80%,60%,40%"]) == 0
    said = capsys.readouterr().err
    assert "with its first settings: parameters 80%, 60%, 40%, 1 epochs" in said
    assert len(states(project)) == 7 and all(
        one.recovery.epochs == 1 for one in states(project).values() if one.recovery
    )
    assert main(["sweep", project, "--budgets", "80%", "--no-recover"]) == 0
    assert "no recovery" in capsys.readouterr().err and len(states(project)) == 7


@pytest.mark.parametrize("command", ["prune", "sweep"])
def test_the_command_as_it_was_typed_goes_on_and_another_one_is_refused(
    mine: list[str], tmp_path: Path, killed, capsys: Capture, command: str
) -> None:
    project = str(tmp_path / "project")
    goal = ["--keep-macs", "60%"] if command == "prune" else ["--budgets", "80%,60%"]
    parse_kept = [command, *mine, *goal, *FAST, "--save", project]
    killed(parse_kept, "recover")
    assert list(states(project)) == ["s0", "s1"]
    capsys.readouterr()
    assert main([*parse_kept, "--rounds", "2"]) != 0 and "already holds a project" in capsys.readouterr().err
    assert main([command, *mine[:1], *goal, *FAST, "--save", project]) != 0
    assert "already holds a project" in capsys.readouterr().err
    for _ in range(2):
        assert main(parse_kept) == 0
        assert len(states(project)) == (3 if command == "prune" else 5)


@pytest.mark.parametrize(("step", "number"), [("recover", 1), ("cut", 2), ("recover", 2), ("export", 1)])
def test_a_recipe_that_was_stopped_goes_on_in_its_project(
    mine: list[str], tmp_path: Path, killed, capsys: Capture, step: str, number: int
) -> None:
    goal = ["--keep-params", "50%", "--rounds", "2", *FAST, "--export", str(tmp_path / "out.pt2")]
    assert main(["prune", *mine, *goal, "--save", str(tmp_path / "whole")]) == 0
    recipe, project = str(tmp_path / "whole" / "recipe.json"), str(tmp_path / "project")
    (tmp_path / "again").mkdir()
    again = ["run", recipe, "--out", str(tmp_path / "again"), "--save", project]
    killed(again, step, number)
    made = len(states(project))
    assert made > 1
    assert main(again) == 0
    assert [one.weights for one in states(project).values()] == [
        one.weights for one in states(tmp_path / "whole").values()
    ]
    assert main(again) == 0 and len(states(project)) == 5
    other = tmp_path / "other.json"
    other.write_text(Path(recipe).read_text().replace('"epochs": 1', '"epochs": 2'))
    capsys.readouterr()
    assert main(["run", str(other), "--out", str(tmp_path), "--overwrite", "--trust-code", "--save", project]) == 1
    assert "already holds a project" in capsys.readouterr().err


def bytes_of(folder: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


@pytest.mark.parametrize("command", ["prune", "run"])
def test_a_run_of_others_or_of_other_weights_is_not_gone_on_with(
    mine: list[str], tmp_path: Path, killed, capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    model, weights = loaded(mine[0].removesuffix(":make")), tmp_path / "net.pt"
    torch.save(model.state_dict(), weights)
    parse_kept = ["prune", *mine, "--weights", str(weights), "--keep-macs", "60%", *FAST]
    if command == "run":
        assert main([*parse_kept, "--save", str(tmp_path / "whole")]) == 0
        parse_kept = ["run", str(tmp_path / "whole" / "recipe.json")]
    project = str(tmp_path / "project")
    killed([*parse_kept, "--save", project], "recover")
    left = bytes_of(project)
    capsys.readouterr()

    with torch.no_grad():  # trained again since, into the same file
        model.fc.weight.mul_(1.5)
    before = weights.read_bytes()
    torch.save(model.state_dict(), weights)
    assert main([*parse_kept, "--save", project]) != 0
    assert "was begun with other weights than" in capsys.readouterr().err and bytes_of(project) == left
    weights.write_bytes(before)

    with monkeypatch.context() as patch:  # the same command of somebody else, whose key is another one
        patch.setenv("XDG_STATE_HOME", str(tmp_path / "other home"))
        again = [*parse_kept, "--save", project, *(["--trust-code"] if command == "run" else [])]
        assert main(again) != 0 and "already holds a project" in capsys.readouterr().err
        monkeypatch.chdir(project)
        assert main([*again, "--save", "."]) != 0 and "already holds a project" in capsys.readouterr().err
        assert bytes_of(project) == left
    assert main([*parse_kept, "--save", project]) == 0
    assert [one.kind.value for one in states(project).values()] == ["original", "cut", "recovered"]


def loaded(file: str) -> Any:
    """The model that a Python file makes."""
    made: dict[str, Any] = {}
    exec(Path(file).read_text(), made)
    return made["make"]()


def test_a_run_that_goes_on_replaces_its_own_export_and_no_other(
    mine: list[str], tmp_path: Path, capsys: Capture
) -> None:
    project, own, other = (str(tmp_path / name) for name in ("project", "own.pt2", "other.pt2"))
    parse_kept = ["prune", *mine, "--keep-macs", "60%", *FAST, "--save", project]
    with pytest.MonkeyPatch.context() as patch:  # killed once the file is written, and nothing says so yet

        def written(*args: Any) -> Any:
            yield from export_state(*args)
            patch.setattr(autosave, "save_result", lambda *_: "")
            raise Killed

        patch.setattr(export, "export_state", written)
        with pytest.raises(Killed):
            main([*parse_kept, "--export", own])
    Path(other).write_text("mine")
    before = Path(own).stat().st_mtime_ns
    for _ in range(2):  # also when it has ended
        assert main([*parse_kept, "--export", own]) == 0
    assert Path(own).stat().st_mtime_ns > before
    capsys.readouterr()
    assert main([*parse_kept, "--export", other]) != 0 and "--overwrite" in capsys.readouterr().err
    assert Path(other).read_text() == "mine"
    log = Path(project) / "events.jsonl"  # as a stranger's project, which names what it would like to be replaced
    log.write_text(log.read_text().replace('"seal":"', '"seal":"0').replace(own, other))
    assert main(["prune", project, "--keep-macs", "60%", *FAST, "--trust-code", "--export", other]) != 0
    assert Path(other).read_text() == "mine"


def test_an_argument_is_given_also_where_it_is_as_by_default() -> None:
    for words, names in (
        (["sweep", "m"], {"model"}),
        (["sweep", "m", "--cost", "macs", "--rounds", "1"], {"model", "cost", "rounds"}),
        (["sweep", "--lock", "a", "m", "--lock=b", "--dept"], {"model", "lock", "depth"}),
        (["run", "recipe.json", "--threads", "1"], {"recipe", "threads"}),
    ):
        assert given(words, parser().parse_args(words)) == names


def test_settings_that_were_kept_are_read_as_if_they_were_typed() -> None:
    words = "--budgets 80%,33% --lock a --lock b* --multiple-of head=2 --min-keep 25% --depth --learning-rate 1e-5"
    words += " --keep heads=70% key/value-groups=10 --keep residual-channels=64"
    arguments = parser().parse_args(["sweep", "m", *words.split()])
    options = {name: value for name, value in vars(arguments).items() if name not in ("model", "command")}
    kept = json.loads(json.dumps(options))
    assert parse_kept("sweep", kept) == options
    for wrong in ({"budgets": "many"}, {"lock": {}}, {"epochs": 1, "no_recover": True}, {"keep_macs": 0.5}):
        with pytest.raises(WrongUsage):
            parse_kept("sweep", kept | wrong)


def test_a_request_of_before_an_option_was_added_is_the_same_request(mine: list[str], tmp_path: Path) -> None:
    """Its options have none of it; it was as if that had its default."""
    folder = tmp_path / "project"
    command = ["prune", *mine, *FAST, "--keep-macs", "60%", "--save", str(folder)]
    assert main(command) == 0
    history = StateHistory(folder)
    history.read()
    known = history.request
    assert known is not None
    older = {name: value for name, value in known.options.items() if name not in ("weight_decay", "warm_up")}
    history.ask(replace(known, options=older))
    before = len(history.states)
    assert main(command) == 0
    history.read()
    assert len(history.states) == before

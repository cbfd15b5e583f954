"""Each command's contract: one JSON object or a readable summary, files that exist, exit code 0 only when done."""

import inspect
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from secateur.engine.cli.main import main
from secateur.engine.session.session import Session
from secateur.engine.session.state_history import StateHistory, is_project
from tests.engine.session.small import write_project
from tests.engine.structures.test_unread_parameters import Expert, Mixture
from tests.engine.surgery.repair.test_keep_class import Attention, Encoder
from tests.warm_start import python

pytestmark = pytest.mark.usefixtures("few_images")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    write_project(tmp_path / "mine")
    return tmp_path / "mine"


def model_and_task(mine: Path) -> list[str]:
    return [f"{mine / 'model.py'}:make", "--task", str(mine / "data.npz"), "--threads", "1"]


def one_object(capsys: Capture) -> dict[str, Any]:
    """Standard output, which holds one JSON object and nothing else."""
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and out.endswith("\n")
    return json.loads(out)


def test_inspect_lists_what_can_be_removed_and_what_not(mine: Path, capsys: Capture) -> None:
    assert main(["inspect", f"{mine / 'model.py'}:make", "--input", "1x1x8x8", "--json"]) == 0
    found = one_object(capsys)
    weights = 16 * 9 + 16 + 2 * 16 * 24 * 9 + 2 * 24 + 2 * 16 + 16 * 3 + 3
    assert (found["command"], found["parameters"]) == ("inspect", weights)
    assert found["input_shapes"] == [[2, 1, 8, 8]] and found["macs"] > 0
    assert found["saved_bytes"] > found["peak_bytes"] > 4 * (2 * 24 + 2 * 16) * 64  # the block's own two results
    kinds = {one["key"]: (one["kind"], one["count"], one["module"]) for one in found["sets"]}
    assert kinds["filter|block.conv1.weight|0"] == ("filter", 24, "block.conv1")
    assert found["structures"] == sum(one["count"] for one in found["sets"])
    assert any(one["tensor"] == "fc.weight" and one["dim"] == 0 and "output" in one["reason"] for one in found["fixed"])


def test_inspect_lists_criteria_with_their_cost_or_why_they_are_not_available(mine: Path, capsys: Capture) -> None:
    assert main(["inspect", f"{mine / 'model.py'}:make", "--input", "1x1x8x8", "--json"]) == 0
    found = {one["name"]: one for one in one_object(capsys)["criteria"]}
    assert found["l1"]["available"] and "weights" in found["l1"]["cost"]
    assert not found["wanda"]["available"] and "Attach data" in found["wanda"]["reason"]
    assert main(["inspect", *model_and_task(mine), "--batch", "16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("wanda") and "At most 3 forward passes of one batch each." in line for line in lines)


def test_inspect_reads_well(mine: Path, capsys: Capture) -> None:
    assert main(["inspect", f"{mine / 'model.py'}:make", "--input", "1x1x8x8"]) == 0
    captured = capsys.readouterr()
    assert "7.2 k parameters" in captured.out and "with an input of 2x1x8x8: " in captured.out
    assert " MACs a sample" in captured.out and " kB at the peak" in captured.out
    assert "24 filters" in captured.out and "model output" in captured.out
    assert "Recording" not in captured.out and max(map(len, captured.out.splitlines())) < 160


TWO_OUTPUTS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(6, 12), nn.Linear(12, 3)

    def forward(self, x):
        hidden = torch.relu(self.first(x))
        return {"logits": self.head(hidden), "hidden_states": hidden}

def make():
    return Net()
"""


@pytest.mark.parametrize("command", [["inspect"], ["prune", "--keep-macs", "80%", "--multiple", "1"]])
def test_outputs_that_are_preserved_and_those_that_may_become_narrower_are_listed(
    tmp_path: Path, capsys: Capture, command: list[str]
) -> None:
    (tmp_path / "two.py").write_text(TWO_OUTPUTS)
    source = [command[0], f"{tmp_path / 'two.py'}:make", "--input", "2x6", *command[1:]]
    if command == ["inspect"]:
        assert main([*source, "--json"]) == 0
        both = [{"path": "logits", "shape": [2, 3]}, {"path": "hidden_states", "shape": [2, 12]}]
        found = one_object(capsys)
        assert (found["preserved_outputs"], found["narrower_outputs"]) == (both, [])
    assert main([*source, "--output", "logits"]) == 0
    out = capsys.readouterr().out
    assert "Preserved outputs: logits 2x3." in out
    assert "Outputs that may become narrower: hidden_states 2x12." in out and "(--output)" in out
    assert main([*source, "--output", "logits", "--json"]) == 0
    found = one_object(capsys)
    assert [one["path"] for one in found["preserved_outputs"]] == ["logits"]
    assert [one["path"] for one in found["narrower_outputs"]] == ["hidden_states"]


def test_prune_does_what_was_asked_and_says_it_as_json(mine: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out.onnx"
    goal = ["--keep-macs", "60%", "--criterion", "l1", "--multiple", "4", "--epochs", "1", "--seed", "3"]
    assert main(["prune", *model_and_task(mine), *goal, "--export", str(out), "--json"]) == 0
    done = one_object(capsys)
    assert done["after"]["macs"] <= 0.6 * done["before"]["macs"] and done["got"]["keep_macs"] <= 0.6
    assert done["asked"]["keep_macs"] == 0.6 and done["asked"]["multiple"] == 4 and done["got"]["criterion"] == "l1"
    assert done["verification"]["passed"] and done["verification"]["difference"] < 1e-4
    assert any("Conv2d" in one["text"] and one["code"].startswith("repair.") for one in done["repairs"])
    assert {m["n"] for m in done["metrics"].values()} == {48} and set(done["metrics"]) == {"original", "result"}
    assert done["recovery"]["seed"] == 3 and done["files"] == [str(out)] and done["export"]["metric"]["n"] == 48
    session = onnxruntime.InferenceSession(str(out))
    (logits,) = session.run(None, {session.get_inputs()[0].name: np.zeros((5, 1, 8, 8), np.float32)})
    assert np.asarray(logits).shape == (5, 3)


def test_prune_reads_well_and_keeps_progress_off_standard_output(mine: Path, tmp_path: Path, capsys: Capture) -> None:
    argv = ["prune", *model_and_task(mine), "--keep-macs", "70%", "--no-recover", "--multiple", "1"]
    assert main([*argv, "--save", str(tmp_path / "project")]) == 0
    captured = capsys.readouterr()
    assert "cut verified: equals the masked original" in captured.out and "says nothing about accuracy" in captured.out
    assert "repaired: Conv2d: out_channels" in captured.out
    assert "top-1 (n = 48)" in captured.out and "Cutting" not in captured.out
    assert "Cutting" in captured.err and "\r" not in captured.err
    rows = [line for line in captured.out.splitlines() if line.startswith(("parameters", "MACs", "top-1"))]
    assert len(rows) == 3
    assert is_project(str(tmp_path / "project")) and (tmp_path / "project" / "recipe.json").exists()


def test_a_project_goes_on_from_its_last_state(mine: Path, tmp_path: Path, capsys: Capture) -> None:
    first = ["prune", *model_and_task(mine), "--keep-macs", "80%", "--no-recover", "--multiple", "1"]
    assert main([*first, "--save", str(tmp_path / "project"), "--json"]) == 0
    before = one_object(capsys)
    assert (
        main(["prune", str(tmp_path / "project"), "--keep-macs", "50%", "--no-recover", "--multiple", "1", "--json"])
        == 0
    )
    after = one_object(capsys)
    assert after["before"] == before["before"] and after["after"]["macs"] <= 0.5 * after["before"]["macs"]
    assert main(["prune", str(tmp_path / "project"), "--keep-macs", "90%", "--no-recover"]) == 1
    assert "Nothing was removed" in capsys.readouterr().err


def test_a_goal_of_two_costs_is_met_in_rounds_and_asked_and_got_are_said(mine: Path, capsys: Capture) -> None:
    goal = ["--keep-params", "60%", "--max-size", "18kB", "--multiple", "1", "--rounds", "2", "--depth"]
    argv = ["prune", *model_and_task(mine), *goal, "--no-recover"]
    assert main([*argv, "--json"]) == 0
    done = one_object(capsys)
    parameters, size = done["got"]["costs"]
    assert (parameters["cost"], size["cost"], size["asked"]) == ("parameters", "size", 18_000)
    assert parameters["got"] == done["after"]["parameters"] <= parameters["asked"] == round(0.6 * 7203)
    assert 0.9 * 18_000 < size["got"] <= 18_000 and len(done["rounds"]) == 2 and done["asked"]["keep_macs"] is None
    assert main(argv) == 0
    assert "the file size: asked for 18 kB, got 1" in capsys.readouterr().out


def test_kinds_are_counted_and_their_recipe_plans_them_again(mine: Path, tmp_path: Path, capsys: Capture) -> None:
    project, keep = tmp_path / "project", ["--keep", "filters=18", "--multiple", "1", "--no-recover"]
    assert main(["prune", *model_and_task(mine), *keep, "--save", str(project), "--json"]) == 0
    found = one_object(capsys)
    assert found["got"]["costs"] == [{"cost": "filter", "original": 24, "asked": 18, "got": 18}]
    assert found["got"]["removed"] == {"filter|block.conv1.weight|0": 6}
    assert main(["run", str(project / "recipe.json"), "--threads", "1"]) == 0
    assert "the filters" not in capsys.readouterr().err
    assert main(["prune", *model_and_task(mine), *keep]) == 0
    assert "the filters: asked for 18, got 18" in capsys.readouterr().out
    assert "kept=(KindLimit(Kind.FILTER, count=18),)" in (project / "recipe.py").read_text()


def test_a_locked_module_stays_as_it_is(mine: Path, capsys: Capture) -> None:
    argv = ["prune", *model_and_task(mine), "--keep-params", "90%", "--multiple", "1", "--no-recover"]
    assert main([*argv, "--lock", "stem", "--json"]) == 0
    assert [*one_object(capsys)["got"]["removed"]] == ["filter|block.conv1.weight|0"]
    assert main([*argv, "--lock", "stem", "--lock", "block.bn1"]) == 1
    assert "unlock structures in" in capsys.readouterr().err
    assert main([*argv, "--lock", "layer9"]) == 1
    told = capsys.readouterr().err
    assert "No removable structure touches layer9" in told and "Measuring" not in told  # before the work


@pytest.mark.parametrize("command", [["prune"], ["prune", "--max-loss", "2%"], ["sweep"]])
def test_a_scope_that_holds_nothing_is_refused_before_the_scoring(
    command: list[str], mine: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "score", lambda *_, **__: pytest.fail("it was scored"))
    assert main([command[0], *model_and_task(mine), *command[1:], "--scope", "stem", "--scope", "layer9"]) == 1
    assert "Nothing in layer9 can be removed" in capsys.readouterr().err


def test_sensitivity_lists_what_each_layer_loses(mine: Path, tmp_path: Path, capsys: Capture) -> None:
    argv = ["sensitivity", *model_and_task(mine), "--shares", "50%,90%", "--cache", str(tmp_path / "cache")]
    assert main([*argv, "--json"]) == 0
    done = one_object(capsys)
    assert done["shares"] == [0.5, 0.9] and done["metric"]["split"] == "val" and done["criterion"] == "taylor"
    filters = next(one for one in done["sets"] if one["module"] == "block.conv1")
    assert filters["removed"] == [12, 22] and len(filters["values"]) == 2
    assert main([*argv, "--scope", "block"]) == 0
    out = capsys.readouterr().out
    assert "top-1 on the val split (n = 48)" in out and "block.conv1" in out and "stem" not in out
    assert main(["sensitivity", f"{mine / 'model.py'}:make", "--input", "1x1x8x8", "--json"]) == 1
    assert "--task" in one_object(capsys)["error"]["message"]


def test_a_sweep_says_what_each_budget_costs_and_its_project_goes_on(
    mine: Path, tmp_path: Path, capsys: Capture
) -> None:
    saved = str(tmp_path / "project")
    argv = ["--budgets", "40%,80%", "--cost", "parameters", "--criterion", "l1", "--multiple", "1", "--no-recover"]
    assert main(["sweep", *model_and_task(mine), *argv, "--save", saved, "--json"]) == 0
    done = one_object(capsys)
    whole = done["before"]["parameters"]
    assert [point["keep"] for point in done["points"]] == [0.8, 0.4] and done["before"]["metric"]["n"] == 48
    assert all(p["parameters"] <= p["keep"] * whole and p["metric"]["n"] == 48 for p in done["points"])
    assert main(["sweep", saved, *argv[:1], "80%,40%,0.1%", *argv[2:], "--save", saved]) == 1
    captured = capsys.readouterr()
    rows = [line.split()[0] for line in captured.out.splitlines() if "%" in line]
    assert rows == ["100.0", "80.0", "40.0", "0.1"] and "1 of 3 budgets were missed" in captured.err
    assert "): Cutting" not in captured.err  # what the project holds is not made again


def test_a_default_that_other_cuts_of_a_project_were_not_made_by_is_told(
    mine: Path, tmp_path: Path, capsys: Capture
) -> None:
    saved = str(tmp_path / "project")
    argv = ["sweep", *model_and_task(mine), "--budgets", "80%", "--multiple", "1", "--no-recover", "--save", saved]
    assert main(argv) == 0
    assert main(["sweep", saved, "--save", saved]) == 0
    assert "Earlier cuts" not in capsys.readouterr().err
    assert main(["sweep", saved, "--repair", "least-squares", "--save", saved]) == 0
    told = capsys.readouterr().err
    assert "Earlier cuts of s0 were chosen by taylor; this run chooses by obs, the default here." in told


def test_a_cut_that_is_only_repaired_is_chosen_by_what_counts_on_that(mine: Path, capsys: Capture) -> None:
    argv = ["prune", *model_and_task(mine), "--keep-macs", "70%", "--no-recover", "--multiple", "1", "--json"]
    assert main([*argv, "--repair", "least-squares"]) == 0
    assert one_object(capsys)["got"]["criterion"] == "obs"


def test_without_epochs_a_cut_is_repaired_and_distilled_without_recovery_neither(mine: Path, capsys: Capture) -> None:
    argv = ["prune", *model_and_task(mine), "--keep-macs", "70%", "--multiple", "1", "--json"]
    assert main([*argv, "--epochs", "0"]) == 0
    done = one_object(capsys)
    assert done["recovery"]["repair"] == "distillation" and done["got"]["criterion"] == "obs"
    assert main([*argv, "--no-recover"]) == 0
    assert one_object(capsys)["recovery"] is None


def test_what_a_search_of_shares_gave_is_told(mine: Path, capsys: Capture) -> None:
    arguments = ["prune", *model_and_task(mine), "--keep-macs", "60%", "--multiple", "1", "--no-recover"]
    arguments += ["--search-shares", "6"]
    assert main([*arguments, "--json"]) == 0
    told = one_object(capsys)["notes"]
    assert any("Layers gave each other" in note for note in told)
    assert main(arguments) == 0
    assert "Layers gave each other" in capsys.readouterr().out


def test_taylor_without_data_falls_back_to_l1_and_says_so(mine: Path, capsys: Capture) -> None:
    argv = ["prune", f"{mine / 'model.py'}:make", "--input", "1x1x8x8", "--criterion", "taylor", "--multiple", "1"]
    assert main([*argv, "--json"]) == 0
    done = one_object(capsys)
    assert done["got"]["criterion"] == "l1" and done["metrics"] == {} and done["recovery"] is None
    assert any("l1" in note for note in done["notes"]) and any("recovered" in note for note in done["notes"])


def test_run_does_a_recipe_again(mine: Path, tmp_path: Path, capsys: Capture) -> None:
    first = ["prune", *model_and_task(mine), "--keep-macs", "60%", "--epochs", "1", "--multiple", "4"]
    assert main([*first, "--save", str(tmp_path / "project"), "--json"]) == 0
    recorded = one_object(capsys)
    assert main(["run", str(tmp_path / "project" / "recipe.json"), "--threads", "1", "--json"]) == 0
    done = one_object(capsys)
    assert (done["after"], done["metrics"]["result"]["value"]) == (
        recorded["after"],
        recorded["metrics"]["result"]["value"],
    )
    assert done["got"]["missing"] == [] and all(one["passed"] for one in done["verification"])
    assert main(["run", str(tmp_path / "project"), "--threads", "1"]) == 0
    assert "cut verified" in capsys.readouterr().out


def test_run_on_the_next_version_of_the_model(mine: Path, tmp_path: Path, capsys: Capture) -> None:
    first = ["prune", *model_and_task(mine), "--keep-macs", "60%", "--no-recover", "--multiple", "4"]
    assert main([*first, "--save", str(tmp_path / "project")]) == 0
    (mine / "next.py").write_text((mine / "model.py").read_text().replace("24", "16"))
    capsys.readouterr()
    assert main(["run", str(tmp_path / "project"), "--model", f"{mine / 'next.py'}:make", "--json"]) == 0
    done = one_object(capsys)
    assert done["got"]["missing"] and done["got"]["keep_macs"] <= 0.6
    assert any("Planned again" in note for note in done["notes"])


def test_what_models_print_stays_off_standard_output(mine: Path) -> None:
    code = mine / "model.py"
    code.write_text("import os\nprint('hello')\nos.write(1, b'from below\\n')\n" + code.read_text())
    argv = python("-m", "secateur.engine.cli.main", "inspect", f"{code}:make", "--input", "1x1x8x8", "--json")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=os.environ, cwd=mine)
    assert done.returncode == 0 and json.loads(done.stdout)["parameters"] > 0
    assert "hello" in done.stderr and "from below" in done.stderr


def test_the_bundled_model_is_pruned_without_a_word_more(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "resnet"
    assert main(["prune", "bundled:resnet", "--no-recover", "--export", str(out), "--threads", "1", "--json"]) == 0
    done = one_object(capsys)
    assert done["got"]["criterion"] == "taylor" and done["got"]["keep_macs"] <= 0.5
    assert done["verification"]["passed"] and (out / "weights.safetensors").exists()
    assert main(["inspect", str(out), "--json"]) == 0
    assert one_object(capsys)["macs"] == done["after"]["macs"]


def test_ctrl_c_is_130(mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    from secateur.engine.cli import inspect_model

    def stopped(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inspect_model, "model_spec", stopped)
    assert main(["inspect", f"{mine / 'model.py'}:make"]) == 130
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "Stopped. What was finished before stays; no file is half written.\n"


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("scores", "Nothing was made yet, so nothing was saved in {folder}."),
        ("after the cut", "Work so far is saved in {folder}. Open it, or run the same command again to continue."),
        ("saving", "Saving was stopped: {folder} keeps what was saved before."),
        ("first save", "Saving was stopped: {folder} holds nothing of this run."),
    ],
)
def test_ctrl_c_of_a_run_that_saves_says_what_note_kept_folder(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, at: str, said: str
) -> None:
    from secateur.engine.cli import autosave
    from secateur.engine.cli import prune as command

    def stopped(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    save, saves = autosave.save_project, list[str]()

    def save_once(*given: Any, **named: Any) -> Any:
        saves.append("")
        return stopped() if len(saves) > (at == "saving") else save(*given, **named)

    if at == "scores":
        monkeypatch.setattr(command, "plan_prune", stopped)
    elif at == "after the cut":
        monkeypatch.setattr(command, "latency_in", stopped)
    else:
        monkeypatch.setattr(autosave, "save_project", save_once)
    folder = tmp_path / "kept"
    asked = ["prune", f"{mine / 'model.py'}:make", "--task", str(mine / "data.npz"), "--keep-macs", "80%"]
    assert main([*asked, "--no-recover", "--criterion", "l1", "--save", str(folder)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "Stopped. " + said.format(folder=folder)
    states = StateHistory(folder)
    if "nothing" in said:
        assert not is_project(str(folder))
    else:
        states.read()
        assert [*states.states] == ["s0", "s1"]


def test_plans_for_the_models_own_class_replace_nothing_in_its_code(tmp_path: Path, capsys: Capture) -> None:
    """Heads go in step with the width that the model's code takes for theirs."""
    model = tmp_path / "net.py"
    code = "\n\n".join(inspect.getsource(one) for one in (Attention, Encoder))
    model.write_text(f"import torch\nfrom torch import nn\n\n{code}\nmake = Encoder\n")
    common = ["prune", f"{model}:make", "--input", "1x7x5", "--keep-params", "60%", "--no-recover", "--json"]
    assert main([*common, "--save", str(tmp_path / "free")]) == 0
    assert "Numbers replaced in" in json.dumps(one_object(capsys)["repairs"])
    assert main([*common, "--own-class", "--save", str(tmp_path / "own")]) == 0
    own = one_object(capsys)
    assert own["repairs"] and "Numbers replaced in" not in json.dumps(own["repairs"])
    kept = own["after"]["parameters"] / own["before"]["parameters"]
    assert kept <= 0.6
    assert main(["prune", str(tmp_path / "own"), "--keep-params", "40%", "--no-recover", "--json"]) == 0
    assert "Numbers replaced in" not in json.dumps(one_object(capsys)["repairs"])
    assert main(["inspect", str(tmp_path / "free"), "--own-class", "--json"]) == 2
    assert "open the model instead of the project" in capsys.readouterr().err


def test_modules_that_did_not_run_are_named_and_can_be_ignored(tmp_path: Path, capsys: Capture) -> None:
    code = "\n\n".join(inspect.getsource(one) for one in (Expert, Mixture))
    model = tmp_path / "net.py"
    model.write_text(f"import torch\nfrom torch import nn\n\n{code}\nmake = Mixture\n")
    asked = [f"{model}:make", "--input", "1x8"]
    assert main(["inspect", *asked]) == 0
    captured = capsys.readouterr()
    assert (
        "These modules did not run on the example input: experts.1." in captured.out
        and "(--ignore-unused)" in captured.out
    )
    assert "experts.1 did not run on the example input, but may read this when it runs" in captured.out
    pruning = ["prune", *asked, "--keep-params", "70%", "--no-recover"]
    assert main(pruning) == 0
    assert "experts.1. What they may read is kept" in capsys.readouterr().err
    assert main([*pruning, "--json", "--save", str(tmp_path / "kept")]) == 0
    kept = one_object(capsys)
    assert kept["unused"] == ["experts.1"] and not any("first.weight" in key for key in kept["got"]["removed"])
    assert main(["inspect", str(tmp_path / "kept"), "--ignore-unused", "--json"]) == 2
    assert "open the model instead of the project" in capsys.readouterr().err
    pruning[pruning.index("70%")] = "42%"
    assert main([*pruning, "--ignore-unused", "--json", "--save", str(tmp_path / "ignored")]) == 0
    ignored = one_object(capsys)
    assert ignored["unused"] == ["experts.1"] and any("first.weight" in key for key in ignored["got"]["removed"])
    assert main(["inspect", str(tmp_path / "ignored"), "--json"]) == 0
    assert any("first.weight" in one["key"] for one in one_object(capsys)["sets"])
    assert main(["run", str(tmp_path / "ignored"), "--json"]) == 0
    assert one_object(capsys)["after"] == ignored["after"]
    assert main(["run", str(tmp_path / "kept"), "--mode", "same-goal", "--ignore-unused", "--json"]) == 0
    assert any("are ignored: experts.1" in note for note in one_object(capsys)["notes"])
    log = tmp_path / "ignored" / "events.jsonl"  # as a version wrote it that knew no such choice
    log.write_text(log.read_text().replace('"ignore_unused":true', '"ignore_unused":false'))
    assert main(["inspect", str(tmp_path / "ignored"), "--json"]) == 0
    assert any("first.weight" in one["key"] for one in one_object(capsys)["sets"])

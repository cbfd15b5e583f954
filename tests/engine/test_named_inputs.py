"""From end to end with inputs by name and an answer of several parts: open, rate, cut, recover, export, run again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from secateur.engine.cli.main import main
from secateur.engine.errors import AnalysisError, OpenError, TaskError
from secateur.engine.export.table import exporter_named
from secateur.engine.jobs import finish
from secateur.engine.planning.goal import suggest
from secateur.engine.recipes.recipe import read_recipe
from secateur.engine.recipes.replay import run_recipe
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.session import Session
from secateur.engine.sharing.session_files import save_project
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.protocol import Split, TaskSpec
from secateur.engine.workflows.export import export_state
from secateur.engine.workflows.measure import measure_states

from .named_net import write

BERT = """
def make():
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=11, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
        max_position_embeddings=16, num_labels=3, attn_implementation="eager",
    )
    return BertForSequenceClassification(config)
"""

BERT_TASK = """
import torch


def batches(split):
    generator = torch.Generator().manual_seed(len(split))
    ids = [torch.randint(1, 11, (4, 7), generator=generator) for _ in range(2)]
    return [({"input_ids": one, "attention_mask": torch.ones_like(one), "output_hidden_states": True}, one[:, 0] % 3)
            for one in ids]


def loss(model, batch):
    return torch.nn.functional.cross_entropy(model(**batch[0]).logits, batch[1])
"""


@pytest.fixture
def user(tmp_path: Path) -> tuple[str, str]:
    return write(tmp_path / "mine")


@pytest.fixture
def session():
    made = Session()
    yield made
    made.close()


def spec_of(user: tuple[str, str], outputs: tuple[str, ...] = ()) -> ModelSpec:
    return ModelSpec(user[0], task=TaskSpec("file", user[1]), outputs=outputs)


def smaller(session: Session, spec: ModelSpec) -> Any:
    """The state after opening, rating by Taylor, cutting to half and one epoch."""
    opened = finish(session.open(spec))
    scores = finish(session.score("s0", "taylor"))
    cut = finish(session.cut("s0", suggest(opened.analysis, scores, 0.6, multiple=1)))
    assert cut.verification is not None and cut.verification.passed and cut.macs <= 0.6 * opened.state.macs
    return finish(session.recover(cut.id, RecoverySettings(epochs=1, threads=1)))


@pytest.mark.end_to_end
def test_the_whole_road_with_inputs_by_name(user, session, tmp_path) -> None:
    state = smaller(session, spec_of(user, ("logits",)))
    model = session.model(state.id)
    assert model.second.out_features < 20  # embedding is no output that must stay

    onnx = finish(export_state(session, state.id, "onnx", str(tmp_path / "small.onnx")))
    loaded = onnxruntime.InferenceSession(onnx.files[0])
    assert {one.name for one in loaded.get_inputs()} == {"words", "side", "mask"}
    assert [one.name for one in loaded.get_outputs()] == ["logits", "hidden_states.0", "hidden_states.1", "embedding"]
    folder = finish(export_state(session, state.id, "pytorch", str(tmp_path / "small")))
    program = finish(export_state(session, state.id, "program", str(tmp_path / "small.pt2")))
    measured = finish(session.evaluate(state.id, Split.TEST))
    assert program.notes == () and onnx.metric == folder.metric == program.metric == measured

    given = {"words": torch.randint(0, 11, (6, 5)), "mask": torch.ones(6, 5), "side": torch.randn(6, 3)}
    for exported, path in ((onnx, onnx.files[0]), (program, program.files[0]), (folder, str(tmp_path / "small"))):
        predict = exporter_named(exported.format).predictor(path)
        assert predict is not None
        found, expected = predict(**given, detailed=True), model(**given)
        assert torch.allclose(found.logits, expected.logits, atol=1e-5)
        assert torch.allclose(found.hidden_states[0], expected.hidden_states[0], atol=1e-5)
    timings = finish(measure_states(session, (state.id,), TargetSpec(batch=3, seconds=0.05)))
    timings += finish(measure_states(session, (state.id,), TargetSpec("torch", batch=3, seconds=0.05)))
    assert all(one.median > 0 for one in timings)


def test_a_recipe_and_a_project_keep_the_names_and_the_outputs(user, session, tmp_path) -> None:
    state = smaller(session, spec_of(user, ("logits",)))
    saved = Path(finish(save_project(session, str(tmp_path / "project"), state.id)))
    assert read_recipe(saved / "recipe.json").steps[0].intent.model.outputs == ("logits",)  # type: ignore[union-attr]
    again = Session()
    done = finish(run_recipe(saved / "recipe.json", again))
    assert done.states[-1].weights == state.weights and not done.missing
    again.close()
    reopened = Session()
    assert finish(reopened.open(ModelSpec(str(saved)))).analysis.outputs == ("logits",)
    reopened.close()


def test_the_readme_of_an_export_shows_how_the_model_is_called(user, session, tmp_path) -> None:
    finish(session.open(spec_of(user)))
    finish(export_state(session, "s0", "pytorch", str(tmp_path / "out")))
    shown = (tmp_path / "out" / "README.txt").read_text()
    assert "model(words=..., side=..., mask=..., detailed=True), with words int64 [N, 5], side float32 [N, 3]" in shown
    code = "\n".join(line[4:] for line in shown.splitlines() if line.startswith("    ") or not line)
    script = f"import sys\nsys.modules['secateur'] = None\n{code}\nimport torch\n" + (
        "x = {'words': torch.ones(1, 5, dtype=torch.long), 'mask': torch.ones(1, 5)}\nprint(model(**x).logits.shape)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path / "out", capture_output=True, text=True)
    assert "Size([1, 3])" in done.stdout, done.stderr


def test_outputs_that_are_not_named_stay_by_default_and_unknown_ones_are_told(user, session) -> None:
    opened = finish(session.open(spec_of(user)))
    assert not any(one.name == "second.weight" for one in opened.analysis.sets)
    with pytest.raises(AnalysisError, match=r"logits.*embedding"):
        finish(session.open(spec_of(user, ("logit",))))


def test_data_with_other_names_does_not_replace_the_data(user, session, tmp_path) -> None:
    finish(session.open(spec_of(user)))
    other = tmp_path / "other.py"
    other.write_text(Path(user[1]).read_text().replace('"mask"', '"padding"'))
    with pytest.raises(TaskError, match="padding 5"):
        finish(session.attach_task(TaskSpec("file", str(other))))


def test_a_project_keeps_the_outputs_it_was_made_for(user, session, tmp_path) -> None:
    finish(session.open(spec_of(user, ("logits",))))
    saved = finish(save_project(session, str(tmp_path / "project"), "s0"))
    with pytest.raises(OpenError, match=r"\(logits\)"):
        finish(Session(tmp_path / "new").open(ModelSpec(saved, outputs=("embedding",))))


@pytest.mark.end_to_end
def test_the_command_line_does_the_same(user, tmp_path, capsys) -> None:
    told = [user[0], "--task", user[1], "--threads", "1", "--json"]
    assert main(["inspect", *told, "--output", "logits"]) == 0
    free = json.loads(capsys.readouterr().out)
    assert free["outputs"] == ["logits"] and any(one["parameter"] == "second.weight" for one in free["sets"])
    out, project = tmp_path / "small.onnx", tmp_path / "project"
    goal = ["--keep-macs", "60%", "--criterion", "taylor", "--multiple", "1", "--epochs", "1", "--output", "logits"]
    assert main(["prune", *told, *goal, "--export", str(out), "--save", str(project)]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["verification"]["passed"] and done["export"]["metric"]["n"] == 24
    session = onnxruntime.InferenceSession(str(out))
    given = {"words": np.ones((2, 5), np.int64), "mask": np.ones((2, 5), np.float32)}
    (logits,) = session.run(["logits"], given | {"side": np.zeros((2, 3), np.float32)})
    assert np.asarray(logits).shape == (2, 3)
    (tmp_path / "again").mkdir()
    assert main(["run", str(project), "--threads", "1", "--out", str(tmp_path / "again"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["after"] == done["after"] and again["got"]["missing"] == []
    assert again["metrics"]["result"]["value"] == done["metrics"]["result"]["value"]
    assert main(["inspect", *told, "--output", "nothing"]) == 1
    assert "logits" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_recipes_from_before_there_were_outputs_are_read(user, session, tmp_path) -> None:
    finish(session.open(spec_of(user)))
    recipe = Path(finish(save_project(session, str(tmp_path / "project"), "s0"))) / "recipe.json"
    written = json.loads(recipe.read_text())
    del written["steps"][0]["intent"]["model"]["outputs"]
    recipe.write_text(json.dumps(written))
    assert read_recipe(recipe).steps[0].intent.model.outputs == ()  # type: ignore[union-attr]


@pytest.mark.end_to_end
def test_a_transformers_model_takes_the_whole_road(session, tmp_path) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "bert.py").write_text(BERT)
    (tmp_path / "task.py").write_text(BERT_TASK)
    state = smaller(session, spec_of((f"{tmp_path / 'bert.py'}:make", str(tmp_path / "task.py"))))
    saved = Path(
        finish(save_project(session, str(tmp_path / "project"), state.id))
    )  # without the files, which take long
    again = Session()
    assert finish(run_recipe(saved / "recipe.json", again)).states[-1].weights == state.weights
    again.close()
    onnx = finish(export_state(session, state.id, "onnx", str(tmp_path / "small.onnx")))
    folder = finish(export_state(session, state.id, "pytorch", str(tmp_path / "small")))
    loaded = onnxruntime.InferenceSession(onnx.files[0])
    assert [one.name for one in loaded.get_inputs()] == ["input_ids", "attention_mask"]
    assert onnx.metric is not None and onnx.metric == folder.metric and onnx.metric.name == "top-1"

"""A session on a user's own small model: each step, what it keeps, and that what fails changes nothing."""

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from secateur.engine.errors import OpenError, OutOfMemory, PlanError, SecateurError, TaskError, VerificationError
from secateur.engine.jobs import Cancelled, Job, finish
from secateur.engine.machine.device_list import CPU, Device
from secateur.engine.recovery import checkpoint
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.session import memory_needs
from secateur.engine.session import session as session_module
from secateur.engine.session.session import Session
from secateur.engine.session.states import OpenedModel, PlanIntent, StateKind, measurable_exports
from secateur.engine.sharing.session_files import save_project
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Kind, Mask, from_identities, identities
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.cut.edits import Check, Verification
from secateur.engine.targets import bench
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.protocol import Split, TaskSpec
from secateur.engine.workflows.export import export_state
from secateur.engine.workflows.measure import measure_states
from secateur.engine.workflows.remote_bench import read_remote_bench

from .small import write_project

SETTINGS = RecoverySettings(epochs=1, threads=1)


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    return write_project(tmp_path / "mine")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path / "session")
    yield session
    session.close()


@pytest.fixture
def opened(session: Session, spec: ModelSpec) -> OpenedModel:
    return finish(session.open(spec))


def first_of(opened: OpenedModel, kind: Kind, count: int) -> Mask:
    """The first structures of the first set of a kind."""
    one = next(s for s in opened.analysis.sets if s.kind is kind)
    mask = opened.analysis.empty()
    mask[one.first : one.first + count] = True
    return mask


def log_of(session: Session) -> bytes:
    return (session.folder / "events.jsonl").read_bytes()


def weights_of(session: Session, state: str) -> dict[str, torch.Tensor]:
    return session.store.get(session.history.state(state).weights)


def test_opening_evaluates_the_original_first_and_shows_five_samples(session: Session, spec: ModelSpec) -> None:
    texts: list[str] = []
    opened = finish(session.open(spec), lambda progress: texts.append(str(progress.message)))
    recording = next(number for number, text in enumerate(texts) if text.startswith("Recording"))
    assert texts.index("Evaluating the original") < recording
    assert opened.state.metrics[0].split is Split.TEST and opened.state.metrics[0].count == 48
    assert opened.task is not None and len(opened.task.samples) == 5
    assert all(sample.predicted and sample.label for sample in opened.task.samples)
    assert session.states() == (opened.state,) and opened.state.id == "s0"


def test_an_original_that_was_not_judged_while_it_was_opened_is_judged_later(session: Session, spec: ModelSpec) -> None:
    opened = finish(session.open(spec, evaluate=False))
    assert opened.state.metrics == () and opened.task is not None
    assert all(sample.predicted for sample in opened.task.samples)
    metric, info = finish(session.evaluate_original())
    session.close()
    other = Session(session.folder)
    assert (metric,) == other_opening(spec).state.metrics == session.history.state("s0").metrics
    assert info.seconds > 0 and finish(other.restore()).state.metrics == (metric,)


def test_data_without_labels_is_judged_by_the_original_however_it_was_opened(
    session: Session, spec: ModelSpec, tmp_path: Path
) -> None:
    assert spec.task is not None
    with np.load(spec.task.path) as whole:
        np.savez(tmp_path / "bare.npz", **{name: whole[name] for name in whole if name.startswith("x_")})
    finish(session.open(replace(spec, task=TaskSpec("arrays", str(tmp_path / "bare.npz"))), evaluate=False))
    assert finish(session.evaluate("s0", Split.TEST)).value == 1.0


def test_data_whose_form_was_left_open_is_opened_as_what_it_is(session: Session, spec: ModelSpec) -> None:
    assert spec.task is not None and spec.task.kind == "arrays"
    opened = finish(session.open(replace(spec, task=replace(spec.task, kind="", batch=0)), evaluate=False))
    assert opened.spec is not None and opened.spec.task is not None
    assert (opened.spec.task.kind, opened.spec.task.path) == ("arrays", spec.task.path)
    assert opened.spec.task.batch == TaskSpec("arrays").batch and opened.task is not None


def other_opening(spec: ModelSpec) -> OpenedModel:
    """The same model opened elsewhere, and judged at once."""
    with closing(Session()) as other:
        return finish(other.open(spec))


def test_costs_of_the_original_are_those_of_the_network(opened: OpenedModel) -> None:
    weights = 16 * 9 + 16 + 2 * 16 * 24 * 9 + 2 * 24 + 2 * 16 + 16 * 3 + 3
    assert opened.state.parameters == weights
    assert opened.state.macs == 64 * (16 * 9 + 2 * 16 * 24 * 9) + 16 * 3


def test_a_cut_is_verified_smaller_and_kept_in_original_coordinates(session: Session, opened: OpenedModel) -> None:
    mask = first_of(opened, Kind.FILTER, 8)
    state = finish(session.cut("s0", mask, PlanIntent("l1", 0.7)))
    assert state.verification is not None and state.verification.passed
    assert all(one.difference < (1e-9 if one.dtype == "float64" else 1e-4) for one in state.verification.checks)
    assert (state.parent, state.kind, state.plan) == ("s0", StateKind.CUT, PlanIntent("l1", 0.7))
    assert (from_identities(opened.analysis, state.removed)[0] == mask).all()
    assert state.parameters == sum(t.numel() for n, t in weights_of(session, state.id).items() if not _is_buffer(n))
    assert state.parameters == costs(opened.analysis, mask).parameters < opened.state.parameters


def test_cuts_compose_and_what_is_gone_stays_gone(session: Session, opened: OpenedModel) -> None:
    one, two = first_of(opened, Kind.FILTER, 4), first_of(opened, Kind.FILTER, 9)
    once = finish(session.cut(finish(session.cut("s0", one)).id, two & ~one))
    at_once = finish(session.cut("s0", two))
    assert once.removed == at_once.removed and once.weights == at_once.weights
    assert [s.parent for s in session.states()] == ["", "s0", "s1", "s0"]


def test_a_cut_of_what_its_plan_locks_is_refused_and_changes_nothing(session: Session, opened: OpenedModel) -> None:
    removed, locked = first_of(opened, Kind.FILTER, 3), first_of(opened, Kind.FILTER, 1)
    before, intent = log_of(session), PlanIntent(locked=identities(opened.analysis, locked))
    with pytest.raises(PlanError, match="removes 1 locked structures"):
        finish(session.cut("s0", removed, intent))
    assert log_of(session) == before
    state = finish(session.cut("s0", removed & ~locked, intent))
    assert from_identities(opened.analysis, state.removed)[0].sum() == 2
    gone = PlanIntent(locked=state.removed)  # that was cut before it was locked
    more = finish(session.cut(state.id, first_of(opened, Kind.FILTER, 5) & ~removed, gone))
    assert from_identities(opened.analysis, more.removed)[0].sum() == 4


def test_the_original_is_never_touched(session: Session, opened: OpenedModel) -> None:
    before = weights_of(session, "s0")
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    finish(session.recover(cut.id, SETTINGS))
    model = session.loaded.prepared.opened.model
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_recovery_learns_and_leaves_the_cut_state_as_it_was(session: Session, opened: OpenedModel) -> None:
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    before = weights_of(session, cut.id)
    points: list[dict[str, float]] = []
    settings = replace(SETTINGS, epochs=8, distillation=0.0, learning_rate=1e-2)
    state = finish(session.recover(cut.id, settings), lambda progress: points.append(progress.values))
    assert (state.parent, state.kind, state.recovery, state.removed) == (cut.id, "recovered", settings, cut.removed)
    assert [point["metric"] for point in points if "metric" in point]
    assert finish(session.evaluate(state.id, Split.TEST)).value > 0.8 > opened.state.metrics[0].value
    assert all(torch.equal(before[n], v) for n, v in session.model(cut.id).state_dict().items())


def test_a_device_too_small_to_train_on_may_still_repair(
    session: Session, opened: OpenedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 4)))
    scarce = Device(CPU, "", 1000, 1000, None, "", False, True)
    monkeypatch.setattr(memory_needs, "device_facts", lambda _device: scarce)
    with pytest.raises(OutOfMemory, match="Training needs about"):
        finish(session.recover(cut.id, SETTINGS))
    repaired = finish(session.recover(cut.id, replace(SETTINGS, epochs=0, repair=Repair.LEAST_SQUARES)))
    assert repaired.kind is StateKind.RECOVERED


def test_a_measured_metric_belongs_to_its_state(session: Session, opened: OpenedModel) -> None:
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    metric = finish(session.evaluate(cut.id, Split.TEST))
    assert session.history.state(cut.id).metrics == (metric,)
    assert session.history.state("s0").metrics == opened.state.metrics


def test_scores_of_a_cut_state_are_nan_where_removed(session: Session, opened: OpenedModel) -> None:
    mask = first_of(opened, Kind.FILTER, 8)
    cut = finish(session.cut("s0", mask))
    for criterion in ("l1", "taylor"):
        scores = finish(session.score(cut.id, criterion))
        assert np.isnan(scores[mask]).all() and np.isfinite(scores[~mask]).any()


def test_a_session_goes_on_with_an_ablation_that_was_cancelled(session: Session, opened: OpenedModel) -> None:
    token = threading.Event()
    job = session.score("s0", "ablation", token=token)
    for _ in range(2):  # the second begins with the original measured
        next(job)
    token.set()
    with pytest.raises(Cancelled):
        next(job)
    (file,) = (session.location.cache / "ablation").iterdir()
    before = file.read_bytes()
    scores = finish(session.score("s0", "ablation"))
    assert before and np.isfinite(scores).any() and file.read_bytes().startswith(before)
    keys = [json.loads(line)["key"] for line in file.read_bytes().splitlines()]
    assert len(set(keys)) == len(keys) == np.isfinite(scores).sum() + 1  # each once, and the original
    with closing(Session(cache=session.location.cache)) as later:  # what was measured serves the next session too
        finish(later.open(session.prepared.spec))
        assert np.array_equal(finish(later.score("s0", "ablation")), scores, equal_nan=True)
    assert file.read_bytes().count(b"\n") == len(keys)


def test_a_task_says_how_many_batches_it_has_and_whether_it_has_a_loss(opened: OpenedModel) -> None:
    assert opened.task is not None
    assert opened.task.batches == dict.fromkeys(("train", "val", "test"), 3)
    assert opened.task.batch == 16 and opened.task.loss


def test_restoring_gives_every_state_with_identical_weights_and_trains_nothing(
    session: Session, opened: OpenedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    recovered = finish(session.recover(cut.id, SETTINGS))
    finish(session.evaluate(recovered.id, Split.TEST))
    states = {one.id: session.model(one.id).state_dict() for one in session.states()}
    monkeypatch.setattr(session_module, "recover_model", _forbidden)
    monkeypatch.setattr(session_module, "run_evaluation", _forbidden)
    session.close()
    other = Session(session.folder)
    again = finish(other.restore())
    assert other.states() == session.states()
    assert again.state == session.history.state("s0") and again.task is not None and again.name == opened.name
    for one in (recovered.id, "s0", cut.id, recovered.id):
        model = other.model(one)
        assert all(torch.equal(value, model.state_dict()[name]) for name, value in states[one].items())


def test_a_restored_session_goes_on_where_it_stood(session: Session, opened: OpenedModel) -> None:
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    session.close()
    other = Session(session.folder)
    finish(other.restore())
    more = finish(other.cut(cut.id, first_of(opened, Kind.WIDTH, 4)))
    assert (more.id, more.parent) == ("s2", cut.id) and more.verification is not None and more.verification.passed


def test_restoring_after_the_code_has_changed_is_a_sentence(
    session: Session, opened: OpenedModel, spec: ModelSpec
) -> None:
    finish(session.cut("s0", first_of(opened, Kind.FILTER, 24 - 1)))
    code = Path(spec.source.rpartition(":")[0])
    code.write_text(code.read_text().replace("24", "20"))
    session.close()
    other = Session(session.folder)
    with pytest.raises(OpenError, match="has changed"):
        finish(other.restore(trust_code=True))


def test_a_failed_verification_changes_nothing(
    session: Session, opened: OpenedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = log_of(session), sorted(session.store.folder.iterdir())

    def wrong(*_: object, **__: object) -> Job[Verification]:
        yield from ()
        return Verification((Check("removal", 0.1, 1.0, 1e-9, "float64", "at conv2"),))

    monkeypatch.setattr(session_module, "verify", wrong)
    with pytest.raises(VerificationError):
        finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    assert (log_of(session), sorted(session.store.folder.iterdir())) == before and len(session.states()) == 1


def test_a_plan_that_empties_a_layer_or_marks_nothing_is_refused(session: Session, opened: OpenedModel) -> None:
    before = log_of(session)
    for mask in (first_of(opened, Kind.FILTER, 24), opened.analysis.empty()):
        with pytest.raises(PlanError):
            finish(session.cut("s0", mask))
    assert log_of(session) == before


def test_a_second_cut_is_repaired_towards_the_state_that_it_was_made_from(
    session: Session, opened: OpenedModel
) -> None:
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    trained = finish(session.recover(cut.id, SETTINGS))
    again = finish(session.cut(trained.id, first_of(opened, Kind.FILTER, 16)))
    before = weights_of(session, again.id)
    settings = replace(SETTINGS, epochs=0, repair=Repair.LEAST_SQUARES)
    told: list[str] = []
    repaired = finish(session.recover(again.id, settings), lambda progress: told.append(str(progress.message)))
    assert "Repairing layers" in told
    assert str(repaired.repaired[0]).endswith("layers that lost inputs were repaired.")
    assert session.history.state(repaired.id).repaired == repaired.repaired
    told.clear()
    finish(session.recover(trained.id, settings), lambda progress: told.append(str(progress.message)))
    assert any(text.startswith("No layer could be repaired") for text in told)
    assert all(torch.equal(before[n], v) for n, v in session.model(again.id).state_dict().items())


def test_a_recovery_that_was_stopped_is_gone_on_with(
    session: Session, opened: OpenedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 0)
    cut, settings = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8))), replace(SETTINGS, epochs=3)
    job, measured = session.recover(cut.id, settings), list[float]()
    while len(measured) < 2:  # after the second epoch
        values = next(job).values
        measured += [values["step"]] if "metric" in values and values["step"] else []
    job.close()
    texts: list[str] = []
    resumed = finish(session.recover(cut.id, settings), lambda progress: texts.append(str(progress.message)))
    assert f"Resuming at step {measured[1]:.0f}" in texts
    (left,) = (session.folder / "recovery").iterdir()
    assert left.name.endswith("teacher.pt")  # for further recoveries
    whole = finish(session.recover(cut.id, settings))
    assert whole.weights == resumed.weights


def test_a_cancelled_recovery_is_gone_on_with_for_another_number_of_epochs(
    session: Session, opened: OpenedModel
) -> None:
    cut, token = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8))), threading.Event()
    with pytest.raises(Cancelled):
        for progress in session.recover(cut.id, replace(SETTINGS, epochs=5), token):
            if progress.values.get("step", 0) >= 4:  # no half minute has passed, and so nothing was written before
                token.set()
    texts: list[str] = []
    asked = replace(SETTINGS, epochs=7)
    made = finish(session.recover(cut.id, asked), lambda progress: texts.append(str(progress.message)))
    assert any(text.startswith("Resuming at step") for text in texts)
    assert not any("epoch 1 of" in text for text in texts) and "Fine-tuning, epoch 7 of 7" in texts
    assert made.recovery == asked
    other = replace(asked, learning_rate=0.003)
    assert session.checkpoint(cut.weights, other).key != session.checkpoint(cut.weights, asked).key
    assert session.checkpoint(cut.weights, replace(asked, epochs=0)).key != session.checkpoint(cut.weights, asked).key


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system what is mapped")
def test_an_original_that_does_not_teach_lies_in_its_file_meanwhile(session: Session, opened: OpenedModel) -> None:
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    model, path = session.model("s0"), session.store.path(session.history.state("s0").weights)
    before = {name: one.clone() for name, one in model.state_dict().items()}

    def in_file() -> set[bool]:
        lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if str(path) in line]
        places = [tuple(int(one, 16) for one in line[0].split("-")) for line in lines]
        return {any(first <= one.data_ptr() < end for first, end in places) for one in model.parameters()}

    finish(session.recover(cut.id, replace(SETTINGS, repair=Repair.NONE)))
    assert in_file() == {False}
    finish(session.recover(cut.id, replace(SETTINGS, distillation=0.0)))
    assert in_file() == {True}
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_what_was_begun_for_some_minutes_goes_on_for_others(session: Session, opened: OpenedModel) -> None:
    weights = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8))).weights
    timed = RecoverySettings(minutes=20)
    twenty, thirty = (session.checkpoint(weights, replace(timed, minutes=one)) for one in (20, 30))
    epochs = session.checkpoint(weights, RecoverySettings())
    tunings = [one.teacher.training for one in (twenty, thirty, epochs)]
    places = [one.path for one in tunings if one is not None]
    assert twenty.path == thirty.path == epochs.path and places[0] == places[1] != places[2]
    assert len({one.teacher.path for one in (twenty, thirty, epochs)}) == 3  # what was tuned in less time is another


@pytest.mark.parametrize("job", ["cut", "recover", "attach_task", "export"])
def test_a_job_cancelled_anywhere_leaves_everything_as_it_was(
    session: Session, opened: OpenedModel, tmp_path: Path, job: str
) -> None:
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    before = log_of(session), session.states(), sorted(session.store.folder.iterdir())
    out = tmp_path / "out.onnx"
    start = {
        "cut": lambda token: session.cut(cut.id, first_of(opened, Kind.WIDTH, 4), token=token),
        "recover": lambda token: session.recover(cut.id, replace(SETTINGS, epochs=2), token),
        "attach_task": lambda token: session.attach_task(TaskSpec("arrays", str(tmp_path / "mine/data.npz")), token),
        "export": lambda token: export_state(session, cut.id, "onnx", str(out), token),
    }[job]
    steps = range(100) if job != "export" else (1, 5)
    for after in steps:
        token = threading.Event()
        if not _cancelled(start(token), token, after):
            break
        assert (log_of(session), session.states(), sorted(session.store.folder.iterdir())) == before
        assert list(tmp_path.glob("*out*")) == []
    assert job == "export" or log_of(session) != before[0]


def test_cancelling_an_open_keeps_the_model_that_was_open(
    session: Session, opened: OpenedModel, spec: ModelSpec
) -> None:
    before = log_of(session)
    token = threading.Event()
    assert _cancelled(session.open(replace(spec, input_shape=(1, 1, 16, 16)), token=token), token, 2)
    assert log_of(session) == before and session.states() == (opened.state,)


def test_a_task_attached_later_is_evaluated_first(session: Session, spec: ModelSpec) -> None:
    opened = finish(session.open(replace(spec, task=None, input_shape=(1, 1, 8, 8))))
    assert opened.task is None and opened.state.metrics == ()
    with pytest.raises(TaskError, match="Attach it"):
        finish(session.evaluate("s0", Split.TEST))
    assert spec.task is not None
    info = finish(session.attach_task(spec.task))
    assert len(info.samples) == 5 and session.history.state("s0").metrics[0].count == 48
    session.close()
    other = Session(session.folder)
    again = finish(other.restore()).task
    assert info.seconds > 0
    assert again is not None and repr(again) == repr(replace(info, seconds=0.0)) and other.states() == session.states()


def test_a_model_whose_input_nobody_gave_says_how_to_give_it(session: Session, spec: ModelSpec) -> None:
    with pytest.raises(OpenError, match="1x3x224x224"):
        finish(session.open(replace(spec, task=None)))


def test_data_with_other_classes_is_a_sentence(session: Session, spec: ModelSpec) -> None:
    with pytest.raises(TaskError, match="3 classes, but the model has 5 outputs"):
        finish(session.open(replace(spec, arguments={"classes": 5})))
    assert session.states() == () and not (session.folder / "events.jsonl").exists()


def test_what_an_untrained_model_gets_right_by_chance_says_nothing_of_its_data(
    session: Session, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(spec.source.rpartition(":")[0])
    file.write_text(file.read_text().replace("    torch.manual_seed(0)\n", ""))
    for name in ("better_normalisation", "other_class_order"):
        monkeypatch.setattr(f"secateur.engine.session.open_model.{name}", lambda *_: pytest.fail("asked"))
    info = finish(session.open(spec)).task
    assert info is not None and info.better is None and info.reordered is None
    assert finish(session.better_preprocessing()) is None


def test_data_of_another_shape_cannot_be_attached(session: Session, spec: ModelSpec) -> None:
    finish(session.open(replace(spec, task=None, input_shape=(1, 1, 12, 12))))
    assert spec.task is not None
    with pytest.raises(TaskError, match=r"1x8x8.*1x12x12"):
        finish(session.attach_task(spec.task))


def test_a_forward_that_raises_is_a_sentence(session: Session, spec: ModelSpec) -> None:
    with pytest.raises(SecateurError) as raised:
        finish(session.open(replace(spec, task=None, input_shape=(1, 5, 8, 8))))
    assert "channels" in str(raised.value) and "\n" not in str(raised.value)


def test_weights_trained_elsewhere_are_attached(session: Session, opened: OpenedModel, tmp_path: Path) -> None:
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    trained = {f"module.{name}": value + 1 for name, value in weights_of(session, cut.id).items()}
    save_file(trained, tmp_path / "trained.safetensors")
    state = finish(session.attach(cut.id, str(tmp_path / "trained.safetensors")))
    assert state.kind is StateKind.ATTACHED and state.edits == cut.edits
    assert all(torch.equal(v, trained[f"module.{n}"]) for n, v in weights_of(session, state.id).items())
    with pytest.raises(OpenError):
        finish(session.attach("s0", str(tmp_path / "trained.safetensors")))


def test_weights_in_a_pickle_are_attached_only_with_consent(
    session: Session, opened: OpenedModel, tmp_path: Path
) -> None:
    file = tmp_path / "trained.pt"
    weights = {name: value + 1 for name, value in weights_of(session, "s0").items()}
    torch.save({"state_dict": weights, "path": tmp_path}, file)
    with pytest.raises(OpenError) as refused:
        finish(session.attach("s0", str(file)))
    assert refused.value.message.code == "checkpoint.pickle"
    assert finish(session.attach("s0", str(file), trust_pickle=True)).kind is StateKind.ATTACHED


def test_an_export_is_kept_with_the_metric_of_the_file(session: Session, opened: OpenedModel, tmp_path: Path) -> None:
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    exported = finish(export_state(session, cut.id, "onnx", str(tmp_path / "m.onnx")))
    metric = finish(session.evaluate(cut.id, Split.TEST))
    assert exported.metric is not None and abs(exported.metric.value - metric.value) < 0.03
    assert session.history.state(cut.id).exports == (exported,) and Path(exported.files[0]).exists()


def test_a_file_in_lower_precision_has_a_metric_and_latencies_of_its_own(
    session: Session, opened: OpenedModel, tmp_path: Path
) -> None:
    target = TargetSpec(seconds=0.05)
    exported = finish(export_state(session, "s0", "onnx-int8", str(tmp_path / "m.int8.onnx")))
    assert exported.metric is not None and exported.metric.split is Split.TEST
    assert exported.difference is not None and 0 < exported.difference < 0.5
    names = ("s0", *measurable_exports(session.history.state("s0"), target))
    timings = finish(measure_states(session, names, target))
    kept = session.history.state("s0").export_in("onnx-int8")
    assert kept is not None and kept.timings == timings[1:] and len(timings) == 2
    session.artifacts().collect(0)  # the copy goes, and is made again from the same samples
    assert finish(measure_states(session, names[1:], target))
    copy = session.artifacts().kept(session.history.state("s0"), "onnx-int8")
    assert copy.read_bytes() == (tmp_path / "m.int8.onnx").read_bytes()


def test_timings_belong_to_their_states(session: Session, opened: OpenedModel) -> None:
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    target = TargetSpec(runtime="torch", seconds=0.05)
    timings = finish(measure_states(session, ("s0", cut.id), target))
    assert [session.history.state(s).timings for s in ("s0", cut.id)] == [(t,) for t in timings]


def test_a_saved_project_opens_elsewhere_with_all_its_states(
    session: Session, opened: OpenedModel, tmp_path: Path
) -> None:
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    recovered = finish(session.recover(cut.id, SETTINGS))
    finish(save_project(session, str(tmp_path / "project"), recovered.id))
    finish(save_project(session, str(tmp_path / "project"), recovered.id))
    written = ["events.jsonl", "predictions", "project.json", "recipe.json", "recipe.py", "structures.json", "weights"]
    assert sorted(p.name for p in (tmp_path / "project").iterdir()) == written
    other = Session(tmp_path / "other")
    again = finish(other.open(ModelSpec(str(tmp_path / "project"))))
    assert other.states() == session.states() and again.state == opened.state
    assert again.has_history and not opened.has_history
    assert all(
        torch.equal(v, other.model(recovered.id).state_dict()[n])
        for n, v in session.model(recovered.id).state_dict().items()
    )


def test_a_project_that_cannot_be_opened_leaves_the_open_model_alone(
    session: Session, opened: OpenedModel, tmp_path: Path
) -> None:
    other = Session(tmp_path / "other")
    finish(other.open(write_project(tmp_path / "theirs")))
    project = finish(save_project(other, str(tmp_path / "project"), "s0"))
    (tmp_path / "theirs" / "model.py").unlink()
    before = log_of(session)
    with pytest.raises(OpenError):
        finish(session.open(ModelSpec(project)))
    assert log_of(session) == before and session.states() == (opened.state,)
    assert finish(session.cut("s0", first_of(opened, Kind.FILTER, 4))).id == "s1"


def test_a_project_may_be_opened_with_another_task(session: Session, opened: OpenedModel, tmp_path: Path) -> None:
    project = finish(save_project(session, str(tmp_path / "project"), "s0"))
    other = Session(tmp_path / "other")
    task = TaskSpec("arrays", str(tmp_path / "mine" / "data.npz"), batch=7)
    assert finish(other.open(ModelSpec(project, task=task))).task is not None
    assert other.history.task == task and other.states()[0].metrics == opened.state.metrics


def test_a_disk_bound_removes_what_can_be_made_again_and_no_state(session: Session, opened: OpenedModel) -> None:
    finish(measure_states(session, ("s0",), TargetSpec(runtime="torch", seconds=0.05)))
    assert list((session.folder / "artifacts").iterdir())
    session.store.bound = 0
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 4)))
    assert not list((session.folder / "artifacts").iterdir())
    assert weights_of(session, "s0") and weights_of(session, cut.id)


def test_closing_removes_a_temporary_folder_only(tmp_path: Path) -> None:
    temporary, kept = Session(), Session(tmp_path)
    temporary.close()
    kept.close()
    assert not temporary.folder.exists() and tmp_path.exists()


def test_a_closed_session_says_that_nothing_is_open(session: Session) -> None:
    with pytest.raises(OpenError, match="No model is open"):
        finish(session.recover("s0", SETTINGS))


def _is_buffer(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def _forbidden(*_: object) -> None:
    raise AssertionError("must not run")


def _cancelled(job: Job[object], token: threading.Event, after: int) -> bool:
    """Run a job for some steps and set its token; whether it stopped (it did not when it had no so many steps)."""
    number = -1
    try:
        for number, _ in enumerate(job):
            if number == after:
                token.set()
    except Cancelled:
        return True
    assert not token.is_set() or number == after, "it went on after it was cancelled"
    return False


def test_a_project_from_elsewhere_runs_its_code_only_with_consent(
    session: Session, opened: OpenedModel, spec: ModelSpec, tmp_path: Path
) -> None:
    finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    finish(save_project(session, str(tmp_path / "project"), "s1"))
    finish(Session().open(ModelSpec(str(tmp_path / "project"))))
    shutil.copytree(tmp_path, tmp_path.with_name(tmp_path.name + "_moved"))
    moved = ModelSpec(str(tmp_path.with_name(tmp_path.name + "_moved") / "project"))
    with pytest.raises(OpenError, match="Allow that only if you trust the code"):
        finish(Session().open(moved))
    assert len(finish(Session().open(replace(moved, trust_code=True))).analysis.sets) == len(opened.analysis.sets)


def test_results_of_a_bench_come_back_to_the_states_that_they_are_of(
    session: Session, opened: OpenedModel, tmp_path: Path
):
    cut = finish(session.cut("s0", first_of(opened, Kind.FILTER, 8)))
    names = [f"{one.id}-{one.weights}.onnx" for one in (opened.state, cut)]
    numbers = {"low": 1.0, "high": 3.0, "runs": 50}
    results = {
        "schema": bench.SCHEMA,
        "machine": {"name": "jetson", "processor": "ARM", "cores": 6, "onnxruntime": "1.32"},
        "target": {"runtime": "onnxruntime", "threads": 4, "batch": 2},
        "models": [{"file": name, "median": 2.0 + n, **numbers} for n, name in enumerate(names)],
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    states = read_remote_bench(session, str(path))
    assert [(one.id, one.timings[-1].median, one.timings[-1].target.machine) for one in states] == [
        ("s0", 2.0, "jetson"), (cut.id, 3.0, "jetson"),
    ]  # fmt: skip
    assert session.history.state("s0").timings[-1].target.batch == 2

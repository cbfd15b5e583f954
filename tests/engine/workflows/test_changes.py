"""Changes between states of a session: predictions are kept, survive, and are made again where they are missing."""

import html
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
from secateur.engine.errors import PlanError, SecateurError
from secateur.engine.inspection.changes import Changes, summary
from secateur.engine.jobs import Cancelled, Progress, finish
from secateur.engine.process.events import Progressed
from secateur.engine.process.messages import event_bytes, read_event
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.prediction_store import PredictionStore
from secateur.engine.session.session import Session
from secateur.engine.sharing.session_files import save_project, save_report
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.predictions import PredictionKind, Predictions
from secateur.engine.tasks.protocol import Metric, Split, TaskSpec
from secateur.engine.workflows.baselines import compare_with_baselines, make_baseline
from secateur.engine.workflows.changes import TRIAL, classes_that_pay, compare_states, read_samples, try_without

from ..session.small import write_project

USERS_TASK = """
import torch

classes = ("left", "middle", "right")


def batches(split, seed=None):
    random = torch.Generator().manual_seed(len(split))
    labels = torch.arange(60) % 3
    images = torch.randn(60, 1, 8, 8, generator=random)
    order = torch.randperm(60)  # another one at each pass
    for some in order.split(16):
        yield images[some], labels[some]
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A session with the original and a cut of it."""
    with closing(Session(tmp_path / "session")) as made:
        finish(made.open(write_project(tmp_path / "model", count=60)))
        cut_half(made)
        yield made


def cut_half(session: Session) -> None:
    """Remove half of the inner channels."""
    removed = session.analysis.empty()
    inner = next(one for one in session.analysis.sets if one.module == "block.conv1")
    removed[inner.first : inner.first + 12] = True
    finish(session.cut("s0", removed))


def changes(session: Session, split: Split | None = None, seen: list[str] | None = None) -> Changes:
    """From the original to the present state; texts of the progress go to `seen`."""
    return finish(
        compare_states(session, split=split), None if seen is None else lambda one: seen.append(str(one.message))
    )


def test_what_is_missing_is_predicted_once_and_kept(session: Session):
    """The second look evaluates nothing, and says the same."""
    first, seen = changes(session, Split.VAL), list[str]()
    again = changes(session, Split.VAL, seen)
    assert not any("Evaluating" in text for text in seen)
    assert first.count == 60 and first.by_class is not None and first.classes == ("left", "middle", "right")
    assert again.mcnemar == first.mcnemar and again.metrics == first.metrics


def test_predictions_are_what_the_models_say(session: Session):
    """By hand, for each sample of the split."""
    found = changes(session, Split.VAL)
    (images, labels), samples = _whole(session), found.samples
    assert samples is not None
    for place, state in enumerate(("s0", "s1")):
        with torch.no_grad():
            chances = session.model(state).eval()(images).softmax(1)
        rows = torch.from_numpy(samples.rows)
        assert samples.predicted[:, place].tolist() == chances.argmax(1)[rows].tolist()
        np.testing.assert_allclose(samples.confidences[:, place], chances.amax(1)[rows], rtol=1e-4)
        right = chances[torch.arange(60), labels][rows]
        np.testing.assert_allclose(samples.values[:, place], right, rtol=1e-4)


def _whole(session: Session) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(session.task.batches(Split.VAL))
    return torch.cat([one[0] for one in batches]), torch.cat([one[1] for one in batches])


def test_predictions_survive_saving_and_opening(session: Session, tmp_path: Path):
    """In the project's folder, and in another session that opens it."""
    first = changes(session, Split.VAL)
    folder = finish(save_project(session, str(tmp_path / "project"), "s1"))
    assert len(list((tmp_path / "project/predictions").iterdir())) == 3  # val of both, test of the original
    for where in (Path(folder), tmp_path / "other"):
        with closing(Session(where)) as opened:
            finish(opened.open(ModelSpec(folder, trust_code=True)))
            seen = list[str]()
            again = changes(opened, Split.VAL, seen)
            assert not any("Evaluating" in text for text in seen) and again.mcnemar == first.mcnemar


@pytest.mark.parametrize("damage", ["gone", "other"])
def test_predictions_that_are_lost_or_damaged_are_made_again(session: Session, damage: str):
    """As those of a project that an earlier version wrote."""
    first = changes(session, Split.VAL)
    for path in session.predictions.folder.iterdir():
        path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert changes(session, Split.VAL).mcnemar == first.mcnemar


def test_a_cancelled_comparison_leaves_everything_as_it_was(session: Session):
    """No file, no metric."""
    before = session.history.state("s1").metrics

    class Set:
        """A token that was set."""

        def is_set(self) -> bool:
            """Whether to stop."""
            return True

    with pytest.raises(Cancelled):
        finish(compare_states(session, split=Split.VAL, token=Set()))
    assert session.history.state("s1").metrics == before


def test_test_is_compared_by_default_where_both_were_tested(session: Session):
    """Else val, which any number of looks may go to."""
    assert changes(session).split is Split.VAL
    finish(session.evaluate("s1", Split.TEST))
    assert changes(session).split is Split.TEST


def test_other_data_forgets_predictions(session: Session, tmp_path: Path):
    """They are of samples that are no longer there; their files go with the next state."""
    changes(session, Split.VAL)
    write_project(tmp_path / "others", count=30)
    finish(session.attach_task(TaskSpec("arrays", str(tmp_path / "others/data.npz"), batch=16)))
    assert changes(session, Split.VAL).count == 30
    cut_half(session)
    assert len(list(session.predictions.folder.iterdir())) == 3


def test_a_baseline_is_compared_with_the_original(session: Session):
    """What it predicted on the test split was kept as it was measured; val is predicted on demand."""
    made = finish(make_baseline(session, "s1", BaselineSpec(BaselineKind.RANDOM, epochs=0)))
    seen = list[str]()
    found = finish(compare_states(session, "s0", made.id), lambda one: seen.append(str(one.message)))
    assert found.split is Split.TEST and found.metrics[1] == made.metric
    assert not any("Evaluating" in text for text in seen)
    assert finish(compare_states(session, "s0", made.id, Split.VAL)).split is Split.VAL


def test_samples_are_shown_by_their_rows(session: Session):
    """The images and labels of just those; others do not exist."""
    images, labels = _whole(session)
    shown = read_samples(session, Split.VAL, (5, 59, 60))
    assert [one.label for one in shown] == [["left", "middle", "right"][labels[row]] for row in (5, 59)]
    assert shown[1].image is not None and shown[1].shape == tuple(images[59].shape)
    assert read_samples(session, Split.VAL, ()) == ()


def _with_task(session: Session, folder: Path, code: str) -> None:
    (folder / "task.py").write_text(code)
    finish(session.attach_task(TaskSpec("file", str(folder / "task.py"))))


def test_batches_in_another_order_each_time_are_matched_by_content(session: Session, tmp_path: Path):
    """A task.py that shuffles: the same samples are found, and nothing can be shown of them."""
    _with_task(session, tmp_path, USERS_TASK)
    found = changes(session, Split.VAL)
    assert found.paired and found.count == 60 and not found.notes
    with torch.no_grad():
        images = torch.randn(60, 1, 8, 8, generator=torch.Generator().manual_seed(3))
        labels = torch.arange(60) % 3
        right = [session.model(state).eval()(images).argmax(1) == labels for state in ("s0", "s1")]
    assert found.mcnemar is not None
    assert found.mcnemar.lost == int((right[0] & ~right[1]).sum())
    assert read_samples(session, Split.VAL, (1,)) == ()


def test_an_own_metric_is_compared_by_the_classes_of_its_batches(session: Session, tmp_path: Path):
    """The second pass is made when somebody asks for it."""
    code = USERS_TASK + "\n\ndef evaluate(model, split):\n    return {'f1': 0.5}\n"
    _with_task(session, tmp_path, code)
    assert session.history.state("s0").metrics[0].predictions == ""
    found = changes(session, Split.VAL)
    assert found.by_class is not None and found.metrics[0].name == "f1"


def test_an_own_metric_with_samples_is_compared_by_these(session: Session, tmp_path: Path):
    """Those that lost most come first."""
    code = (
        "import torch\n\n\ndef example_inputs():\n    return (torch.zeros(2, 1, 8, 8),)\n\n\n"
        "def evaluate(model, split):\n    x = torch.linspace(-1, 1, 30)[:, None, None, None].expand(30, 1, 8, 8)\n"
        "    values = model(x.contiguous()).sigmoid()[:, 0].tolist()\n"
        "    return {'score': sum(values) / 30, 'samples': values}\n"
    )
    _with_task(session, tmp_path, code)
    found = changes(session, Split.VAL)
    assert found.samples is not None and found.measure == "score" and not found.groups
    change = found.samples.values[:, 1] - found.samples.values[:, 0]
    assert (np.diff(change) >= 0).all()


def test_a_metric_without_samples_says_so(session: Session, tmp_path: Path):
    """And how they can be had."""
    code = (
        "import torch\n\n\ndef example_inputs():\n    return (torch.zeros(2, 1, 8, 8),)\n\n\n"
        "def evaluate(model, split):\n    return {'score': 0.5}\n"
    )
    _with_task(session, tmp_path, code)
    with pytest.raises(SecateurError, match="no value for single samples"):
        changes(session, Split.VAL)


def test_outputs_of_nan_are_refused_with_a_sentence(session: Session):
    """And what was there stays."""
    before = session.history.state("s1").metrics
    with torch.no_grad():
        session.model("s1").get_parameter("fc.weight").fill_(torch.nan)
    with pytest.raises(SecateurError, match="NaN or infinity"):
        changes(session, Split.VAL)
    assert session.history.state("s1").metrics == before


def test_an_unknown_state_is_refused(session: Session):
    """By its name."""
    with pytest.raises(SecateurError, match="no state s9"):
        finish(compare_states(session, after="s9"))


def test_a_recovery_may_be_compared_with_its_cut(session: Session):
    """Any two states."""
    state = finish(session.recover("s1", RecoverySettings(epochs=1, threads=1)))
    found = finish(compare_states(session, "s1", state.id, Split.VAL))
    assert (found.before, found.after, found.paired) == ("s1", state.id, True)


def test_too_many_predictions_are_not_kept(session: Session, monkeypatch: pytest.MonkeyPatch):
    """They are compared all the same."""
    monkeypatch.setattr("secateur.engine.session.prediction_store.MOST", 10)
    assert changes(session, Split.VAL).count == 60
    assert session.history.state("s1").metrics[0].predictions == ""


def test_the_oldest_predictions_go_first(session: Session, monkeypatch: pytest.MonkeyPatch):
    """Above the bound of a session."""
    changes(session, Split.VAL)
    sizes = [path.stat().st_size for path in session.predictions.folder.iterdir()]
    monkeypatch.setattr("secateur.engine.session.prediction_store.BOUND", max(sizes) + 1)
    session.predictions.collect(session.history.predictions)
    assert len(list(session.predictions.folder.iterdir())) == 1


def test_a_name_that_leads_elsewhere_is_none_of_predictions(tmp_path: Path):
    """A history may be somebody else's."""
    store = PredictionStore(tmp_path)
    assert store.get("../../etc/passwd") is None and store.get("0" * 64) is None


def test_stale_metrics_are_measured_again(session: Session):
    """What changed since was not what is compared."""
    changes(session, Split.VAL)
    session.history.states["s0"] = replace(session.history.states["s0"], stale=True)
    seen = list[str]()
    changes(session, Split.VAL, seen)
    assert any("Evaluating" in text for text in seen)


def test_the_report_says_what_got_worse(session: Session, tmp_path: Path):
    """A sentence and a table of classes, from what is kept; without it there is no such section."""
    save_report(session, "s1", str(tmp_path / "before.html"))
    assert "What got worse?" not in (tmp_path / "before.html").read_text()
    finish(session.evaluate("s1", Split.TEST))
    found = changes(session)
    save_report(session, "s1", str(tmp_path / "after.html"))
    page = (tmp_path / "after.html").read_text()
    assert found.by_class is not None and all(f"<td>{name}</td>" in page for name in found.by_class.names)
    assert "What got worse?" in page and html.escape(str(summary(found)[0])) in page


def test_the_comparison_with_baselines_says_which_classes_pay(session: Session):
    """One that random removal loses alone, and one that the pruned model does."""
    made = finish(make_baseline(session, "s1", BaselineSpec(BaselineKind.RANDOM, epochs=0)))
    finish(session.evaluate("s1", Split.TEST))
    targets = np.repeat(np.arange(3), 200)

    def keep(name: str, wrong: int | None) -> None:
        """Predictions on the test split: of one class every other sample is wrong."""
        predicted = targets.copy()
        if wrong is not None:
            predicted[targets == wrong] = np.where(np.arange(200) % 2, wrong, (wrong + 1) % 3)
        ones = np.ones(600, np.float32)
        numbers = {"target": targets.astype(np.int32), "predicted": predicted.astype(np.int32)}
        columns = {**numbers, "confidence": ones, "true_confidence": ones, "loss": ones}
        kept = Predictions(PredictionKind.CLASSES, columns, ("left", "middle", "right"))
        metric = Metric("top-1", 0.9, 600, 0.01, Split.TEST, predictions=session.predictions.put(kept))
        if name == made.id:
            session.history.put_baseline(replace(made, metric=metric))
        else:
            session.history.add_metric(name, metric)

    keep("s0", None)
    keep("s1", 2)
    keep(made.id, 0)
    its, own = map(str, classes_that_pay(session.history, "s1", session.baselines("s1")))
    assert its.startswith(f"Only {made.title} loses these classes more than the rest: left (\u221250.0")
    assert own.startswith("Only the pruned model loses these classes") and "right (\u221250.0" in own
    keep(made.id, 2)
    assert classes_that_pay(session.history, "s1", session.baselines("s1")) == ()
    found = finish(compare_with_baselines(session, "s1", [BaselineSpec(BaselineKind.RANDOM, epochs=0)]))
    assert found.classes == ()
    keep(made.id, 0)
    found = finish(compare_with_baselines(session, "s1", [BaselineSpec(BaselineKind.RANDOM, epochs=0)]))
    assert [one.code for one in found.classes] == ["baselines.its_classes", "baselines.own_classes"]


@pytest.mark.parametrize(
    "column", [np.zeros((4, 2), np.int32), np.full(4, 2**60), np.zeros(4, np.float32), np.full(4, -5, np.int32)]
)
def test_a_file_of_other_columns_is_none_of_predictions(tmp_path: Path, column: np.ndarray):
    """Its name may be right, and what is in it not what it says."""
    ones = np.ones(4, np.float32)
    columns = {"target": column, "predicted": np.zeros(4, np.int32), "confidence": ones, "true_confidence": ones}
    store = PredictionStore(tmp_path)
    digest = store.put(Predictions(PredictionKind.CLASSES, {**columns, "loss": ones}))
    assert digest and store.get(digest) is None


def test_identities_of_other_shapes_are_none_of_predictions(tmp_path: Path):
    store = PredictionStore(tmp_path)
    columns = {"value": np.ones(4), "identity": np.ones((4, 2), np.uint64)}
    digest = store.put(Predictions(PredictionKind.VALUES, columns))
    assert digest and store.get(digest) is None


def test_large_images_are_shown_small(session: Session, tmp_path: Path):
    """As wide for their height as before."""
    arrays = {f"x_{split}": np.zeros((4, 1, 600, 300), np.float32) for split in ("train", "val", "test")}
    arrays |= {f"y_{split}": np.arange(4) % 3 for split in ("train", "val", "test")}
    np.savez(tmp_path / "large.npz", **arrays)  # pyright: ignore[reportArgumentType]
    session.loaded.task = open_task(TaskSpec("arrays", str(tmp_path / "large.npz")))
    (shown,) = read_samples(session, Split.VAL, (2,))
    assert shown.image is not None and shown.image.shape == (256, 128)


def test_a_trial_says_what_the_cut_would_and_makes_no_state(session: Session):
    """The same numbers as of the state that was really made; the session has the states that it had."""
    expected, before = changes(session, Split.VAL), [one.id for one in session.states()]
    found = finish(try_without(session, "s0", session.removed("s1")))
    assert (found.before, found.after, found.count) == ("s0", TRIAL, 60)
    assert [replace(one, when=0, predictions="") for one in found.metrics] == [
        replace(one, when=0, predictions="") for one in expected.metrics
    ]
    assert found.mcnemar == expected.mcnemar and found.samples is not None and expected.samples is not None
    np.testing.assert_array_equal(found.samples.rows, expected.samples.rows)
    np.testing.assert_array_equal(found.samples.predicted, expected.samples.predicted)
    assert [one.id for one in session.states()] == before


def test_a_trial_on_many_samples_shows_some_of_all_classes_first(session: Session, monkeypatch: pytest.MonkeyPatch):
    """They are spread over the split, and named by their places in it; they cross to the window."""
    monkeypatch.setattr("secateur.engine.workflows.changes.FIRST", 12)
    made = list[Changes]()
    job = try_without(session, "s0", session.removed("s1"))
    found = finish(job, lambda one: made.append(one.made) if one.made is not None else None)
    (first,) = made
    assert found.count == 60 and first.count == 12 and first.paired
    assert first.samples is not None and found.samples is not None
    assert sorted(first.samples.rows) == np.linspace(0, 59, 12).round().tolist()
    whole = dict(zip(found.samples.rows.tolist(), found.samples.predicted.tolist(), strict=True))
    assert [whole[row] for row in first.samples.rows.tolist()] == first.samples.predicted.tolist()
    event = read_event(event_bytes(Progressed(3, Progress("Trying"), (), (first,))), lambda _: None)
    assert isinstance(event, Progressed) and event.made[0].metrics == first.metrics


def test_a_trial_of_what_is_gone_is_refused_with_its_reason(session: Session):
    """As the cut of it is."""
    with pytest.raises(PlanError, match="Nothing"):
        finish(try_without(session, "s1", session.removed("s1")))

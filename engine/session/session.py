"""A session: one opened model, the task that judges it, and the tree of states that came of it, on disk and in memory.

The window talks to it through `client`, in a process of its own; the command line and tests use it directly. Long
methods are jobs; a job that fails or is cancelled leaves everything as it was.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..baselines.protocol import Baseline, BaselineSpec
from ..devices import placed
from ..errors import Message, OpenError, SecateurError
from ..export.protocol import Exported
from ..export.table import exporter_named
from ..foreign_code.consent import FULL_CONSENT, NO_CONSENT, Consent
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check, part_of
from ..planning.protocol import Goal
from ..recipes.compatibility import Fit, Mode
from ..recipes.recipe import baselines_in, code_in, vouched, with_model
from ..recipes.replay import Replay, beside, fit_of, steps_again
from ..recipes.steps import Open
from ..recovery.finetune import recover as fine_tune
from ..recovery.protocol import RecoverySettings, Repair
from ..recovery.training_curve import thinned, with_point
from ..scoring.criteria import score as rate
from ..scoring.score_options import Choices
from ..sensitivity.measure import TrialModel, sensitivity
from ..sensitivity.protocol import SHARES, Sensitivity
from ..sensitivity.trials import sets_of
from ..sharing.bundle import Bundle, is_bundle, read_bundle, take_weights
from ..sharing.find_recipe import recipe_at
from ..sources.checkpoint import read_checkpoint
from ..sources.named_code import by_hand, code_of, require_consent
from ..sources.nan_check import no_numbers
from ..sources.open import named_by_hand
from ..sources.protocol import ModelSpec
from ..sources.spec_paths import change_model
from ..sources.state_dict_match import apply, match, shapes_of
from ..storage.atomic_files import removed_unless_finished
from ..storage.paths import absolute_to
from ..storage.weight_store import WeightStore
from ..structures.analysis import Mask, identities
from ..surgery.cut.cut import cut as operate
from ..surgery.cut.repair_report import explain
from ..surgery.repair.keep_class import require_own_class
from ..surgery.verify.verify import require_verified, verify
from ..targets.protocol import TargetSpec
from ..tasks.protocol import Metric, Split, TaskInfo, TaskSpec
from ..tasks.spec_paths import change_task
from ..workflows import baselines
from ..workflows import prune as pruning
from ..workflows.baselines import Comparison
from ..workflows.budget_search import Found, Tolerance, lowest
from ..workflows.prune import Course, Sweep
from .handing import Handing
from .loaded_model import Live
from .measurement_cache import Numbers, Stored, points_of
from .open_model import (
    analysed,
    asks_for,
    check_outputs,
    described,
    example_inputs,
    first_look,
    judged,
    opened_task,
    prepare,
    same_shape,
    with_tokenizer,
)
from .project_file import Role, changes, read_project
from .reopen import check_kept, reopened
from .state_history import History, is_project
from .states import OpenedModel, PlanIntent, State, StateKind

NEVER = NeverCancelled()


class Session(Handing):
    """One opened model and its states; what `Place` says of where they lie."""

    def open(
        self,
        spec: ModelSpec,
        evaluate: bool = True,
        folder: str = "",
        token: CancelToken = NEVER,
        consent: Consent | None = None,
    ) -> Job[OpenedModel]:
        """Open a model, evaluate it on its task, then analyse it. A project folder is opened with all its states.

        Args:
            spec: What to open.
            evaluate: Judge the original.
            folder: Where the session goes on from now on, "" for where it is; what was there before stays as it is.
            token: Cancels.
            consent: What of foreign code may run; None where the user named the model by hand: what `spec` names.
        """
        with self._moving(folder):
            yield from self._alone()
            return (yield from self._open(spec, evaluate, token, named_by_hand(spec) if consent is None else consent))

    def restore(
        self,
        folder: str = "",
        moved: tuple[tuple[str, str], ...] = (),
        trust_code: bool = False,
        token: CancelToken = NEVER,
    ) -> Job[OpenedModel]:
        """Reopen the model of a session's folder with every state; nothing is trained or evaluated again.

        Args:
            folder: Where the session goes on from now on, "" for where it is.
            moved: (where a file was, where it is now).
            trust_code: Consent to code that the session's seal does not vouch for.
            token: Cancels.
        """
        with self._moving(folder):
            yield from self._alone()
            history = History(self.folder)
            history.read()
            assert history.spec is not None
            sealed, known = history.is_sealed, by_hand(history.spec, history.task)
            elsewhere = history.relocate(moved)
            asked = history.spec if sealed else history.spec.without_consent
            named = by_hand(history.spec, history.task)
            consent = named if trust_code else known if sealed else NO_CONSENT
            consent |= by_hand(*(new for _, new in moved))
            consent.require(code_of(history.spec, history.task), self.folder)
            self._live = yield from reopened(history, self.store, asked, token, consent)
            history.spec = asked
            history.mend()
            if elsewhere or not sealed:
                history.write_to(self.folder, consent=True)
            self.history = history
            return self._opened()

    def _open(self, spec: ModelSpec, evaluate: bool, token: CancelToken, consent: Consent) -> Job[OpenedModel]:
        here, began = absolute_to(Path.cwd()), time.time()
        spec = change_model(spec, here)
        if is_project(spec.source):
            return (yield from self._open_project(spec, token))
        if is_bundle(spec.source):
            return (yield from self._open_bundle(spec, token))
        prepared = yield from prepare(spec, token, consent)
        metrics, info, model = tuple[Metric, ...](), None, prepared.opened.model
        if prepared.task is not None and evaluate:
            metrics, info = yield from first_look(prepared.task, model, token)
        elif prepared.task is not None:
            info = described(prepared.task, model)
        analysis = yield from analysed(prepared, token)
        yield Progress("Saving the original")
        original = self._original(model, analysis, metrics)
        self.history.open(prepared.spec, prepared.spec.task, original)
        self._live, self._shown = Live(prepared, analysis, prepared.task, info, began, consent), None
        return self._opened()

    def attach_task(self, spec: TaskSpec, token: CancelToken = NEVER) -> Job[TaskInfo]:
        """Let a task judge the model; the original is evaluated on it first."""
        live, opened = self._need(), time.time()
        yield Progress("Opening the data")
        spec = with_tokenizer(change_task(spec, absolute_to(Path.cwd())), live.prepared.spec)
        original = live.prepared.opened.model
        named = by_hand(spec)
        task = opened_task(spec, original, live.consent | named)
        same_shape(example_inputs((), task, (), original), live.prepared.inputs, spec)
        check_outputs(original, live.prepared.inputs, task)
        metrics, info = yield from first_look(task, original, token)
        self.trust(named)
        self.history.attach_task(task.spec, replace(self.history.state("s0"), metrics=metrics, stale=False))
        live.task, live.info, live.opened = task, info, opened
        return info

    def judge_original(self, token: CancelToken = NEVER) -> Job[tuple[Metric, TaskInfo]]:
        """What the original scores, and what that told of the data; for a model that was opened without `evaluate`."""
        task, live = self._need_task(), self._need()
        with placed(self.device, live.prepared.opened.model):
            (metric,), info = yield from first_look(task, live.prepared.opened.model, token)
        self.history.add_metric("s0", metric)
        live.info = info
        return metric, info

    def evaluate(self, state: str, split: Split, token: CancelToken = NEVER) -> Job[Metric]:
        """Measure a state's metric; it is kept in the state."""
        task, model = self._need_task(), self._model(state)
        with placed(self.device, model):
            shown = Message("progress.split", "Evaluating on the {split} split", {"split": split.value})
            metric = yield from judged(task, model, split, token, shown)
        self.history.add_metric(state, metric)
        return metric

    def judged(self, state: str, split: Split, token: CancelToken = NEVER) -> Job[Metric]:
        """A state's metric on a split, measured now unless it has been."""
        one = self.history.state(state)
        known = next((metric for metric in one.metrics if metric.split is split and not one.stale), None)
        return (yield from self.evaluate(state, split, token)) if known is None else known

    def score(
        self,
        state: str,
        criterion: str,
        choices: Choices | None = None,
        seed: int = 0,
        token: CancelToken = NEVER,
    ) -> Job[NDArray[np.float64]]:
        """[S] scores of a state by a criterion, NaN where removed; `Partial` ones on the way."""
        live, one, choices = self._need(), self.history.state(state), choices or Choices()
        known = Numbers(lambda: Stored(self._ablation_file(one, choices, seed), float))
        subject = (self._model(state), live.analysis, live.mask(one), criterion, live.task, token)
        return (yield from rate(*subject, choices=choices, seed=seed, known=known))

    def _ablation_file(self, one: State, choices: Choices, seed: int) -> Path:
        live, task = self._need(), self._need_task()
        how = (choices.batches, seed, torch.get_num_threads())
        return points_of(self.cache / "ablation", one, live, task.spec, how)

    def cut(self, state: str, removed: Mask, plan: PlanIntent | None = None, token: CancelToken = NEVER) -> Job[State]:
        """Remove structures from a state and verify the cut; raises and changes nothing when it does not hold.

        Args:
            state: Where to start.
            removed: [S] what should be gone, in original coordinates; what is gone already stays gone.
            plan: What the plan was made for, for the recipe.
            token: Cancels.
        """
        live, parent = self._need(), self.history.state(state)
        before = live.mask(parent)
        after = before | removed
        yield Progress("Cutting")
        model, inputs = self._model(state), live.prepared.inputs
        done = operate(model, live.analysis, before, after, parent.edits, inputs)
        if live.prepared.spec.own_class:
            require_own_class(done.edits)
        yield Progress("Verifying the cut")
        verification = yield from verify(model, done.model, live.analysis, before, after, inputs, token, done.factors)
        require_verified(verification)
        check(token)
        repairs = explain(done.edits, live.prepared.opened.model)
        fields = {"verification": verification, "plan": plan or PlanIntent(), "repairs": repairs}
        return self._keep(done.model, parent, StateKind.CUT, identities(live.analysis, after), done.edits, fields)

    def recover(self, state: str, settings: RecoverySettings, token: CancelToken = NEVER) -> Job[State]:
        """Fine-tune a state with the original as teacher; one that was stopped or killed half-way is gone on with."""
        live, task, parent = self._need(), self._need_task(), self.history.state(state)
        live.present = None  # Memory holds the original and one more model: now the student.
        student, teacher = self._fresh(parent), live.prepared.opened.model
        kept, checkpoint = (
            live.analysis.kept_indices(live.mask(parent)),
            self.checkpoint(parent.weights, settings),
        )
        reference = self._cut_from(parent) if settings.repair is not Repair.NONE else None
        told = (live.analysis.outputs, kept, reference or (teacher, {}), checkpoint, self.device)
        result = yield from with_point(fine_tune(student, teacher, task, settings, token, *told), checkpoint.points)
        check(token)
        student.load_state_dict(result.state_dict)
        course = {"curve": thinned(checkpoint.points), "device": self.device, "stopped": result.stopped}
        fields = {"recovery": settings, "metrics": (result.metric,), **course}
        made = self._keep(student, parent, StateKind.RECOVERED, parent.removed, parent.edits, fields)
        checkpoint.forget()
        return made

    def prune(
        self, state: str, course: Course, scores: NDArray[np.float64] | None = None, token: CancelToken = NEVER
    ) -> Job[tuple[State, ...]]:
        """Score, plan, cut and recover until a goal is reached; returns the states on the way."""
        return (yield from pruning.prune(self, state, course, token, scores))

    def lowest(
        self,
        state: str,
        course: Course,
        tolerance: Tolerance,
        scores: NDArray[np.float64] | None = None,
        token: CancelToken = NEVER,
    ) -> Job[Found]:
        """Prune to the smallest budget of a cost that loses no more of the metric than is tolerated."""
        return (yield from lowest(self, state, course, tolerance, token, scores))

    def sweep(
        self,
        state: str,
        course: Course,
        shares: tuple[float, ...] = pruning.BUDGETS,
        scores: NDArray[np.float64] | None = None,
        token: CancelToken = NEVER,
    ) -> Job[Sweep]:
        """Prune from one state to several budgets, the points of a trade-off curve."""
        return (yield from pruning.sweep(self, state, course, shares, token, scores))

    def sensitivity(
        self,
        state: str,
        criterion: str,
        shares: tuple[float, ...] = SHARES,
        goal: Goal | None = None,
        choices: Choices | None = None,
        seed: int = 0,
        token: CancelToken = NEVER,
    ) -> Job[Sensitivity]:
        """The metric against the removed share of each coupled set; what was measured once is not measured again.

        Args:
            state: What is cut on trial.
            criterion: What says which structures of a set go first.
            shares: Of what remains of a set.
            goal: Its scope and kinds say which sets, None for all of `DEFAULT_KINDS`.
            choices: About the scores.
            seed: Of what is random in them.
            token: Cancels; what was measured is kept.
        """
        live, one, task = self._need(), self.history.state(state), self._need_task()
        scores = yield from self.score(state, criterion, choices, seed, token)
        removed = live.mask(one)
        numbers = sets_of(live.analysis, removed, goal or Goal(()))
        inputs = live.prepared.inputs
        told = (one.edits, inputs, task, scores, criterion, self.device)
        subject = TrialModel(self._model(state), live.analysis, removed, *told)
        file = points_of(self.cache / "sensitivity", one, live, task.spec)
        points = Stored(file, Metric)
        return (yield from sensitivity(subject, numbers, shares, points, token))

    def compare(
        self,
        state: str,
        asked: Sequence[BaselineSpec],
        target: TargetSpec | None = None,
        token: CancelToken = NEVER,
    ) -> Job[Comparison]:
        """Put baselines beside a state, time all of them on a target, and say whether pruning was worth it."""
        return (yield from baselines.compare(self, state, asked, target, token))

    def baseline(
        self, state: str, asked: BaselineSpec, token: CancelToken = NEVER, consent: Consent | None = None
    ) -> Job[Baseline]:
        """Make one baseline of a state, unless it was made before; see `comparing.make`."""
        return (yield from baselines.make(self, state, asked, token, consent))

    def attach(self, state: str, weights: str, trust_pickle: bool = False, token: CancelToken = NEVER) -> Job[State]:
        """Take weights for a state that were trained elsewhere; a pickle only with consent to it or to the model's."""
        parent, trust = self.history.state(state), trust_pickle or self._need().prepared.spec.trust_pickle
        yield Progress("Reading the weights")
        model = self._fresh(parent)
        path = absolute_to(Path.cwd())(weights)
        apply(match(read_checkpoint(path, trust), shapes_of(model), path), model)
        if named := no_numbers(model):
            template = "{path} contains NaN or infinity: {weights}. Attach another checkpoint."
            raise OpenError("attach.no_numbers", template, path=path, weights=named)
        check(token)
        return self._keep(model, parent, StateKind.ATTACHED, parent.removed, parent.edits, {})

    def export(self, state: str, format: str, path: str, token: CancelToken = NEVER) -> Job[Exported]:
        """Write a state as a file, compare the file with the model, and measure the metric on the file."""
        live, one = self._need(), self.history.state(state)
        exporter, path = exporter_named(format), absolute_to(Path.cwd())(path)
        with removed_unless_finished(Path(path)):
            exported = yield from exporter.export(self._artifacts().request(self._model(state), one, path), token)
            if live.task is not None:
                shown = Message("progress.on_file", "Measuring the metric on the file")
                metric = yield from judged(live.task, exporter.predictor(path), Split.TEST, token, shown)
                exported = replace(exported, metric=metric)
            self._artifacts().remember(one, exported)
            self.history.put(replace(one, exports=(*one.exports, exported)))
        return exported

    def keep_baseline(self, one: Baseline, model: nn.Module) -> Baseline:
        """Write a baseline's weights, then the baseline; it gets its id."""
        weights = self.store.put(model.state_dict())
        kept = self.history.put_baseline(replace(one, id=f"b{len(self.history.baselines)}", weights=weights))
        self._collect()
        return kept

    def open_recipe(
        self,
        recipe: str,
        weights: str = "",
        source: str = "",
        trust_pickle: bool = False,
        trust_code: bool = False,
        download: bool = False,
        token: CancelToken = NEVER,
    ) -> Job[OpenedModel]:
        """Open the model of a recipe, with a new checkpoint or from another source where they are named."""
        path = Path(absolute_to(Path.cwd())(recipe))
        recorded = recipe_at(path)
        named = {"weights": weights} if weights else {}
        named |= {"source": source, "weights": weights} if source else {}
        allowed = {"trust_pickle": trust_pickle, "trust_code": trust_code, "download": download}
        asked = with_model(recorded, lambda model: replace(model, **allowed, **named))
        consent = FULL_CONSENT if trust_code else vouched(recorded) | by_hand(source)
        consent.require(code_in(asked), path)
        first = asked.steps[0]
        assert isinstance(first, Open)
        return (yield from self.open(first.intent.model, token=token, consent=consent))

    def fit(self, recipe: str) -> Fit:
        """How the recipe of a file, a project or a bundle fits the model that is open."""
        return fit_of(recipe_at(Path(absolute_to(Path.cwd())(recipe))), self, self._opened())

    def apply_recipe(
        self, recipe: str, mode: Mode | None = None, trust_code: bool = False, token: CancelToken = NEVER
    ) -> Job[Replay]:
        """Do a recipe's steps again on the original of the open model; each state that is made stays.

        Args:
            recipe: A file, a project or a bundle.
            mode: What is done again on another version of the model; None for what matches best.
            trust_code: Consent to the code of its baselines.
            token: Cancels.
        """
        path = Path(absolute_to(Path.cwd())(recipe))
        read = recipe_at(path)
        consent = FULL_CONSENT if trust_code else self._need().consent | vouched(read)
        consent.require(code_of(*baselines_in(read)), path)
        return (yield from steps_again(read, self, self._opened(), mode, token, consent, beside(path)))

    def stay(self) -> Path:
        """Leave the folder there when the session is closed, also a temporary one; returns it."""
        if self._temporary is not None:
            self._temporary.keep()
            self._temporary = None
        return self.folder

    def close(self) -> None:
        """Forget the model; a temporary folder is removed."""
        self._live = None
        self._let_go()
        if self._temporary is not None:
            self._temporary.remove()

    def _open_project(self, spec: ModelSpec, token: CancelToken) -> Job[OpenedModel]:
        """Open a project, then copy its states into this session's folder; another task may judge it."""
        project = History(Path(spec.source))
        if self._exclusive:
            yield from self._hold_to_write(project.folder)
        project.read()
        assert project.spec is not None
        check_kept(spec, project.spec)
        file, notes = read_project(project.folder)
        project.relocate(spec.moved)
        project.spec = replace(project.spec.without_consent, trust_code=spec.trust_code)
        consent = require_consent(
            replace(project.spec, task=project.task), project.seal, project.folder, spec.trust_code
        )
        store = WeightStore(project.folder / "weights")
        shown = Progress("Checking for changes")
        changed, stale = yield from part_of(shown, changes(file, project.spec, project.task, token))
        if stale:
            project.mark_stale(code=Role.MODEL in stale)
        project.notes = (*project.notes, *notes, *changed)
        live = yield from reopened(project, store, spec, token, consent)
        if project.folder.resolve() != self.folder.resolve():
            yield from self.store.take(project.weights, store, token)
            project.write_to(self.folder)
            self.history.read()
        else:
            self.history = project
        self.history.notes = project.notes
        self.history.leave("" if file is None else file.state)
        self._live, self._shown = live, None
        if spec.task is not None and not asks_for(spec.task, self.history.task):
            yield from self.attach_task(spec.task, token)
        return self._opened()

    def _hold_to_write(self, folder: Path) -> Job[None]:
        """Hold a project that is to be worked on; one that cannot be written may be read all the same."""
        try:
            yield from self.hold(folder)
        except SecateurError as error:
            if error.message.code != "session.not_written":
                raise

    def _open_bundle(self, spec: ModelSpec, token: CancelToken) -> Job[OpenedModel]:
        """Open a bundle with its states where their weights and the model's code are at hand, else only its numbers."""
        yield Progress("Reading the bundle")
        bundle = read_bundle(Path(spec.source))
        bundle.history.leave(bundle.manifest.state)
        absent = bundle.absent
        try:
            if absent is None:
                return (yield from self._open_whole(bundle, spec, token))
        except OpenError as error:
            if error.message.code in ("source.code", "checkpoint.pickle", "source.download"):
                raise
            absent = error.message
        shown = bundle.opened(absent)
        self._live, self._shown = None, bundle
        return shown

    def _open_whole(self, bundle: Bundle, spec: ModelSpec, token: CancelToken) -> Job[OpenedModel]:
        history = bundle.history
        assert history.spec is not None
        bundle.check_code()
        consent = require_consent(replace(history.spec, task=history.task), "", bundle.path, spec.trust_code)
        yield from take_weights(bundle, self.store.folder, token)
        live = yield from reopened(history, self.store, spec, token, consent)
        history.write_to(self.folder)
        self.history.read()
        self.history.leave(bundle.manifest.state)
        self._live, self._shown = live, None
        return self._opened()

"""A session: one opened model, the task that evaluates it, and the tree of its states, on disk and in memory.

It opens models, projects and bundles, and makes one state of another: cut, recover, attach. What takes several steps
(`workflows`), does recorded ones again (`recipes`) or hands them on (`sharing`) are functions that take a session; it
knows none of them. The window talks to it through `process.client`, in a process of its own; the command line and tests
use it directly. Long methods are jobs; a job that fails or is cancelled leaves everything as it was.
"""

import hashlib
import json
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..baselines.protocol import Baseline
from ..distributed import ALONE, group
from ..errors import Message, OpenError, PlanError, SecateurError, TaskError
from ..foreign_code.consent import FULL_CONSENT, NO_CONSENT, Consent
from ..inference.batch_parts import PassLimit
from ..inference.model_inputs import Inputs
from ..inspection.changes import judge_quality
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check, staged
from ..machine.device_list import Device, list_devices
from ..machine.devices import CPU, available, check_threads, device_for, device_named, placed
from ..masks.gates import StructureGates
from ..planning.marks import check_locks
from ..planning.protocol import PlanStart, QualityLimits
from ..planning.share_exchange import ShareExchange
from ..recovery.budget import Budget, Unit
from ..recovery.checkpoint import Checkpoint, KeptTeacher, delete_checkpoints
from ..recovery.mask_training import learn_masks as train_masks
from ..recovery.protocol import RecoverySettings, Repair
from ..recovery.recover import recover as recover_model
from ..recovery.training_curve import log_curve, record_curve, thin_curve
from ..scoring.criteria import CRITERIA, search
from ..scoring.criteria import score as rate
from ..scoring.score_options import Choices
from ..scoring.share_search import SearchedPlan
from ..sources.exported_folder import read_weights
from ..sources.named_code import by_hand, require_consent, runs
from ..sources.nan_check import no_numbers
from ..sources.open import named_by_hand
from ..sources.protocol import ModelSpec
from ..storage.file_limits import checked_weights
from ..storage.folder_lock import Holder
from ..storage.paths import DIGEST, absolute_to
from ..storage.serialization import to_plain
from ..storage.weight_store import GIGABYTE, WeightStore
from ..structures.analysis import Analysis, Mask, from_identities, identities
from ..structures.costs import costs
from ..structures.transition import KeptIndices, Transition
from ..surgery.cut.cut import cut as operate
from ..surgery.cut.edits import Edits
from ..surgery.cut.repair_report import explain
from ..surgery.repair.keep_class import require_own_class
from ..surgery.verify.verify import require_verified, verify
from ..tasks.data_hints import better_normalisation
from ..tasks.predictions import Evaluation
from ..tasks.protocol import DataHint, Metric, Split, Task, TaskInfo, TaskSpec, change_task
from ..tasks.texts import require_known_text
from .bundle_file import Bundle, is_bundle, read_bundle, take_weights
from .export_cache import Artifacts
from .filter_images import Filters, filters_of
from .loaded_model import LoadedModel
from .measurement_cache import TRAININGS, Numbers, Stored, fingerprint, points_of
from .memory_needs import room_to_open, room_to_train
from .open_model import (
    Prepared,
    analysed,
    as_found,
    asks_for,
    check_outputs,
    described,
    example_inputs,
    first_look,
    opened_task,
    prepare,
    run_evaluation,
    same_shape,
    with_tokenizer,
)
from .parallel import Leader, MasksOrder, RecoverOrder, ScoreOrder
from .prediction_store import PredictionStore, kept_predictions
from .reopen import reopened, saved_project
from .session_folder import SessionFolder
from .state_history import StateHistory, is_project
from .states import MaskIntent, OpenedModel, PlanIntent, State, StateKind

NEVER = NeverCancelled()
VERIFIED = (0.0, 0.1, 0.8, 0.85, 0.9, 1.0)
"""About what share of a cut is over as each stage of its verification begins."""


class Session:
    """One opened model and its states.

    Attributes:
        location: Its folder, with the weights of the states, and the projects that it writes to.
        history: The tree of states.
        device: Where models score, evaluate and train.
        passes: How many samples run at a time there, once memory has run out.
        log_folder: Where recoveries leave TensorBoard files, a run for each state that is recovered; None for nowhere.
    """

    def __init__(
        self,
        folder: Path | None = None,
        disk_bound: int = 4 * GIGABYTE,
        cache: Path | None = None,
        exclusive: bool = False,
        holder: Holder | None = None,
        in_memory: bool = False,
    ) -> None:
        """Work in a folder, or in a temporary one that `close` removes.

        Args:
            folder: Where log and weights go.
            disk_bound: Bytes that the folder may take.
            cache: Where measurements by content go.
            exclusive: No other process may write to a project either that was opened or saved, until another one is.
            holder: What other processes are told that may not write meanwhile; this process by default.
            in_memory: The weights of the states stay in memory, and only of the last ones: nothing is reopened.
        """
        self.location = SessionFolder(folder, disk_bound, cache, exclusive, holder, in_memory)
        self.history = StateHistory(self.folder)
        self.device: str = CPU
        self.passes = PassLimit()
        self._threads = torch.get_num_threads()
        self.log_folder: Path | None = None
        self._loaded: LoadedModel | None = None
        self._leader = Leader(group())  # of the processes that compute with this one
        self._shown: Bundle | None = None  # A bundle without its weights, to look at: nothing is open then.

    # What there is.

    @property
    def folder(self) -> Path:
        """Where the log and the weights lie."""
        return self.location.path

    @property
    def store(self) -> WeightStore:
        """The weights of the states."""
        return self.location.store

    @property
    def predictions(self) -> PredictionStore:
        """What the states predicted, as far as that is kept."""
        return PredictionStore(self.folder)

    @property
    def is_open(self) -> bool:
        """Whether a model is in memory."""
        return self._loaded is not None

    @property
    def loaded(self) -> LoadedModel:
        """What is in memory of the opened model; raises OpenError where nothing is open."""
        if self._loaded is None and self._shown is not None and (why := self._shown.absent) is not None:
            raise OpenError.saying(why)
        if self._loaded is None:
            raise OpenError("session.closed", "No model is open. Open one first.")
        return self._loaded

    @property
    def analysis(self) -> Analysis:
        """Of the opened model."""
        return self.loaded.analysis

    @property
    def prepared(self) -> Prepared:
        """The opened model with what it is run on."""
        return self.loaded.prepared

    @property
    def processes(self) -> int:
        """How many compute together, this one among them."""
        return self._leader.group.place.size

    @property
    def has_task(self) -> bool:
        """Whether a task evaluates the model."""
        return self.loaded.task is not None

    @property
    def task(self) -> Task:
        """What evaluates the model; raises TaskError where nothing does."""
        task = self.loaded.task
        if task is None:
            raise TaskError("session.no_task", "Data needed. Attach it first.")
        return task

    def states(self) -> tuple[State, ...]:
        """All states in the order they were made, the original first."""
        return tuple(self._told.states.values())

    @property
    def present(self) -> State:
        """The state that a project was left at, until there is a further one; else the last that was made.

        After a search the result need not be the last: what was tried later may have lost too much.
        """
        return self._told.present

    def baselines(self, state: str = "") -> tuple[Baseline, ...]:
        """The baselines that stand beside a state, or beside any, in the order they were made."""
        return tuple(one for one in self._told.baselines.values() if state in ("", one.against))

    @property
    def _told(self) -> StateHistory:
        """The history that is looked at: that of a bundle where only its numbers are here."""
        return self.history if self._shown is None else self._shown.history

    def opened(self) -> OpenedModel:
        """What is open, as plain data."""
        loaded = self.loaded
        changed = self.history.notes
        of_data = () if loaded.info is None else loaded.info.notes
        notes = (*changed, *loaded.prepared.opened.notes, *loaded.analysis.notes, *of_data)
        return OpenedModel(
            name=loaded.prepared.opened.name,
            analysis=loaded.analysis,
            state=self.history.state("s0"),
            notes=notes,
            task=loaded.info,
            spec=self.history.spec and replace(self.history.spec, task=self.history.task),
            devices=available(),
            folder=str(self.folder),
            changed=changed,
            untrained=loaded.prepared.opened.untrained,
            offered=loaded.prepared.opened.offered,
        )

    def removed(self, state: str) -> Mask:
        """[S] what is gone in a state."""
        return self.loaded.mask(self.history.state(state))

    def model(self, state: str) -> nn.Module:
        """A state's model, which nobody may change."""
        return self.loaded.model(self.history.state(state), self.store)

    def filters(self, state: str) -> Filters | None:
        """The filters of a state's first convolution as images, None where it has none that can be seen."""
        loaded = self.loaded
        return filters_of(self.model(state), loaded.analysis, loaded.mask(self.history.state(state)))

    def artifacts(self) -> Artifacts:
        """The files of states that runtimes measure."""
        loaded = self.loaded
        return Artifacts(self.folder / "artifacts", loaded.prepared, loaded.analysis.recorded)

    def checkpoint(self, weights: str, settings: RecoverySettings) -> Checkpoint:
        """Where a training keeps what it needs to go on; of the same weights, teacher, data and settings only.

        The budget may be another one: what was begun goes on, and under the same teacher.

        Of a temporary session that is among what is kept by content: the same steps in another one go on with it.

        Args:
            weights: Names the weights that it starts from, by what they are.
            settings: How it is trained.
        """
        place, original = self.location, self.history.state("s0").weights
        settings = replace(settings, shard=False)  # the same training, however its model is held
        folder = (place.cache if place.temporary else place.path) / TRAININGS
        delete_checkpoints(folder)
        kept = not place.temporary or place.cache != place.path  # else nobody could go on with it
        tuning = to_plain(settings.tuning)
        # How a schedule comes out depends on the clock, so timed trainings are never taken for untimed ones.
        timed, minutes = (["timed"], [settings.minutes]) if settings.minutes else ([], [])
        tuning_key, tuning_mendable = self._keys(original, original, tuning, *timed)
        training = Checkpoint(folder / f"{tuning_mendable}.pt" if kept else None, tuning_key, tuning_mendable)
        teacher_key, _ = self._keys(original, original, tuning, *minutes)  # less time gives another teacher
        teacher = KeptTeacher(KeptTeacher.place(folder, teacher_key), teacher_key, training)
        # with another budget it goes on all the same
        settings = settings.within(Budget(Unit.EPOCHS, int(settings.trains)))
        key, mendable = self._keys(weights, original, to_plain(settings))
        return Checkpoint(folder / f"{mendable}.pt" if kept else None, key, mendable, teacher=teacher)

    def _keys(self, *what: Any) -> tuple[str, str]:
        """(what a training on the data of this session goes by, the same without what the files of the data hold)."""
        task = self.history.task
        named = [*what, to_plain(task)]
        data = [fingerprint(task.path)] if task is not None else []
        key, mendable = (
            hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest() for one in (named + data, named)
        )
        return key, mendable

    # What it works with.

    def devices(self) -> tuple[Device, ...]:
        """The devices of the machine that the session is on, as they stand now."""
        return list_devices()

    def use_device(self, device: str) -> str:
        """Compute there from now on; returns the name. Raises SecateurError where there is no such device."""
        self.device = device_named(device)
        return self.device

    def use_threads(self, threads: int) -> int:
        """Compute with so many threads from now on, 0 for as many as at first; returns how many that are."""
        torch.set_num_threads(check_threads(threads) if threads else self._threads)
        return torch.get_num_threads()

    def trust(self, consent: Consent) -> None:
        """What the user has named by hand, or allowed, may run from now on."""
        loaded = self.loaded
        loaded.consent = loaded.consent | consent

    # Opening.

    def open(
        self,
        spec: ModelSpec,
        evaluate: bool = True,
        folder: str = "",
        token: CancelToken = NEVER,
        consent: Consent | None = None,
        same_weights: bool = False,
    ) -> Job[OpenedModel]:
        """Open a model, evaluate it on its task, then analyse it. A project folder is opened with all its states.

        Args:
            spec: What to open.
            evaluate: Judge the original.
            folder: Where the session goes on from now on, "" for where it is; what was there before stays as it is.
            token: Cancels.
            consent: What of foreign code may run; None where the user named the model by hand: what `spec` names.
            same_weights: A project only where its model still has the weights that it was begun with.
        """
        with self._moving(folder):
            yield from self.location.alone()
            spec = as_found(spec)
            if is_project(spec.source):
                # Open a project, then copy its states into this session's folder; another task may judge it.
                if self.location.exclusive:
                    # Hold a project that is to be worked on; one that cannot be written may be read all the same.
                    try:
                        yield from self.location.hold(Path(spec.source))
                    except SecateurError as error:
                        if error.message.code != "session.not_written":
                            raise
                saved = yield from saved_project(spec, token, same_weights)
                project = saved.history
                if project.folder.resolve() != self.folder.resolve():
                    yield from self.store.take(project.weights, saved.store, token)
                    yield from self.predictions.take(project.predictions, PredictionStore(project.folder), token)
                    project.write_to(self.folder)
                    self.history.read()
                else:
                    self.history = project
                    if spec.trust_code:  # what was allowed is not asked about again
                        project.write_to(self.folder)
                self.history.notes = project.notes
                self.history.leave(saved.left)
                self._loaded, self._shown = saved.loaded, None
                if spec.task is not None and not asks_for(spec.task, self.history.task):
                    yield from self.attach_task(spec.task, token)
                return replace(self.opened(), has_history=True)
            return (yield from self._open(spec, evaluate, token, named_by_hand(spec) if consent is None else consent))

    def open_live(
        self, spec: ModelSpec, module: nn.Module | None, examples: Inputs = (), token: CancelToken = NEVER
    ) -> Job[OpenedModel]:
        """Open what the caller has in memory: a live module, which is left as it was found, or example inputs.

        Args:
            spec: What to open; of a live module it names no source, but task, outputs and what plans must keep to.
            module: On any device and in any mode; None where `spec` names the model.
            examples: Inputs [N, ...], () for those of the task or the source.
            token: Cancels.
        """
        return (yield from self._open(as_found(spec), True, token, named_by_hand(spec), module, examples))

    def restore(
        self,
        folder: str = "",
        moved: tuple[tuple[str, str], ...] = (),
        trust_code: bool = False,
        unchanged: bool = False,
        token: CancelToken = NEVER,
    ) -> Job[OpenedModel]:
        """Reopen the model of a session's folder with every state; nothing is trained or evaluated again.

        Args:
            folder: Where the session goes on from now on, "" for where it is.
            moved: (where a file was, where it is now).
            trust_code: Consent to code that the session's seal does not vouch for.
            unchanged: That consent was given before: it holds for code that is as it was then.
            token: Cancels.
        """
        with self._moving(folder):
            yield from self.location.alone()
            history = StateHistory(self.folder)
            history.read()
            assert history.spec is not None
            known = history.consent
            elsewhere = history.relocate(moved)
            asked = history.spec.without_consent if known is None else history.spec
            consent = FULL_CONSENT if trust_code else known or NO_CONSENT
            consent |= by_hand(*(new for _, new in moved))
            given = known if unchanged and known is not None else consent
            given.require(runs(replace(asked, task=history.task)), self.folder)
            self._loaded = yield from reopened(history, self.store, asked, token, consent)
            history.spec = asked
            history.mend()
            if elsewhere or known is None or (trust_code and not unchanged):
                history.write_to(self.folder, consent=True)
            self.history = history
            return self.opened()

    @contextmanager
    def _moving(self, folder: str) -> Generator[None]:
        """Work in another folder from now on; with what was open before, where the block does not end well."""
        before = (self.history, self._loaded, self.passes)
        self.passes = PassLimit()  # what was found out of another model does not count
        try:
            with self.location.moving(folder) as elsewhere:
                if elsewhere:
                    self.history = StateHistory(self.folder)
                yield
        except BaseException:
            self.history, self._loaded, self.passes = before
            raise

    def _open(
        self,
        spec: ModelSpec,
        evaluate: bool,
        token: CancelToken,
        consent: Consent,
        module: nn.Module | None = None,
        examples: Inputs = (),
    ) -> Job[OpenedModel]:
        began = time.time()
        if is_bundle(spec.source):
            return replace((yield from self._open_bundle(spec, token)), has_history=True)
        # A live module is in memory already.
        scarce = () if module is not None else (yield from room_to_open(spec, self.device))
        prepared = yield from prepare(spec, token, consent, module, examples)
        require_known_text(prepared.task)
        prepared = replace(prepared, opened=replace(prepared.opened, notes=(*scarce, *prepared.opened.notes)))
        metrics, info, model = tuple[Metric, ...](), None, prepared.opened.model
        if prepared.task is not None and evaluate:
            metrics, info = yield from first_look(
                prepared.task,
                model,
                token,
                prepared.opened.untrained,
                self.device,
                self._passes(),
                self.keep_predictions,
            )
        elif prepared.task is not None:
            info = described(prepared.task, model)
        analysis = yield from analysed(prepared, token)
        yield Progress("Saving the original")
        total = costs(analysis)
        original = State(
            id="s0",
            parent="",
            kind=StateKind.ORIGINAL,
            removed={},
            edits=Edits(),
            weights=self.store.put(model.state_dict()),
            parameters=total.parameters,
            macs=total.macs,
            metrics=metrics,
        )
        self.history.open(prepared.spec, prepared.spec.task, original)
        self._loaded, self._shown = LoadedModel(prepared, analysis, prepared.task, info, began, consent), None
        return self.opened()

    def _open_bundle(self, spec: ModelSpec, token: CancelToken) -> Job[OpenedModel]:
        """Open a bundle with its states where their weights and the model's code are at hand, else only its numbers."""
        yield Progress("Reading the bundle")
        bundle = read_bundle(Path(spec.source))
        bundle.history.leave(bundle.manifest.state)
        absent = bundle.absent
        try:
            if absent is None:
                history = bundle.history
                assert history.spec is not None
                bundle.check_code()
                consent = require_consent(replace(history.spec, task=history.task), "", bundle.path, spec.trust_code)
                yield from take_weights(bundle, self.store.folder, token)
                loaded = yield from reopened(history, self.store, spec, token, consent)
                history.write_to(self.folder)
                self.history.read()
                self.history.leave(bundle.manifest.state)
                self._loaded, self._shown = loaded, None
                return self.opened()
        except OpenError as error:
            if error.message.code in ("source.code", "source.changed_code", "checkpoint.pickle", "source.download"):
                raise
            # Code or data that is not here leaves a bundle that can be read; refusals are for the user to answer.
            absent = error.message
        shown = bundle.opened(absent)
        self._loaded, self._shown = None, bundle
        return shown

    # Data and metrics.

    def attach_task(self, spec: TaskSpec, token: CancelToken = NEVER) -> Job[TaskInfo]:
        """Let a task judge the model; the original is evaluated on it first."""
        loaded, opened = self.loaded, time.time()
        yield Progress("Opening the data")
        spec = with_tokenizer(change_task(spec, absolute_to(Path.cwd())), loaded.prepared.spec)
        original = loaded.prepared.opened.model
        named = by_hand(spec)
        task = opened_task(spec, original, loaded.consent | named, loaded.prepared.opened.preprocessing)
        require_known_text(task)
        same_shape(example_inputs((), task, None, original), loaded.prepared.inputs, spec)
        check_outputs(original, loaded.prepared.inputs, task)
        untrained = loaded.prepared.opened.untrained
        metrics, info = yield from first_look(
            task, original, token, untrained, self.device, self._passes(), self.keep_predictions
        )
        self.trust(named)
        self.history.attach_task(task.spec, replace(self.history.state("s0"), metrics=metrics, stale=False))
        loaded.task, loaded.info, loaded.opened = task, info, opened
        return info

    def evaluate_original(self, token: CancelToken = NEVER) -> Job[tuple[Metric, TaskInfo]]:
        """What the original scores, and what that told of the data; for a model that was opened without `evaluate`."""
        task, loaded = self.task, self.loaded
        opened = loaded.prepared.opened
        job = first_look(
            task, opened.model, token, opened.untrained, self.device, self._passes(), self.keep_predictions
        )
        (metric,), info = yield from job
        self.history.add_metric("s0", metric)
        loaded.info = info
        return metric, info

    def better_preprocessing(self, token: CancelToken = NEVER) -> Job[DataHint | None]:
        """Whether another normalisation clearly suits the model; for a model that was opened without `evaluate`."""
        opened = self.loaded.prepared.opened
        if opened.untrained:
            return None
        where = yield from device_for(self.device, opened.model)
        with placed(where, opened.model):
            return (yield from better_normalisation(self.task, opened.model, token))

    @contextmanager
    def running(self, state: str, device: str = "") -> Generator[nn.Module]:
        """A state's model on a device, "" for the session's; of learned masks without what they close, as the cut."""
        device = device or self.device
        one, model = self.history.state(state), self.model(state)
        with ExitStack() as stack:
            stack.enter_context(placed(device, model))
            if one.chosen:
                # Gates that are closed compute what the cut model will, before it is cut.
                closed, _ = from_identities(self.analysis, one.chosen)
                kind = next(each.dtype for each in model.parameters() if each.is_floating_point())
                gates = torch.from_numpy(~closed).to(device, kind)
                stack.enter_context(StructureGates(model, self.analysis).applied(gates))
            yield model

    def evaluate(self, state: str, split: Split, token: CancelToken = NEVER) -> Job[Metric]:
        """Measure a state's metric; it is kept in the state, with the predictions that it was made of."""
        return (yield from self._evaluate(state, split, token)).metric

    def evaluate_samples(self, state: str, split: Split, token: CancelToken = NEVER) -> Job[Evaluation]:
        """The same with the predictions, also where a task's own metric makes a further pass for them necessary."""
        return (yield from self._evaluate(state, split, token, asked=True))

    def keep_predictions(self, evaluation: Evaluation) -> Metric:
        """Write predictions down; returns the metric that names them."""
        return replace(evaluation.metric, predictions=self.predictions.put(evaluation.predictions))

    def _evaluate(self, state: str, split: Split, token: CancelToken, asked: bool = False) -> Job[Evaluation]:
        task = self.task
        shown = Message("progress.split", "Evaluating on the {split} split", {"split": split.value})
        where = yield from device_for(self.device, self.model(state))
        with self.running(state, where) as model:
            found = yield from run_evaluation(task, model, split, token, shown, where, self._passes(), asked)
        metric = self.keep_predictions(found)
        if found.predictions is not None:
            original = kept_predictions(self.history, next(iter(self.history.states)), split)
            metric = judge_quality(metric, found.predictions, None if original is None else original[1])
        self.history.add_metric(state, metric)
        return replace(found, metric=metric)

    def evaluate_once(self, state: str, split: Split, token: CancelToken = NEVER) -> Job[Metric]:
        """A state's metric on a split, measured now unless it has been."""
        one = self.history.state(state)
        known = next((metric for metric in one.metrics if metric.split is split and not one.stale), None)
        return (yield from self.evaluate(state, split, token)) if known is None else known

    def evaluate_limited(
        self, state: str, split: Split, quality: QualityLimits, token: CancelToken = NEVER
    ) -> Job[Metric]:
        """A state's metric on a split with all that is limited besides it; what of that is not known is measured now.

        Raises:
            TaskError: The data has no classes, or no confidences, that could be limited.
        """
        metric = yield from self.evaluate_once(state, split, token)
        if quality.are_known(metric):
            return metric
        # Classes lose against the original, so what it predicts comes first.
        original = next(iter(self.history.states))
        if kept_predictions(self.history, original, split) is None:
            yield from self.evaluate_samples(original, split, token)
        metric = (yield from self.evaluate_samples(state, split, token)).metric
        if quality.class_loss is not None and metric.class_loss is None:
            raise TaskError("changes.no_classes", "The data has no classes, so their losses cannot be limited.")
        if not quality.are_known(metric):
            template = "The data gives no confidences, so the calibration error cannot be limited."
            raise TaskError("changes.no_confidences", template)
        return metric

    def score(
        self,
        state: str,
        criterion: str,
        choices: Choices | None = None,
        seed: int = 0,
        token: CancelToken = NEVER,
    ) -> Job[NDArray[np.float64]]:
        """[S] scores of a state by a criterion, NaN where removed; `PartialScores` on the way."""
        loaded, one, choices = self.loaded, self.history.state(state), choices or Choices()
        model, parallel = self.model(state), criterion in CRITERIA and CRITERIA[criterion].parallel
        group = self._leader.group if loaded.task is not None and parallel else ALONE
        # Opened only by a criterion that measures: others have no use for the file.
        known = Numbers(lambda: Stored(self._ablation_file(one, choices, seed), float))
        remarks = loaded.remarks[state, criterion] = []
        job = rate(
            model,
            loaded.analysis,
            loaded.mask(one),
            criterion,
            loaded.task,
            choices=choices,
            seed=seed,
            known=known,
            device=self.device,
            limit=self._passes(),
            group=group,
            remarks=remarks,
            token=token,
        )
        order = ScoreOrder(criterion, choices, seed, self.device)
        with nullcontext() if group.is_alone else self._leader.lead(loaded, one, order):
            group.share(model.state_dict().values())
            return (yield from job)

    def search_shares(
        self,
        state: str,
        exchange: ShareExchange,
        plan: Mask,
        measurements: int,
        seed: int = 0,
        token: CancelToken = NEVER,
    ) -> Job[SearchedPlan]:
        """Move shares between the sets of a plan [S] of a state; the best plan so far on the way.

        Args:
            state: Where to start.
            exchange: What sets can give each other.
            plan: [S] to begin with.
            measurements: Plans to measure at most, 0 for as many as fit into the time of one recovery epoch.
            seed: Of what is random.
            token: Cancels.
        """
        loaded, one = self.loaded, self.history.state(state)
        return (
            yield from search(
                self.model(state),
                loaded.analysis,
                loaded.mask(one),
                self.task,
                exchange,
                plan,
                text=loaded.info is not None and loaded.info.tokens > 0,
                measurements=measurements,
                seed=seed,
                device=self.device,
                limit=self._passes(),
                token=token,
            )
        )

    def _passes(self) -> PassLimit:
        """How many samples run at a time on the session's device."""
        self.passes.begin(self.device)
        return self.passes

    def _ablation_file(self, one: State, choices: Choices, seed: int) -> Path:
        loaded, task = self.loaded, self.task
        how = (choices.batches, seed, torch.get_num_threads())
        return points_of(self.location.cache / "ablation", one, loaded, task.spec, how)

    # States of states.

    def cut(
        self,
        state: str,
        removed: Mask,
        plan: PlanIntent | None = None,
        token: CancelToken = NEVER,
        searched: Message | None = None,
    ) -> Job[State]:
        """Remove structures from a state and verify the cut; raises and changes nothing when it does not hold.

        Args:
            state: Where to start.
            removed: [S] what should be gone, in original coordinates; what is gone already stays gone.
            plan: What the plan was made for, for the recipe.
            token: Cancels.
            searched: What came of a search for the plan's shares.
        """
        loaded, parent = self.loaded, self.history.state(state)
        before = loaded.mask(parent)
        after = before | removed
        if plan is not None:
            # What was cut before it was locked stays cut.
            check_locks(loaded.analysis, after & ~before, from_identities(loaded.analysis, plan.locked)[0])
        yield Progress("Cutting")
        model, inputs = self.model(state), loaded.prepared.inputs
        done = operate(model, loaded.analysis, after, inputs, before=before, edits=parent.edits)
        if loaded.prepared.spec.own_class:
            require_own_class(done.edits)
        yield Progress("Verifying the cut")
        verifying = verify(
            model,
            done.model,
            loaded.analysis,
            after,
            inputs,
            before=before,
            factors=done.factors,
            edits=done.edits,
            token=token,
        )
        verification = yield from staged(verifying, VERIFIED)
        require_verified(verification)
        check(token)
        repairs = explain(done.edits, loaded.prepared.opened.model)
        return self._keep(
            done.model,
            parent,
            StateKind.CUT,
            identities(loaded.analysis, after),
            done.edits,
            verification=verification,
            plan=plan or PlanIntent(),
            repairs=repairs,
            searched=searched,
            rated=tuple(loaded.remarks.get((state, plan.criterion), ())) if plan is not None else (),
        )

    def suited(self, settings: RecoverySettings) -> RecoverySettings:
        """Settings of a recovery as they are recorded: what is automatic and hangs on the model's size is decided."""
        return settings.suited_to(costs(self.analysis).macs, self.task.spec.batch)

    def recover(self, state: str, settings: RecoverySettings, token: CancelToken = NEVER) -> Job[State]:
        """Fine-tune a state with the original as teacher; one that was stopped or killed half-way is gone on with."""
        loaded, task, parent = self.loaded, self.task, self.history.state(state)
        settings = self.suited(settings)
        asked = settings.distilling or settings
        if asked.trains:
            mask, taught = loaded.mask(parent), asked.teaches or loaded.info is None or not loaded.info.loss
            batch = task.spec.batch
            yield from room_to_train(loaded.analysis, mask, batch, self.device, settings, self.processes, taught)
        loaded.present = None  # Memory holds the original and one more model: now the student.
        # The student is a copy: a training that fails or is cancelled leaves the state as it was.
        student, teacher = self._fresh(parent), loaded.prepared.opened.model
        checkpoint = self.checkpoint(parent.weights, settings)
        group = self._leader.group if asked.trains else ALONE
        job = recover_model(
            student,
            teacher,
            task,
            settings,
            token=token,
            outputs=loaded.analysis.outputs,
            kept=loaded.analysis.kept_indices(loaded.mask(parent)),
            reference=(self._cut_from(parent) if settings.repairs is not Repair.NONE else None) or (teacher, {}),
            checkpoint=checkpoint,
            device=self.device,
            passes=self._passes(),
            rest=self._rest,
            group=group,
        )
        if self.log_folder is not None:
            job = log_curve(job, self.log_folder / parent.id, settings)
        # A repair without training is computed here alone; the others wait for the next order.
        order = RecoverOrder(settings)
        with self._leader.lead(loaded, parent, order) if asked.trains else nullcontext():
            result = yield from record_curve(job, checkpoint.points)
        check(token)
        student.load_state_dict(result.state_dict)
        made = self._keep(
            student,
            parent,
            StateKind.RECOVERED,
            parent.removed,
            parent.edits,
            recovery=settings.as_done(result.epochs),
            metrics=(result.metric,),
            curve=thin_curve(checkpoint.points),
            device=self.device,
            stopped=result.stopped,
            repaired=result.messages,
        )
        checkpoint.forget()
        return made

    def learn_masks(
        self, state: str, start: PlanStart, plan: Mask, intent: MaskIntent, token: CancelToken = NEVER
    ) -> Job[State]:
        """Learn which structures stay, with the weights; one that was stopped or killed half-way is gone on with.

        Args:
            state: A state of which nothing is cut.
            start: What the plan was made from; its locks and marks hold.
            plan: [S] how many structures of each set go.
            intent: What is recorded of it.
            token: Cancels.

        Returns:
            The whole model with trained weights; `State.chosen` is what should be cut.

        Raises:
            PlanError: The state is cut already.
        """
        loaded, task, parent = self.loaded, self.task, self.history.state(state)
        if parent.removed:
            template = "Masks are learned on a model of which nothing is cut. Start from the original."
            raise PlanError("masks.cut", template)
        yield from room_to_train(
            loaded.analysis,
            loaded.mask(parent),
            task.spec.batch,
            self.device,
            replace(intent.recovery, shard=False),
            self.processes,
        )
        loaded.present = None  # Memory holds the original and one more model: now the one that learns.
        model, teacher = self._fresh(parent), loaded.prepared.opened.model
        wanted = json.dumps([to_plain(intent), identities(loaded.analysis, plan)], sort_keys=True)
        checkpoint = self.checkpoint(f"{parent.weights} {wanted}", intent.recovery)
        job = train_masks(
            model,
            teacher,
            task,
            start,
            plan,
            intent.recovery,
            intent.steps,
            outputs=loaded.analysis.outputs,
            checkpoint=checkpoint,
            device=self.device,
            passes=self._passes(),
            group=self._leader.group,
            token=token,
        )
        order = MasksOrder(
            start.scores.tolist(),
            plan=identities(loaded.analysis, plan),
            removed=identities(loaded.analysis, start.removed),
            locked=identities(loaded.analysis, start.locked),
            settings=intent.recovery,
            steps=intent.steps,
        )
        with self._leader.lead(loaded, parent, order):
            result = yield from record_curve(job, checkpoint.points)
        model.load_state_dict(result.state_dict)
        made = self._keep(
            model,
            parent,
            StateKind.MASKED,
            parent.removed,
            parent.edits,
            masks=intent,
            chosen=identities(loaded.analysis, result.removed),
            curve=thin_curve(checkpoint.points),
            device=self.device,
        )
        checkpoint.forget()
        return made

    def attach(self, state: str, weights: str, trust_pickle: bool = False, token: CancelToken = NEVER) -> Job[State]:
        """Take weights for a state that were trained elsewhere, from a checkpoint or the folder of a PyTorch export.

        A pickle is read only with consent to it or to the model's.
        """
        parent, trust = self.history.state(state), trust_pickle or self.loaded.prepared.spec.trust_pickle
        yield Progress("Reading the weights")
        model = self._trained(parent, weights, trust)
        check(token)
        return self._keep(model, parent, StateKind.ATTACHED, parent.removed, parent.edits)

    def take_recovered(self, state: str, made: State, weights: str, token: CancelToken = NEVER) -> Job[State]:
        """Take a state that was recovered from one of these on another machine: its weights, course and measurements.

        What was removed and repaired is that of the state here; nothing else of the other one's is believed.

        Args:
            state: What was recovered.
            made: As it is told there, with the measurements that are to be kept.
            weights: Safetensors file.
            token: Cancels.
        """
        parent = self.history.state(state)
        yield Progress("Reading the weights")
        model = self._trained(parent, weights, trust_pickle=False)
        check(token)
        return self._keep(
            model,
            parent,
            StateKind.RECOVERED,
            parent.removed,
            parent.edits,
            recovery=made.recovery,
            metrics=made.metrics,
            timings=made.timings,
            curve=made.curve,
            device=made.device,
            stopped=made.stopped,
            repaired=made.repaired,
        )

    def keep_baseline(self, one: Baseline, model: nn.Module) -> Baseline:
        """Write a baseline's weights, then the baseline; it gets its id."""
        weights = self.store.put(model.state_dict())
        kept = self.history.put_baseline(replace(one, id=f"b{len(self.history.baselines)}", weights=weights))
        self._collect()
        return kept

    def close(self) -> None:
        """Forget the model; a temporary folder is removed."""
        self._loaded = None
        self.location.close()

    def _fresh(self, state: State) -> nn.Module:
        return self.loaded.fresh(state, self.store)

    def _trained(self, parent: State, weights: str, trust_pickle: bool) -> nn.Module:
        """A state's model with weights from a file; raises OpenError for those that it cannot have."""
        model = self._fresh(parent)
        path = absolute_to(Path.cwd())(weights)
        # Of a file that is named by its digest the content is checked against it.
        if DIGEST.fullmatch(Path(path).stem):
            checked_weights(Path(path))
        model.load_state_dict(read_weights(path, model, trust_pickle), strict=False)
        if named := no_numbers(model):
            template = "{path} contains NaN or infinity: {weights}. Attach another checkpoint."
            raise OpenError("attach.no_numbers", template, path=path, weights=named)
        return model

    def _rest(self) -> None:
        """Let the original's weights lie in the session's file, from which the system reads what is asked for.

        They take no memory of their own then, until something runs the original again.
        """
        model, root = self.loaded.prepared.opened.model, self.history.state("s0")
        stored = self.store.get(root.weights, root.id)
        for name, tensor in model.state_dict(keep_vars=True).items():
            if (kept := stored.get(name)) is not None and (kept.shape, kept.dtype) == (tensor.shape, tensor.dtype):
                tensor.data = kept

    def _cut_from(self, state: State) -> tuple[nn.Module, KeptIndices] | None:
        """The model that a state was cut from, and what the state keeps of it; None for no cut."""
        loaded = self.loaded
        if state.kind is not StateKind.CUT:
            return None
        before = self.history.state(state.parent)
        model = self._fresh(before) if before.parent else loaded.prepared.opened.model
        return model, Transition(loaded.analysis, loaded.mask(before), loaded.mask(state)).kept_of_before

    def _keep(
        self,
        model: nn.Module,
        parent: State,
        kind: StateKind,
        removed: dict[str, list[int]],
        edits: Edits,
        **fields: Any,
    ) -> State:
        """Write a new state's weights, then the state; only then it exists."""
        loaded = self.loaded
        total = costs(loaded.analysis, from_identities(loaded.analysis, removed)[0])
        one = State(
            id=self.history.next_id(),
            parent=parent.id,
            kind=kind,
            removed=removed,
            edits=edits,
            weights=self.store.put(model.state_dict()),
            parameters=total.parameters,
            macs=total.macs,
            **fields,
        )
        state = self.history.put(one)
        loaded.present = (state.id, model.eval())
        self._collect()
        return state

    def _collect(self) -> None:
        """Keep the session's folder in its bound."""
        size = self.store.collect(set(self.history.weights))
        self.predictions.collect(self.history.predictions)
        self.artifacts().collect(self.store.bound - size)

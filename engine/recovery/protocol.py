"""Settings of a recovery, as plain data."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, cast

from ..errors import SecateurError, TaskError
from ..machine.devices import check_threads
from ..messages import all_of
from ..options import DataKind, Option, require_in_range
from ..tasks.domain_mixture import DomainTask, require_losses
from ..tasks.protocol import Split, TaskInfo
from ..text.notation import AMOUNT
from .budget import Budget, Unit
from .reference_losses import REFERENCE_LOSSES, ReferenceLosses, require_references

RECOVERY = "recovery after each cut"
"""Heading in `--help`."""
TRAINING, DISTILLATION = "Training", "Distillation"
"""Headings of the settings in a report."""
RATE = 2e-3
"""Default peak of the learning rate: the largest that is tried, and the one that is used without trials."""
SHARDED_RATE = RATE / 16
"""The same for models that are divided among processes: they are large."""
TUNING_EPOCHS, TUNING_SHARE = 2, 2
"""Epochs of tuning the teacher at most: the first number, and the recovery's own over the second."""
TUNING_PATIENCE = 3
"""Evaluations without gain after which tuning ends, where they are within an epoch; else the first ends it."""
TUNING_TIME = 1 / 3
"""Share of a recovery's time, steps or tokens that tuning the teacher may take."""
FEW_UPDATES = 200
"""Updates on text up to which the state after the repair decides how good a recovery ends."""
DISTILLATION_STEPS = 160
"""Steps of a repair by distillation; trials of the learning rate come on top."""
DISTILLED = 1e12
"""Multiply-accumulates of the original in all these steps, up to which they are made by default."""


class Repair(StrEnum):
    """What is done before, or without, any training; see `least_squares.py`."""

    AUTO = "auto"
    NONE = "none"
    BIAS = "bias"
    LEAST_SQUARES = "least squares"
    DISTILLATION = "distillation"


class Teacher(StrEnum):
    """What a student learns from; see `recover.py`."""

    AUTO = "auto"
    ORIGINAL = "original"


class Mixing(StrEnum):
    """How named domains of text are mixed; see `tasks/domain_mixture.py`."""

    NATURAL = "natural"
    DYNAMIC = "dynamic"
    CLAMPED = "clamped"


class Optimizer(StrEnum):
    """Optimisers to train with; `optimizers.py` makes them."""

    ADAMW = "adamw"
    ADAM = "adam"
    SGD = "sgd"


@dataclass(frozen=True, slots=True)
class RecoverySettings:
    """Fine-tuning with the original as teacher.

    Attributes:
        epochs: Passes over the train split. Where `minutes`, `steps` or `tokens` are given it is not used; of a
            recovery that is done it is the number of passes that were begun.
        minutes: How long a recovery may take instead, with all that belongs to it (the teacher's tuning, repair,
            evaluations); the schedule follows the time. 0 to train by epochs.
        steps: Updates after which a recovery ends instead, 0 to train by epochs.
        tokens: Tokens of text after which it ends instead, padding aside; the last update may go beyond.
        accumulate: Batches whose gradients make one update.
        evaluate_every: Updates between two evaluations; 0: evaluated after each epoch. The end is evaluated anyway.
        learning_rate: Peak of a one-cycle schedule; 0 for one that is found by trials, see `training_trials.py`.
        distillation: Weight of the teacher's soft targets, 0..1; the rest is the task's own loss.
        temperature: Softening of both outputs (Hinton et al. 2015), 0 for automatic; see `distillation_loss.py` and
            `training_trials.py`.
        weight_decay: Decoupled decay of weights (AdamW), biases and norms aside; for Adam and SGD the decay of
            `torch.optim`, for SGD of all parameters.
        seed: Order of the batches.
        threads: torch threads, 0: as many as the machine has less one.
        repair: How layers that lost inputs are repaired from calibration data before training; see `repairs`.
        optimizer: What makes the steps; SGD has Nesterov momentum 0.9 and needs a learning rate of its own.
        clip: Largest norm of the gradients of all parameters together, 0 for any; None for what suits the optimiser:
            1 for AdamW and Adam, whose second moments remember a first large gradient for long, any for SGD.
        warm_up: Share of the steps in which the learning rate rises.
        patience: Evaluations (epochs, unless they are by steps) without a better metric after which training stops, 0
            for never.
        features: Weight of the distance between the outputs of blocks in student and teacher, 0 for none.
        mirror: Mirror about half of the images of each batch, anew each time, with their labels; None: where the
            original is as good on mirrored images. The student then learns the mean of a tuned teacher's logits for
            both sides. With a weight of 1 for the teacher no label is needed.
        teacher: The original, or the original tuned on the data where that improves it.
        mixing: How named domains of text (`train-NAME.txt`) are mixed.
        references: Losses that lead the mixing: one entry with them, or one for each of several models of known
            sizes, for a scaling law; () for those of the original.
        half: Mixed precision (autocast) in bfloat16; weights are trained in single precision anyway.
        shard: Of several processes each holds a part of every weight, gradient and optimiser state (`division.py`).
    """

    epochs: Annotated[
        int,
        Option(
            title="Epochs",
            help="epochs of fine-tuning with the original as teacher",
            minimum=0,
            section=TRAINING,
            dialog_maximum=500,
            automatic="5 with data",
            metavar="N",
            in_dialog=False,
        ),
    ] = 5
    minutes: Annotated[
        float,
        Option(
            title="Minutes",
            help="minutes that each recovery may take, all that belongs to it included, instead of a number of epochs",
            details="The learning rate schedule follows the time, so the same settings give other weights on a machine "
            "that is faster or has more to do.",
            minimum=0,
            maximum=100_000,
            decimals=1,
            step=1,
            zero="by epochs",
            section=TRAINING,
            metavar="M",
        ),
    ] = field(default=0.0, kw_only=True)
    steps: Annotated[
        int,
        Option(
            title="Steps",
            help="updates of the weights after which each recovery ends, instead of a number of epochs",
            minimum=0,
            zero="by epochs",
            section=TRAINING,
            metavar="N",
        ),
    ] = field(default=0, kw_only=True)
    tokens: Annotated[
        int,
        Option(
            title="Tokens",
            help="tokens of text after which each recovery ends, instead of a number of epochs",
            details="For data that is text. Text that is shorter is gone through again, in another order.",
            minimum=0,
            zero="by epochs",
            notation=AMOUNT,
            section=TRAINING,
            metavar="10M",
            applies_to=DataKind.TEXT,
        ),
    ] = field(default=0, kw_only=True)
    accumulate: Annotated[
        int,
        Option(
            title="Batches per step",
            help="batches whose gradients are added up for one update: a larger batch in the memory of a small one",
            minimum=1,
            dialog_maximum=4096,
            section=TRAINING,
            metavar="N",
        ),
    ] = field(default=1, kw_only=True)
    evaluate_every: Annotated[
        int,
        Option(
            title="Steps between evaluations",
            help="evaluate on the val split after so many steps instead of after each epoch; the best is kept",
            minimum=0,
            zero="after each epoch",
            section=TRAINING,
            metavar="N",
        ),
    ] = field(default=0, kw_only=True)
    learning_rate: Annotated[
        float,
        Option(
            title="Learning rate",
            help="peak of the learning rate schedule",
            details="Automatic: the largest of 0.002, 0.001, 0.0005 and so on that raises the loss by at most a tenth "
            "(a fifth before long trainings) in 4 to 16 steps of trial, of which nothing stays. 0.002 with SGD.",
            minimum=0,
            zero="automatic",
            decimals=5,
            step=0.0005,
            dialog_maximum=1,
            section=TRAINING,
            metavar="RATE",
            in_dialog=False,
        ),
    ] = 0.0
    distillation: Annotated[
        float,
        Option(
            title="Distillation weight",
            help="share of the loss that compares outputs with the original's; the rest is the task's own loss",
            minimum=0,
            maximum=1,
            section=DISTILLATION,
            metavar="W",
        ),
    ] = 0.7
    temperature: Annotated[
        float,
        Option(
            title="Temperature",
            help="softens the outputs of both models before they are compared",
            details="Automatic: 1 for tokens of a language model; for classes 2, or up to 8 where a training is long "
            "(300 steps) and the teacher so confident that 2 leaves little beside its first choice.",
            minimum=0,
            maximum=100,
            zero="automatic",
            automatic="1 for tokens of a language model, 2 to 8 for classes",
            decimals=2,
            step=0.5,
            section=DISTILLATION,
            metavar="T",
        ),
    ] = 0.0
    weight_decay: Annotated[
        float,
        Option(
            title="Weight decay",
            help="pulls weights towards 0 at each step; decoupled from the gradient with AdamW; biases and "
            "normalisation layers decay with SGD only, as in torch.optim",
            minimum=0,
            maximum=1,
            decimals=5,
            section=TRAINING,
            metavar="W",
        ),
    ] = 1e-4
    seed: Annotated[
        int,
        Option(title="Seed", help="seed of everything random", minimum=0, section=TRAINING, metavar="N"),
    ] = 0
    threads: Annotated[
        int,
        Option(
            title="Threads",
            help="threads to train with",
            minimum=0,
            zero="all but one",
            section=TRAINING,
            on_command_line=False,
            in_dialog=False,
        ),
    ] = 0
    repair: Annotated[
        Repair,
        Option(
            title="Repair",
            help="repair layers that lost inputs, from calibration samples without labels, before training or instead",
            details="Biases: add the mean of the removed inputs. Least squares: predict the removed inputs from the "
            "kept ones. Distillation: least squares, then a few steps in which the cut model learns the original's "
            "outputs, without labels; where epochs follow, these do that. The repair is kept only if the metric "
            "improves. Automatic: least squares; without training distillation too, if the model is small enough for "
            "it to take a minute or two.",
            titles={
                Repair.AUTO: "automatic",
                Repair.NONE: "none",
                Repair.BIAS: "biases",
                Repair.LEAST_SQUARES: "least squares",
                Repair.DISTILLATION: "least squares and distillation",
            },
            section=TRAINING,
            in_dialog=False,
        ),
    ] = Repair.AUTO
    optimizer: Annotated[
        Optimizer,
        Option(
            title="Optimiser",
            help="what makes the steps; SGD uses Nesterov momentum 0.9 and needs a larger learning rate than AdamW",
            titles={Optimizer.ADAMW: "AdamW", Optimizer.ADAM: "Adam", Optimizer.SGD: "SGD"},
            section=TRAINING,
        ),
    ] = Optimizer.ADAMW
    clip: Annotated[
        float | None,
        Option(
            title="Gradient clipping",
            help="largest norm of the gradients of all parameters together",
            automatic="1 for AdamW and Adam, off for SGD",
            minimum=0,
            zero="off",
            section=TRAINING,
            metavar="NORM",
            in_dialog=False,
        ),
    ] = None
    warm_up: Annotated[
        float,
        Option(
            title="Warm-up",
            help="share of the steps in which the learning rate rises; then it follows a cosine decay",
            minimum=0,
            maximum=1,
            percent=True,
            section=TRAINING,
            metavar="15%",
        ),
    ] = 0.15
    patience: Annotated[
        int,
        Option(
            title="Stop after evaluations without gain",
            help="stop after this many evaluations (one an epoch, unless they are by steps) without a better metric",
            minimum=0,
            zero="never",
            section=TRAINING,
            metavar="N",
        ),
    ] = 0
    features: Annotated[
        float,
        Option(
            title="Feature distillation weight",
            help="also compares the output of each block on the kept channels",
            minimum=0,
            zero="off",
            section=DISTILLATION,
            flag="--distil-blocks",
            aliases=("--feature-distillation",),
            metavar="W",
        ),
    ] = 0.0
    mirror: Annotated[
        bool | None,
        Option(
            title="Mirrored images",
            help="mirror half of the images of each batch",
            details="Automatic: where the original is as good on mirrored images of the val split, so that labels stay "
            "right. Always: only with a distillation weight of 1, for the teacher needs no labels.",
            automatic="where the original is as good on mirrored images",
            titles={"None": "automatic", "True": "always", "False": "never"},
            section=DISTILLATION,
            applies_to=DataKind.IMAGES,
        ),
    ] = None
    teacher: Annotated[
        Teacher,
        Option(
            title="Teacher",
            help="what the cut model learns from: the original, or the original after a brief tuning on the data, "
            "where that improves it on the val split by more than noise",
            titles={Teacher.AUTO: "tuned where that helps", Teacher.ORIGINAL: "original"},
            section=DISTILLATION,
        ),
    ] = Teacher.AUTO
    mixing: Annotated[
        Mixing,
        Option(
            title="Mixing of domains",
            help="how domains of text (train-NAME.txt) are mixed: as they are; dynamic: after each epoch more of those "
            "whose loss is further above the original's; clamped: the same, where being below it counts as reaching it",
            titles={
                Mixing.NATURAL: "as they are",
                Mixing.DYNAMIC: "by where the loss lags",
                Mixing.CLAMPED: "by where the loss lags, clamped",
            },
            section=TRAINING,
            flag="--mix-domains",
            applies_to=DataKind.DOMAINS,
        ),
    ] = Mixing.NATURAL
    references: Annotated[
        tuple[ReferenceLosses, ...],
        Option(
            title="Reference losses",
            help="loss of each domain, in nats a token, that the mixing compares with; behind sizes of models "
            "(160M:wiki=3.2,code=1.4 410M:wiki=2.8,code=1.2) the losses of these, for a scaling law read at the "
            "size of the cut model",
            zero="the original's",
            automatic="the original's",
            hint="empty: the original's; or wiki=1.76,code=0.75",
            notation=REFERENCE_LOSSES,
            section=TRAINING,
            applies_to=DataKind.DOMAINS,
        ),
    ] = field(default=(), kw_only=True)
    half: Annotated[
        bool,
        Option(
            title="Mixed precision (bfloat16)",
            help="compute in bfloat16 (autocast): faster on processors that have it; weights keep their data type",
            section=TRAINING,
            flag="--bfloat16",
            aliases=("--mixed-precision",),
        ),
    ] = False
    shard: Annotated[
        bool,
        Option(
            title="Divide the model among processes (FSDP)",
            help="of several processes, each holds a part of every weight, gradient and optimiser state, so that a "
            "model larger than one device can be trained; one process trains as without",
            section=TRAINING,
            in_dialog=False,
        ),
    ] = field(default=False, kw_only=True)

    @property
    def peak(self) -> float:
        """Peak of the learning rate before any trial."""
        return self.learning_rate or (SHARDED_RATE if self.shard else RATE)

    @property
    def seeks_rate(self) -> bool:
        """Whether trials find the learning rate: not for SGD, which needs others, nor for a model that is divided."""
        # A training of several processes can be resumed in one: there too `shard` decides.
        return not (self.learning_rate or self.shard or self.optimizer is Optimizer.SGD) and self.trains

    @property
    def gradient_norm(self) -> float:
        """The largest norm of the gradients, 0 for any."""
        if self.clip is not None:
            return self.clip
        return 0.0 if self.optimizer is Optimizer.SGD else 1.0

    @property
    def repairs(self) -> Repair:
        """How layers are repaired, never automatic; a distillation begins with least squares."""
        return Repair.LEAST_SQUARES if self.repair in (Repair.AUTO, Repair.DISTILLATION) else self.repair

    @property
    def budget(self) -> Budget:
        """How long it trains."""
        for unit in (Unit.MINUTES, Unit.TOKENS, Unit.STEPS):
            if amount := getattr(self, unit):
                return Budget(unit, amount)
        return Budget(Unit.EPOCHS, self.epochs)

    def within(self, budget: Budget) -> "RecoverySettings":
        """The same with another budget."""
        given: dict[str, Any] = {"minutes": 0.0, "steps": 0, "tokens": 0}
        given[budget.unit] = float(budget.amount) if budget.unit is Unit.MINUTES else int(budget.amount)
        return replace(self, **given)

    @property
    def trains(self) -> bool:
        """Whether it trains at all."""
        return self.budget.amount > 0

    @property
    def teaches(self) -> bool:
        """Whether the teacher has a part in the loss, where the task has one of its own."""
        return self.distillation > 0 or self.features > 0

    def updates(self, batches: int) -> float | None:
        """About how many updates it makes with so many batches in the train split, 0 for an unknown number.

        None where time or tokens end it, or where that is not known.
        """
        if not self.trains:
            return 0.0
        if self.budget.unit is Unit.STEPS:
            return self.budget.amount
        known = self.budget.unit is Unit.EPOCHS and batches
        return self.budget.amount * batches / self.accumulate if known else None

    def counts_on_repair(self, text: bool, batches: int = 0) -> bool:
        """Whether to choose structures by what least squares leave of the outputs.

        Only where layers are repaired so. Text must be trained for `FEW_UPDATES` at most; on other data even long
        trainings end better where the repair left more.

        Args:
            text: The data is text.
            batches: In the train split, 0 for an unknown number.
        """
        if self.repairs is not Repair.LEAST_SQUARES:
            return False
        updates = self.updates(batches)
        return not text or (updates is not None and updates <= FEW_UPDATES)

    @property
    def passes(self) -> int | None:
        """Passes over the train split after which training ends, None where something else ends it."""
        return int(self.budget.amount) if self.budget.unit is Unit.EPOCHS else None

    @property
    def as_asked(self) -> "RecoverySettings":
        """The same without the number of passes that only the recovery has shown."""
        return self if self.passes is not None else replace(self, epochs=RecoverySettings().epochs)

    def as_done(self, epochs: int) -> "RecoverySettings":
        """The same for the record: with the passes that were begun, where the budget was not in epochs."""
        return self if self.passes is not None else replace(self, epochs=epochs)

    def suited_to(self, macs: int, batch: int) -> "RecoverySettings":
        """The same with a repair that is not automatic, where nothing is trained.

        Args:
            macs: Multiply-accumulates of one sample through the original.
            batch: Samples of a batch.
        """
        if self.trains or self.repair is not Repair.AUTO:
            return self
        small = DISTILLATION_STEPS * batch * macs <= DISTILLED
        return replace(self, repair=Repair.DISTILLATION if small else Repair.LEAST_SQUARES)

    @property
    def distilling(self) -> "RecoverySettings | None":
        """Settings of the training, without labels, in a repair by distillation; None for any other recovery."""
        if self.repair is not Repair.DISTILLATION or self.trains:
            return None
        return RecoverySettings(
            epochs=1,
            steps=DISTILLATION_STEPS,
            distillation=1.0,
            seed=self.seed,
            threads=self.threads,
            repair=Repair.LEAST_SQUARES,
            mirror=False,
            teacher=Teacher.ORIGINAL,
            half=self.half,
            shard=self.shard,
        )

    @property
    def tuning(self) -> "RecoverySettings | None":
        """How the original is tuned before it teaches; None where it is not."""
        match self.budget.unit:
            case Unit.EPOCHS:
                budget = Budget(Unit.EPOCHS, min(TUNING_EPOCHS, self.epochs // TUNING_SHARE))
            case Unit.MINUTES:  # `recover` limits the time
                budget = Budget(Unit.EPOCHS, TUNING_EPOCHS)
            case _:
                budget = self.budget.part(TUNING_TIME)
        if self.teacher is Teacher.ORIGINAL or not budget.amount or not self.teaches:
            return None
        settings = RecoverySettings(
            accumulate=self.accumulate,
            evaluate_every=self.evaluate_every,
            learning_rate=0.01,
            distillation=0.0,
            weight_decay=5e-4,
            threads=self.threads,
            optimizer=Optimizer.SGD,
            patience=TUNING_PATIENCE if self.evaluate_every else 1,
            half=self.half,
            shard=self.shard,
            teacher=Teacher.ORIGINAL,
        )
        return settings.within(budget)


def chosen_by_repair(recovery: RecoverySettings | None, task: TaskInfo | None) -> bool:
    """Whether a recovery on this data counts on what a repair leaves (`RecoverySettings.counts_on_repair`)."""
    if recovery is None or task is None:
        return False
    return recovery.counts_on_repair(task.tokens > 0, task.batches.get(Split.TRAIN, 0))


def as_recorded(plain: Any) -> Any:
    """Add to settings within plain data of earlier versions what they meant when they were written.

    Versions without a choice of teacher had the original alone. An automatic repair without training, which is never
    recorded now, was none. Goals without a number of widths for narrow layers had two.
    """
    if isinstance(plain, list):
        items = cast("list[Any]", plain)
        return [as_recorded(one) for one in items] if any(isinstance(one, dict | list) for one in items[:1]) else items
    if not isinstance(plain, dict):
        return plain
    found = {name: as_recorded(one) for name, one in cast("dict[str, Any]", plain).items()}
    settings = {"epochs", "distillation", "temperature"} <= set(found)
    if not settings:
        return {"steps": 2, **found} if {"limits", "multiple"} <= set(found) else found
    # A command's options are kept as they were typed, by which the same command is known when it comes again.
    typed = "no_recover" in found
    idle = not typed and found.get("repair", Repair.AUTO) == Repair.AUTO and not any(found.get(unit) for unit in Unit)
    repair = {"repair": str(Repair.NONE)} if idle else {}
    return {"teacher": str(Teacher.ORIGINAL), **found, **repair}


def require_possible(settings: RecoverySettings) -> None:
    """Refuse settings that contradict each other. Raises SecateurError."""
    if settings.threads:
        check_threads(settings.threads)
    require_in_range(settings)
    require_references(settings.references)
    if settings.references and settings.mixing is Mixing.NATURAL:
        template = (
            "Reference losses lead how domains are mixed. Choose a dynamic mixing of domains too, or leave them out."
        )
        raise SecateurError("recovery.references_unused", template)
    given = [str(unit) for unit in Unit if unit is not Unit.EPOCHS and getattr(settings, unit)]
    if len(given) > 1:
        template = "A recovery ends by one budget, but {given} were given. Give one of them."
        raise SecateurError("recovery.budgets", template, given=all_of(given))
    if settings.mirror and settings.distillation < 1:
        raise SecateurError(
            "recovery.mirror_weight",
            "Mirrored images can be used with distillation only, because the task's own loss does not know them. Set "
            "the distillation weight to 1 (it is {share}), or turn off mirrored images.",
            share=settings.distillation,
        )


def require_tokens(settings: RecoverySettings, tokens: int) -> None:
    """Refuse a budget of tokens for data whose samples have none. Raises TaskError."""
    if settings.budget.unit is Unit.TOKENS and not tokens:
        template = "The data has no tokens to count. Give the budget as epochs, steps or minutes."
        raise TaskError("recovery.no_tokens", template)


def require_whole(settings: RecoverySettings, processes: int) -> None:
    """Refuse to learn masks on a model that is divided among processes. Raises SecateurError."""
    if settings.shard and processes > 1:
        template = (
            "Masks are learned with whole copies of the model in each process. Choose by scores or in rounds, or do "
            "not divide the model among processes."
        )
        raise SecateurError("masks.divided", template)


def require_mixable(settings: RecoverySettings, task: object) -> None:
    """Refuse data whose domains cannot be mixed as the settings say.

    Raises:
        DataError: A domain has no sequence to train on or to evaluate on, or no reference loss; or a reference loss
            belongs to no domain.
    """
    if settings.mixing is Mixing.NATURAL:
        return
    mixture = task.mixture() if isinstance(task, DomainTask) else None
    for one in settings.references:
        require_losses(() if mixture is None else mixture.names, [name for name, _ in one.losses])

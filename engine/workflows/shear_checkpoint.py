"""Cuts a Hugging Face folder to a shape without loading it: the model may be larger than the memory. Loads torch.

Headers say what there is; the analysis knows shapes only. Scores by magnitude read one weight after the other, the
result is written from the files, file by file, and the verification runs both models from theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import ExportError, Message, PlanError
from ..export.hugging_face import CARD, carried_files, is_own_folder, model_card
from ..export.protocol import Exported
from ..export.sharded_folder import StreamedTensor, write_shards
from ..export.staged_output import check_destination, staged_folder
from ..foreign_code.consent import Consent
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check, spanning
from ..planning.goal import plan_goal
from ..planning.protocol import Goal, PlanStart
from ..planning.scope import outside_scope, structures_touching
from ..scoring.criteria import CRITERIA, score
from ..scoring.protocol import Needs
from ..scoring.score_options import Choices
from ..session.open_model import example_inputs
from ..sources.hugging_face import on_disk, skeleton
from ..sources.protocol import ModelSpec
from ..storage.safetensors_io import MappedCheckpoint
from ..structures.analyse import analyse
from ..structures.analysis import Analysis, Mask
from ..surgery.cut.cut import CutModel, cut
from ..surgery.cut.edits import Verification
from ..surgery.repair.config_fit import FittedModel, fit_config, new_names
from ..surgery.repair.keep_uniform import fitting_plan, keep_uniform
from ..surgery.repair.weight_folding import rates_of
from ..surgery.verify.verify import require_verified, verify
from .shape_plan import ShapePlan, shape_plan

CRITERION = "l2"
"""What structures are rated by unless something else is said: it reads each weight once."""
SCORED, CUT = 0.25, 0.6
"""Shares of the whole work that are done when all is scored, and when all is written."""


@dataclass(frozen=True, slots=True)
class ShearedFolder:
    """What was written.

    Attributes:
        plan: The shape, with costs before and after.
        verification: Of the written files against the original's.
        exported: The folder.
    """

    plan: ShapePlan
    verification: Verification
    exported: Exported


def shear_checkpoint(
    spec: ModelSpec,
    goal: Goal,
    path: Path,
    consent: Consent,
    *,
    criterion: str = CRITERION,
    choices: Choices | None = None,
    locks: Sequence[str] = (),
    seed: int = 0,
    overwrite: bool = False,
    token: CancelToken | None = None,
) -> Job[ShearedFolder]:
    """Cut a folder to a shape into another folder, which the stock library loads; neither model is in memory.

    Args:
        spec: A Hugging Face folder, or `hf:org/name` from the local cache.
        goal: With a target shape, or with limits that become one.
        path: The folder that is written; nothing is there unless all went well.
        consent: What of the folder's own code may run.
        criterion: Rates structures by the weights alone.
        choices: How scores are put together.
        locks: Modules that stay as they are: paths or patterns.
        seed: Of what is random.
        overwrite: An older export at `path` is replaced.
        token: Cancels.

    Raises:
        OpenError: The folder cannot be opened so.
        PlanError: No plan has this shape, or the criterion needs data.
        VerificationError: What was written does not compute what it should.
        ExportError: The folder cannot be written, or no configuration describes the result.
        Cancelled: The token was set.
    """
    token, path = token or NeverCancelled(), path.expanduser().absolute()
    if CRITERIA[criterion].needs is not Needs.NOTHING:
        template = "{criterion} needs data, for which the model would have to run. Choose a criterion of the weights."
        raise PlanError("stream.criterion", template, criterion=CRITERIA[criterion].title)
    check_destination(path, 0, folder=True, overwrite=overwrite, is_ours=is_own_folder)
    yield Progress("Reading the configuration", share=0.0)
    blank = skeleton(spec, consent)
    inputs = example_inputs(spec.asked_inputs, None, blank, blank.model)
    found = analyse(blank.model, inputs, blank.name, outputs=spec.outputs, ignore_unused=spec.ignore_unused)
    analysis = keep_uniform(blank.model, found)
    opened, checkpoint = on_disk(spec, consent)
    model: Any = opened.model
    with checkpoint.kept_small():
        job = score(model, analysis, analysis.empty(), criterion, choices=choices, seed=seed, token=token)
        scores = yield from spanning(job, 0.0, SCORED)
        start = PlanStart(analysis, scores, analysis.empty(), structures_touching(analysis, locks))
        outside_scope(analysis, goal)
        plan = fitting_plan(model, start, plan_goal(start, goal).removed, goal.shape, token)
        check(token)
        yield Progress("Cutting", share=SCORED)
        small = cut(model, analysis, plan, inputs, hollow=True)
        tensors = _streamed(small, analysis, plan, checkpoint)
        # Asked again now that the size is known: a full disk is found before hours of writing.
        size = sum(one.size for one in tensors)
        check_destination(path, size, folder=True, overwrite=overwrite, is_ours=is_own_folder)
        with staged_folder(path, is_own_folder) as folder:
            files = yield from spanning(write_shards(folder, tensors, checkpoint, token), SCORED, CUT)
            # Verified from the files, as whoever loads them will see them.
            written = MappedCheckpoint(files)
            written.into(small.model, {one.source: one.name for one in tensors})
            with written.kept_small():
                job = verify(
                    model, small.model, analysis, plan, inputs, factors=small.factors, edits=small.edits, token=token
                )
                verification = yield from spanning(job, CUT, 1.0)
                require_verified(verification)
                made = fit_config(small.model, inputs, shared=True)
            if not isinstance(made, FittedModel):
                raise _no_config(opened.name, made)
            made.model.config.save_pretrained(folder)
            if made.model.can_generate():
                made.model.generation_config.save_pretrained(folder)
            for file in carried_files(spec):
                (folder / file.name).write_bytes(file.read_bytes())
            shape = shape_plan(opened.name, model, analysis, plan, uniform=True, goal=goal)
            card = model_card(opened.name, shape.macs[1], made.model)
            (folder / CARD).write_text(card, encoding="utf-8")
    names = tuple(sorted(str(one) for one in path.iterdir() if one.is_file()))
    exported = Exported("hugging-face", names, made.difference, None, sum(Path(one).stat().st_size for one in names))
    return ShearedFolder(shape, verification, exported)


def _streamed(small: CutModel, analysis: Analysis, plan: Mask, checkpoint: MappedCheckpoint) -> list[StreamedTensor]:
    """Each tensor of the result once, in the order of the original's files, which is quickest to read."""
    # Transformers writes some parameters under other names than the module has.
    names = new_names(small.model)
    if isinstance(names, Message):
        raise _no_config(type(small.model).__name__, names)
    canonical = {alias: one.name for one in analysis.tensors for alias in (one.name, *one.aliases)}
    kept, rates = analysis.kept_indices(plan), rates_of(analysis, plan, small.factors)
    own, seen, found = small.model.state_dict(keep_vars=True), set[int](), list[StreamedTensor]()
    for name in checkpoint.tensors:
        # What is tied has one name there, or as many as it has here.
        tensor: torch.Tensor | None = own.get(name)
        if tensor is None or id(tensor) in seen:
            continue
        seen.add(id(tensor))
        one = canonical.get(name, name)
        size = tensor.numel() * checkpoint.tensors[name].element_size()
        found.append(StreamedTensor(names[name], name, kept.get(one) or (), rates.get(one), size))
    return found


def _no_config(name: str, reason: Message) -> ExportError:
    template = "{name} cannot be cut from file to file: no configuration describes the result. {reason}"
    return ExportError("stream.no_config", template, name=name, reason=reason)

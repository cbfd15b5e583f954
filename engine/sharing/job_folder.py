"""A job for another machine: a folder with the recipe of one recovery, what it needs, and the lines that start it.

The job does not repeat how the state was made: it cuts the original to the same structures, takes the state's weights
and recovers them, with the settings that were asked for here. What it makes is a project in the same folder, which
`job_results` reads back. Loads no torch.
"""

import os
import re
import shlex
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from itertools import count
from pathlib import Path

import msgspec

from ..errors import OpenError, PlanError
from ..export.staged_output import check_destination, staged_folder
from ..foreign_code.sys_path import ROOT_MARKERS, SOURCE, import_places, own_modules
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check
from ..recipes.recipe import RECIPE, code_in, recipe_bytes, taken, with_model, with_paths
from ..recipes.steps import Attach, AttachIntent, Cut, Numbers, Open, Plan, Recipe, Recover
from ..recovery.protocol import RecoverySettings
from ..session.project_file import Role, parts_of
from ..session.state_history import StateHistory
from ..session.state_text import model_name
from ..session.states import PlanIntent, State, StateKind
from ..sources.protocol import ModelSpec, change_model
from ..storage.file_limits import checked_weights, read_whole
from ..storage.serialization import from_json, to_json
from ..tasks.protocol import TOKENIZER, TOKENIZER_NOTES, TaskSpec

SCHEMA = 1
JOB, RESULTS = "job.json", "results"
START, SLURM, CONSTRAINTS, README = "run.sh", "slurm.sbatch", "constraints.txt", "README.md"
COPIES = "files"
COPIED = 1 << 30
"""Bytes up to which a file of the model goes along."""
OWN = frozenset({RECIPE, JOB, START, SLURM, CONSTRAINTS, README, COPIES})
"""Names that a job's folder has before it runs."""
JOB_BYTES = 1 << 20
"""Bytes of what the folder says of itself."""
PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
FOR_DEVELOPERS = re.compile(r"extra == ['\"](dev|bench)['\"]")
NEVER = NeverCancelled()


class JobFile(msgspec.Struct, frozen=True):
    """What the folder says of itself.

    Attributes:
        state: What is recovered, in the session that wrote it.
        weights: sha256 of its weights there.
        task: What evaluates it, with paths as they were there; measurements of another task are not taken.
        schema: Version of this shape.
    """

    state: str
    weights: str
    task: TaskSpec | None
    schema: int = SCHEMA


def write_job(
    history: StateHistory,
    opening: Open,
    state: str,
    folder: Path,
    settings: RecoverySettings,
    device: str,
    weights: Path,
    token: CancelToken = NEVER,
) -> Job[tuple[str, tuple[str, ...]]]:
    """Write a folder that recovers a state on another machine; returns it, and what it needs there beside itself.

    Args:
        history: Has the state.
        opening: The first step of its recipe.
        state: What is recovered.
        folder: Made; one that was written before, and that nothing was added to since, is replaced.
        settings: How it is recovered.
        device: Where, by default: "cuda", "cpu".
        weights: Folder of the weights of all states.
        token: Cancels; nothing is there then.

    Raises:
        PlanError: Nothing is removed in the state, or there is no data.
        ExportError: The folder cannot be written, or holds results or other files.
    """
    one, task = history.state(state), history.task
    if not one.removed:
        raise PlanError("job.whole", "Nothing is removed in this state, so there is nothing to recover. Cut first.")
    if task is None:
        raise PlanError("job.no_data", "A recovery needs data. Attach data first.")
    # The last state whose weights no cut gives, and the cuts since: these are made again from it.
    path = history.path_to(state)
    last = max(number for number, one in enumerate(path) if one.kind is not StateKind.CUT)
    base, cuts = path[last], path[last + 1 :]
    kept = weights / f"{base.weights}.safetensors"
    size = kept.stat().st_size if kept.is_file() else 0
    check_destination(folder, 2 * size, folder=True, is_ours=is_unstarted)
    yield Progress("Writing the job")
    with staged_folder(folder, is_unstarted) as place:
        if base.kind is not StateKind.ORIGINAL:
            (place / COPIES).mkdir()
            shutil.copyfile(checked_weights(kept, base.id), place / COPIES / kept.name)
        check(token)
        model = replace(opening.intent.model, task=task)
        moved, left = _copy_files(model, place)
        suited = settings.suited_to(history.path_to(state)[0].macs, task.batch)
        recipe = Recipe(SCHEMA, (opening, *_steps(base, cuts, place), Recover(suited)))
        recipe = with_model(recipe, lambda _: moved)

        # Paths in the folder become relative to it; all others stay as they are: they mean the same for a shared
        # disk.
        def change(path: str) -> str:
            return Path(path).relative_to(place).as_posix() if Path(path).is_relative_to(place) else path

        (place / RECIPE).write_bytes(recipe_bytes(with_paths(recipe, change)))
        (place / JOB).write_bytes(to_json(JobFile(one.id, one.weights, task), indent=2) + b"\n")
        name = model_name(history)
        gpu = [] if device == "cpu" else ["#SBATCH --gres=gpu:1"]
        more = (
            [] if device == "cpu" else [f"# Several GPUs: sbatch --gres=gpu:4 {SLURM}, on two machines --nodes=2 too."]
        )
        lines = [
            "#!/bin/bash",
            f"#SBATCH --job-name=secateur-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)[:40]}",
            "#SBATCH --output=slurm-%j.log",
            "#SBATCH --time=08:00:00",
            "#SBATCH --cpus-per-task=8",
            "#SBATCH --mem=32G",
            "#SBATCH --ntasks-per-node=1",
            *gpu,
            *more,
            "# Before the time is over, the recovery is asked to stop: submit the same file again, and it goes on.",
            "#SBATCH --signal=B:INT@120",
            'cd "$SLURM_SUBMIT_DIR" || exit 1',
            "export PROCESSES=${PROCESSES:-${SLURM_GPUS_ON_NODE:-1}}",
            'if [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ]; then',
            '    first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
            '    each="--nnodes $SLURM_JOB_NUM_NODES --nproc-per-node $PROCESSES"',
            '    meeting="--rdzv-backend c10d --rdzv-id $SLURM_JOB_ID --rdzv-endpoint $first:29500"',
            '    export LAUNCH="srun torchrun $each $meeting --no-python"',
            "fi",
            f'exec sh {START} "$@"',
        ]
        texts = {
            START: _start(recipe, history.spec or model, device),
            SLURM: "".join(f"{line}\n" for line in lines),
            CONSTRAINTS: "".join(f"{line}\n" for line in _versions()),
            README: _readme(name, one, left, has_code=bool(code_in(recipe)), divides=settings.shard),
        }
        for file, text in texts.items():
            (place / file).write_text(text, encoding="utf-8", newline="\n")
        (place / START).chmod(0o755)
    return str(folder), left


def read_job(folder: Path) -> JobFile:
    """What a job's folder says of itself; raises OpenError where it is none."""
    try:
        found = from_json(read_whole(folder / JOB, JOB_BYTES), JobFile)
    except FileNotFoundError as error:
        template = "{folder} is not the folder of a job. Choose the folder that was written for the other machine."
        raise OpenError("job.none", template, folder=str(folder)) from error
    except (OSError, msgspec.MsgspecError, ValueError, TypeError) as error:
        template = "Cannot read {path}: {error}."
        raise OpenError("job.unreadable", template, path=str(folder / JOB), error=str(error)) from error
    if found.schema > SCHEMA:
        template = "{folder} was written by a newer version of Secateur. Update Secateur to read it."
        raise OpenError("job.later", template, folder=str(folder))
    return found


def is_unstarted(folder: Path) -> bool:
    """Whether a folder is a job without results and holds nothing else, so that it may be written anew."""
    try:
        read_job(folder)
        return {one.name for one in folder.iterdir()} <= OWN
    except (OpenError, OSError):
        return False


def _steps(base: State, cuts: Iterable[State], place: Path) -> Iterable[Plan | Cut | Attach]:
    """What leads from the original to the state that is recovered."""
    if base.removed:
        yield from (Plan(PlanIntent(), Numbers(removed=base.removed)), Cut())
    if base.kind is not StateKind.ORIGINAL:
        yield Attach(AttachIntent(str(place / COPIES / f"{base.weights}.safetensors")))
    before = base
    for one in cuts:
        removed = taken(before.removed, one.removed)
        yield from (Plan(one.plan or PlanIntent(), Numbers(one.parameters, one.macs, removed=removed)), Cut())
        before = one


def _copy_files(model: ModelSpec, place: Path) -> tuple[ModelSpec, tuple[str, ...]]:
    """A model whose files are copied into the folder, and the paths of what is too large, or is data: that stays."""
    moved, left, bases, copies = dict[str, str](), list[str](), dict[Path, Path](), place / COPIES
    for part in sorted(parts_of(model, model.task), key=lambda part: not part.path.endswith(SOURCE)):
        source = Path(os.path.abspath(part.path))
        if part.role is Role.TOKENIZER and source.is_dir():
            source /= TOKENIZER
        if part.path in moved or not source.exists():
            continue
        files = [source, *_companions(source, part.role)] if source.is_file() and part.role is not Role.DATA else []
        if not files or sum(one.stat().st_size for one in files) > COPIED:
            left.append(part.path)
            continue
        copies.mkdir(exist_ok=True)
        if part.role in (Role.MODEL, Role.TASK) and source.suffix == SOURCE:
            moved[part.path] = str(_copy_code(source, copies, bases))
            continue
        # Each keeps its name, which may say what it is; where another file has it, they get a folder of their own.
        folders = (copies / str(number) if number else copies for number in count())
        names = [file.relative_to(source.parent) for file in files]
        target = next(one for one in folders if not any((one / name).exists() for name in names))
        for file, name in zip(files, names, strict=True):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / name)
        moved[part.path] = str(target / source.name)
    return change_model(model, lambda path: moved.get(path, path)), tuple(dict.fromkeys(left))


def _companions(source: Path, role: Role) -> tuple[Path, ...]:
    """Files that whoever reads one reads too, from its folder: they are copied with it."""
    if role is Role.TOKENIZER:
        found = (source.with_name(name) for name in TOKENIZER_NOTES)
        return tuple(file for file in found if file.is_file())
    if source.suffix.lower() == ".onnx":
        # Loads torch.
        from ..sources.onnx_file import data_files

        return data_files(source)
    return ()


def _copy_code(file: Path, copies: Path, bases: dict[Path, Path]) -> Path:
    """Copy a Python file with the modules of its project that it imports, as they lie to each other.

    Args:
        file: The file.
        copies: Folder of all copies.
        bases: Folder that modules are imported from -> where it is copied to; added to.
    """
    modules = own_modules(file)
    # Each of them has the file below it.
    base = min(modules.values(), key=lambda one: len(one.parts))
    folder = bases.setdefault(base, copies / f"{len(bases)}-{base.name}" if bases else copies)
    for module in modules:
        target = folder / module.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module, target)
    # Modules come from the root of the project.
    if str(base) not in import_places(file)[0]:
        (folder / ROOT_MARKERS[0]).touch()
    return folder / file.relative_to(base)


def _start(recipe: Recipe, model: ModelSpec, device: str) -> str:
    flags = ["--trust-code"] if code_in(recipe) else []
    flags += ["--trust-pickle"] if model.trust_pickle else []
    flags += ["--download"] if model.download else []
    words = " ".join(["run", RECIPE, "--save", RESULTS, '--device "$DEVICE"', *flags, '"$@"'])
    return (
        "#!/bin/sh\n"
        "# Recovers the state and keeps it in results/. Started again, it goes on where it was stopped.\n"
        'cd "$(dirname "$0")" || exit 1\n'
        "SECATEUR=${SECATEUR:-secateur}\n"
        f"DEVICE=${{DEVICE:-{shlex.quote(device)}}}\n"
        "# Several processes, such as one for each GPU, divide every step among them: PROCESSES=4 sh run.sh\n"
        'if [ "${PROCESSES:-1}" -gt 1 ]; then\n'
        '    LAUNCH=${LAUNCH:-"torchrun --standalone --nproc-per-node $PROCESSES --no-python"}\n'
        "fi\n"
        f"exec $LAUNCH $SECATEUR {words}\n"
    )


def _readme(name: str, state: State, left: Iterable[str], has_code: bool, divides: bool) -> str:
    needed = "".join(f"- `{path}`\n" for path in left)
    where = (
        "It needs these there, at the same path. Where one lies elsewhere, say so when you start the job:\n"
        f"`sh {START} --moved /path/here=/path/there`\n\n{needed}\n"
        if needed
        else ""
        if has_code
        else "All that it needs is in this folder.\n\n"
    )
    code = (
        f"`{COPIES}/` has the code and the modules that it imports from its own project. If it reads other files from\n"
        "its folder, copy them there too.\n\n"
        if has_code
        else ""
    )
    parts = "   The model is divided among them too: start as many as it takes to hold it.\n" if divides else ""
    return (
        f"# Recover {name}, state {state.id}\n\n"
        "1. Copy this folder to the other machine: `rsync -a THIS_FOLDER HOST:`\n"
        f"2. Install the same versions there, once: `pip install SECATEUR -c {CONSTRAINTS}`, where SECATEUR is its\n"
        "   wheel or a clone of it, and the packages that the model's own code imports.\n"
        f"3. Start it: `sh {START}` in a shell (`nohup sh {START} &` to log out), or `sbatch {SLURM}` on a cluster.\n"
        f"   `DEVICE=cpu sh {START}` computes elsewhere; `SECATEUR=/path/to/secateur` names another installation.\n"
        f"   `PROCESSES=4 sh {START}` divides the work among four processes, one for each GPU.\n"
        f"{parts}"
        "4. Copy the folder back, and read the results: *Run > Read recovery job*, or\n"
        "   `secateur job PROJECT --results THIS_FOLDER`.\n\n"
        f"{where}{code}"
        f"`{RECIPE}` says what is done, `{RESULTS}/` will hold what was made.\n"
    )


def _versions() -> list[str]:
    """What is installed here of the packages that this program asks for, without the marks of single builds."""
    found: dict[str, str] = {}
    for wanted in ("secateur", *(metadata.requires("secateur") or ())):
        name = PACKAGE.match(wanted)
        if name is not None and FOR_DEVELOPERS.search(wanted) is None:
            with suppress(metadata.PackageNotFoundError):
                found[name[0].lower()] = metadata.version(name[0]).partition("+")[0]
    return [f"{name}=={version}" for name, version in sorted(found.items())]

"""The training curve of a recovery as TensorBoard files, where TensorBoard is installed.

Each recovery is a run of its own in the folder. An earlier run's files are never touched: TensorBoard names each file
by its time.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ..errors import SecateurError
from ..jobs import Job, Progress, Result, followed
from ..options import settings_of
from .protocol import RecoverySettings


def require_tensorboard(folder: Path) -> None:
    """Refuse a folder for TensorBoard files that cannot be written, before the work.

    Raises:
        SecateurError: TensorBoard is not installed, or the folder cannot be made.
    """
    if find_spec("tensorboard") is None:
        template = "TensorBoard is not installed. Install it with pip install 'secateur[tensorboard]'."
        raise SecateurError("recovery.no_tensorboard", template)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        template = "The folder {folder} for TensorBoard files cannot be made. Name another one."
        raise SecateurError("recovery.log_folder", template, repr(error), folder=str(folder)) from error


def logged_curve(job: Job[Result], folder: Path, settings: RecoverySettings) -> Job[Result]:
    """Run a job and write the points of its training curve as scalars, at their steps; the settings as text.

    Args:
        job: Of a recovery; its progress has the points.
        folder: Of this run.
        settings: Of the recovery.
    """
    from torch.utils.tensorboard import SummaryWriter  # brings TensorBoard, where it is installed

    rows = [f"| {one.option.title} | {one.words(getattr(settings, one.name))} |" for one in settings_of(type(settings))]
    with SummaryWriter(str(folder)) as writer:
        writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *rows]))

        def write(progress: Progress) -> Iterator[Progress]:
            for name, value in progress.values.items():
                if name != "step" and "step" in progress.values:
                    writer.add_scalar(name, value, round(progress.values["step"]))
            yield progress

        return (yield from followed(job, write))

"""The predictions of a session's states: files named by the sha256 of what is in them, in a folder of the session.

A metric names its predictions (`Metric.predictions`), so they are dropped, replaced and taken along with it. Nothing
needs them: what is missing, damaged, too large or was measured by an earlier version is predicted again when somebody
asks for it. Loads no torch.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from ..errors import SecateurError
from ..jobs import CancelToken, Job, Progress
from ..storage.atomic_files import copy, write
from ..storage.file_limits import read_whole
from ..storage.paths import DIGEST
from ..storage.serialization import from_json, to_json
from ..tasks.predictions import IDENTITY, PredictionKind, Predictions
from ..tasks.protocol import Metric, Split
from .state_history import StateHistory

FOLDER = "predictions"
MOST = 64 << 20
"""Bytes of the predictions of one state on one split: three million samples of a classification."""
BOUND = 512 << 20
"""Bytes of all files of a session; above that the oldest go, whether a state names them or not."""
_NOTED = "secateur.predictions"


@dataclass(frozen=True, slots=True)
class _Noted:
    kind: PredictionKind
    classes: tuple[str, ...]


class PredictionStore:
    """A folder of predictions.

    Attributes:
        folder: Of the files; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder of a session."""
        self.folder = folder / FOLDER

    def put(self, predictions: Predictions | None) -> str:
        """Write predictions; returns their sha256, "" where there are none or they are too large to be kept.

        Raises:
            SecateurError: The folder cannot be written.
        """
        if predictions is None or predictions.nbytes > MOST:
            return ""
        # The order of the columns decides about the bytes, and with them about the name.
        columns = {name: predictions.columns[name].copy(order="C") for name in sorted(predictions.columns)}
        # One entry only: safetensors writes several in random order, and equal predictions would have two names.
        noted = to_json({"kind": predictions.kind, "classes": predictions.classes}).decode()
        data = safetensors.numpy.save(columns, {_NOTED: noted})
        digest = hashlib.sha256(data).hexdigest()
        if not self._path(digest).exists():
            write(self._path(digest), data)
        return digest

    def get(self, digest: str) -> Predictions | None:
        """Predictions by their sha256; None where they are not here, or are not what was written."""
        if not DIGEST.fullmatch(digest):
            return None
        try:
            data = read_whole(self._path(digest), 2 * MOST)
        except (OSError, SecateurError):
            return None
        if hashlib.sha256(data).hexdigest() != digest:
            return None
        try:
            header = msgspec.json.decode(data[8 : 8 + int.from_bytes(data[:8], "little")], type=dict[str, msgspec.Raw])
            noted = from_json(msgspec.json.decode(header["__metadata__"], type=dict[str, str])[_NOTED], _Noted)
            found = Predictions(noted.kind, safetensors.numpy.load(data), noted.classes)
        except (SafetensorError, msgspec.MsgspecError, KeyError, TypeError, ValueError):
            return None
        return found if _is_sound(found) else None

    def take(self, digests: Collection[str], other: "PredictionStore", token: CancelToken) -> Job[None]:
        """Copy predictions from another store, those that it has and that are not here yet."""
        for digest in digests:
            if DIGEST.fullmatch(digest) and other._path(digest).exists() and not self._path(digest).exists():
                yield Progress("Copying the predictions")
                yield from copy(other._path(digest), self._path(digest), token)

    def paths(self, digests: Collection[str]) -> tuple[Path, ...]:
        """Where predictions are, or would be."""
        return tuple(self._path(digest) for digest in digests if DIGEST.fullmatch(digest))

    def collect(self, needed: Collection[str]) -> None:
        """Remove what no metric names, and the oldest above the bound."""
        files = sorted(self.folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
        size = 0
        for path in files:
            size += path.stat().st_size
            if DIGEST.fullmatch(path.stem) and (path.stem not in needed or size > BOUND):
                size -= path.stat().st_size
                path.unlink()

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}.safetensors"


def _is_sound(predictions: Predictions) -> bool:
    """Whether columns are what `PredictionKind` says: a file may be somebody else's."""
    sizes = dict.fromkeys(predictions.columns, 2 if predictions.kind is PredictionKind.OVERLAPS else 1) | {IDENTITY: 1}
    numbers = ("target", "predicted") if predictions.kind is PredictionKind.CLASSES else ()
    return (
        len(predictions) > 0
        and all(column.ndim == sizes[name] for name, column in predictions.columns.items())
        and all(predictions[name].dtype == np.int32 and predictions[name].min() >= 0 for name in numbers)
    )


def kept_predictions(history: StateHistory, name: str, split: Split) -> tuple[Metric, Predictions] | None:
    """What was kept of the evaluation of a state or a baseline, where that still holds.

    Args:
        history: Of a session's folder.
        name: Id of the state or the baseline.
        split: That it was evaluated on.
    """
    baseline = history.baselines.get(name)
    state = history.states.get(name)
    metrics = (baseline.metric,) if baseline is not None else state.metrics if state and not state.stale else ()
    for metric in metrics:
        if metric.split is split and (known := PredictionStore(history.folder).get(metric.predictions)) is not None:
            return metric, known
    return None

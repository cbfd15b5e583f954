"""The files of states that runtimes measure: exported once, kept by content beside the session."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..adapters.torchvision_detection import in_two_stages
from ..errors import SecateurError
from ..export.model_package import pack
from ..export.protocol import Exported, ExportRequest
from ..export.table import EXPORTERS, exporter_named
from ..inference.model_inputs import Inputs, at_size
from ..jobs import CancelToken, Job
from ..sources.open import is_own
from ..storage.atomic_files import staged_write
from ..targets.protocol import TargetSpec
from ..targets.table import target_named
from ..targets.token_step import IDS, cache_of, step_inputs, tokens_in
from .open_model import Prepared
from .states import State

KEPT = ("onnx", *(name for name, one in EXPORTERS.items() if one.precision))
"""Formats of which a copy is kept, to be measured."""
CODE = 12
"""Characters by which a file tells what code wrote it."""


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Exports of the states of one opened model.

    Attributes:
        folder: Where they are kept.
        prepared: The opened model.
        code: Names its code: files that were written by another one are not taken.
    """

    folder: Path
    prepared: Prepared
    code: str

    def request(self, model: Any, state: State, path: str, size: tuple[int, ...] = ()) -> ExportRequest:
        """What an exporter needs to know of a state; `size` is that of a target."""
        spec, name = self.prepared.spec, self.prepared.opened.name
        return ExportRequest(model, at_size(self.prepared.inputs, size), path, spec, state.edits, name, state.macs)

    def file(self, model: Any, state: State, target: TargetSpec, token: CancelToken) -> Job[Path]:
        """What a target takes of a state: an ONNX file or a parcel."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if target_named(target.runtime).takes == "onnx":
            # Its export has a fixed batch, so a larger one would fail in another process, with a worse message.
            if in_two_stages(model) and target.batch > 1:
                template = "This detector's file accepts one image at a time. Measure it at batch 1."
                raise SecateurError("target.one_image", template)
            return (yield from self._onnx(model, state, target.lengths, token))
        return self._parcel(model, state)

    def has(self, state: State, target: TargetSpec) -> bool:
        """Whether what a target takes of a state is there already."""
        as_onnx = target_named(target.runtime).takes == "onnx"
        return self._onnx_path(state, target.lengths).exists() if as_onnx else is_own(self._parcel_path(state))

    def step(self, model: Any, state: State, target: TargetSpec, token: CancelToken) -> Job[tuple[Path, Inputs]]:
        """What a target takes of one further token behind its prompt, and the inputs; see `targets.measure_steps`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        prompt = at_size(self.prepared.inputs, target.lengths)
        if target_named(target.runtime).takes != "onnx":
            cache_of(model, tokens_in(prompt))  # refuses here, not in another process
            return self._parcel(model, state), {IDS: tokens_in(prompt)}
        inputs, path = step_inputs(model, prompt), self._onnx_path(state, (*target.lengths, 1))
        if not path.exists():
            request = replace(self.request(model, state, str(path)), inputs=inputs, step=True)
            yield from exporter_named("onnx").export(request, token)
        return path, inputs

    def onnx(self, model: Any, state: State, token: CancelToken) -> Job[Path]:
        """A state's ONNX file, written where it is not there yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self._onnx(model, state, (), token)

    def remember(self, state: State, exported: Exported) -> None:
        """Keep a copy of an ONNX export, so that measuring it later does not write it again."""
        if exported.format in KEPT:
            self.folder.mkdir(parents=True, exist_ok=True)
            with staged_write(self.kept(state, exported.format)) as temporary:
                shutil.copyfile(exported.files[0], temporary)

    def kept(self, state: State, format: str) -> Path:
        """Where the copy of a state's last export to one of the formats `KEPT` lies, if it was not collected."""
        return self._onnx_path(state).with_suffix(EXPORTERS[format].suffix)

    def collect(self, room: int) -> None:
        """Remove the oldest files until the others fit into `room` bytes; they are made again when needed."""
        if not self.folder.exists():
            return
        sizes = {path: _bytes(path) for path in sorted(self.folder.iterdir(), key=lambda path: path.stat().st_mtime)}
        total = sum(sizes.values())
        for path, size in sizes.items():
            if total > room:
                total -= size
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _onnx_path(self, state: State, size: tuple[int, ...] = ()) -> Path:
        return self.folder / f"{'-'.join([state.weights, self.code[:CODE], *map(str, size)])}.onnx"

    def _onnx(self, model: Any, state: State, size: tuple[int, ...], token: CancelToken) -> Job[Path]:
        path = self._onnx_path(state, size)
        if not path.exists():
            yield from exporter_named("onnx").export(self.request(model, state, str(path), size), token)
        return path

    def _parcel_path(self, state: State) -> Path:
        return self.folder / f"{state.weights}-{self.code[:CODE]}"

    def _parcel(self, model: Any, state: State) -> Path:
        path = self._parcel_path(state)
        if not is_own(path):
            shutil.rmtree(path, ignore_errors=True)
            unfinished = path.with_suffix(".part")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            pack(unfinished, model, state.edits, self.prepared.spec, self.prepared.inputs)
            unfinished.rename(path)
        return path


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())

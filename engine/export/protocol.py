"""What to export, as plain data, and the protocol of exporters."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import Message, SecateurError
from ..inference.model_inputs import Inputs
from ..jobs import CancelToken, Job
from ..sources.protocol import InputSpec, ModelSpec
from ..surgery.cut.edits import Edits
from ..targets.protocol import Timing
from ..tasks.protocol import Metric


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """A model to write to disk, in the engine's process.

    Attributes:
        model: The live module, in eval mode, float32 or bfloat16, on the CPU. It is not touched.
        inputs: Real inputs [N, ...], positional or by name; the file is compared on these.
        path: File, or folder, to write.
        spec: Where the original came from, so that another process can build it; None when it was handed over as an
            object, which this process exports itself.
        edits: The repairs of the cut, all of them.
        name: For a person; stored in the file.
        macs: Multiply-accumulates of one sample; stored in the file.
        step: The file is to hold one further token of a language model (`targets.token_step`); the inputs too.
        factory: Makes the original network, of one that was handed over as an object: a folder is checked with it.
        onnx: The model's ONNX file in its own precision, written and checked before, for formats that are made from
            it; "" where there is none yet.
        samples: Batches of inputs on which a quantised file is calibrated.
        card: The model card, Markdown with the metadata of the Hugging Face Hub; "" for a short one.
    """

    model: Any
    inputs: Inputs
    path: str
    spec: ModelSpec | None = None
    edits: Edits = field(default_factory=Edits)
    name: str = "model"
    macs: int = 0
    step: bool = False
    factory: Callable[[], Any] | None = None
    onnx: str = ""
    samples: tuple[Inputs, ...] = ()
    card: str = ""


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, loaded again in a fresh process and compared.

    Attributes:
        format: A key of `export.table.EXPORTERS`.
        files: What was written.
        difference: max|a - b| / max|a| of file against PyTorch model on real inputs; None for a text.
        metric: The metric measured on the file itself, None without a task.
        bytes: Size of the files.
        notes: What the file does less than the model; plain words in files of earlier versions.
        opset: Of an ONNX file, 0 for other formats and unknown.
        inputs: What one sample looks like, () where an earlier version did not write it down.
        timings: Latencies measured on the file itself, where it computes in another precision than the model.
    """

    format: str
    files: tuple[str, ...]
    difference: float | None
    metric: Metric | None
    bytes: int
    notes: tuple[Message | str, ...] = ()
    opset: int = 0
    inputs: tuple[InputSpec, ...] = ()
    timings: tuple[Timing, ...] = ()


Predictor = Callable[..., Any]
"""Takes the model's inputs as tensors [N, ...], by position or name, and gives its outputs in the form they have."""


class Exporter(Protocol):
    """Writes a format. One file each, and a line in `table.EXPORTERS`."""

    def refusal(self, request: ExportRequest) -> SecateurError | None:
        """Why this cannot be written at all, as far as that is known before the work; None where nothing is."""
        ...

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write, load again in a fresh process, compare, put in place; or raises ExportError and leaves nothing."""
        ...

    def predictor(self, path: str) -> Predictor | None:
        """What was written as a function, so that a task measures its metric on the files; None for a text."""
        ...

"""What to open, as plain data, and the protocol of sources."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ..errors import Message
from ..foreign_code.consent import Consent
from ..jobs import CancelToken
from ..model_inputs import Inputs
from ..tasks.protocol import TaskSpec
from .input_spec import InputSpec

PYTHON_FILE = re.compile(r"(?P<file>.+\.py)(?::(?P<name>[^:\\/]*))?", re.DOTALL)
"""A source that is a Python file of the user's, with or without a callable in it."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model to open; plain data for recipes and other processes.

    Attributes:
        source: "bundled:resnet", "bundled:vit", "torchvision:NAME", "timm:NAME", "path/to/file.py:callable", a project
            folder, or an export of ours (folder with shapes.json and weights).
        weights: Checkpoint file, "" for the source's own.
        input_shape: Shape with batch of a single example input of floats, () when the task or source knows it.
        arguments: Keyword arguments of the callable (numbers and strings).
        trust_pickle: The user consented to run the checkpoint's pickle.
        trust_code: The user consented to run the Python files that an export, a project or a recipe names.
        task: The task it is judged by, None for none.
        outputs: Paths of the outputs that must stay ("logits", "0"), () for all, except what transformers' own models
            compute on the way.
        own_class: Only plans count that leave the model's code as it is: what modules remember is changed, no number in
            a forward and no forward is replaced. Sizes that the code takes for one then stay equal.
        ignore_unused: What modules may read that do not run on the example inputs may go; they may fail then, where
            they run after all.
        float32: A model in bfloat16 is converted to float32, for code or data that takes nothing else.
        moved: Of a project: (where a file was, where it is now).
        download: The user allowed what builds the model to fetch weights from the network.
        inputs: Example inputs where they are several, named, or no floats; () otherwise.
    """

    source: str
    weights: str = ""
    input_shape: tuple[int, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    trust_pickle: bool = False
    task: TaskSpec | None = None
    trust_code: bool = False
    outputs: tuple[str, ...] = ()
    own_class: bool = False
    ignore_unused: bool = False
    float32: bool = False
    moved: tuple[tuple[str, str], ...] = ()
    download: bool = False
    inputs: tuple[InputSpec, ...] = ()

    @property
    def asked_inputs(self) -> tuple[InputSpec, ...]:
        """The example inputs that are asked for, () when the task or source knows them."""
        return self.inputs or ((InputSpec(self.input_shape),) if self.input_shape else ())

    def with_inputs(self, inputs: tuple[InputSpec, ...]) -> "ModelSpec":
        """The same with other example inputs; a single one of floats is kept as a shape, as earlier versions had it."""
        if len(inputs) == 1 and inputs[0] == InputSpec(inputs[0].shape):
            return replace(self, input_shape=inputs[0].shape, inputs=())
        return replace(self, input_shape=(), inputs=inputs)

    @property
    def without_consent(self) -> "ModelSpec":
        """The same, as a file may name it: no file can give the user's consent."""
        return replace(self, trust_pickle=False, trust_code=False, download=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened model, in the engine's process.

    Attributes:
        model: The module with its weights, in eval mode, float32 or as it is in bfloat16, on the CPU.
        factory: Makes a fresh module of the same class and shape (weights arbitrary).
        name: For a person.
        input_shape: Example input shape with batch (2 or more), () when unknown.
        task: The task the source itself suggests (the bundled data for bundled models), or None.
        notes: What happened while opening ("stripped 'module.' from 122 keys", "took 'ema'").
        spec: The specification as it was opened, with arguments that the checkpoint asked for (number of classes).
        inputs: Example inputs that the source made, () where a shape says all.
    """

    model: Any
    factory: Callable[[], Any]
    name: str
    input_shape: tuple[int, ...]
    task: TaskSpec | None
    notes: tuple[Message, ...]
    spec: ModelSpec | None = None
    inputs: Inputs = ()


@dataclass(frozen=True, slots=True)
class FactoryCode:
    """Python that makes the model where Secateur is not installed; an export's README shows it and its check runs it.

    The lines may use the variable `folder`, where the export lies.

    Attributes:
        lines: Imports and the definition of `make_model()`.
        copies: Files that the lines import from the folder they run in, to be copied beside them.
    """

    lines: str
    copies: tuple[Path, ...] = ()


class Source(Protocol):
    """A place models come from. One file each, and a line in `open.SOURCES`."""

    def matches(self, source: str) -> bool:
        """True when `ModelSpec.source` names something of this kind."""
        ...

    def open(self, spec: ModelSpec, token: CancelToken, consent: Consent) -> Opened:
        """Open it, importing only what is consented to; raises OpenError with a sentence."""
        ...

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """How to make the same module, weights aside, without Secateur; paths are seen from `folder`."""
        ...

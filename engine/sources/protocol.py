"""What to open, as plain data, and the protocol of sources. Loads no torch.

A specification is changed by `change_model` when the paths in it are seen from elsewhere: a project folder or a recipe
that is moved together with the model's code and data still finds them.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Protocol

from ..errors import Message
from ..foreign_code.consent import Consent
from ..inference.model_inputs import Inputs
from ..jobs import CancelToken
from ..options import Option
from ..storage.paths import Change
from ..tasks.preprocessing import Preprocessing
from ..tasks.protocol import TaskSpec, change_task
from ..text.notation import MOVED, Notation
from .pretrained import PretrainedWeights

FLOATS = ("float32", "float16", "bfloat16", "float64")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
DTYPES = (*FLOATS, *INTEGERS, "bool")
"""Types that an input may have, as torch calls them."""
WRITTEN = re.compile(r"(?:(?P<name>[^=:\s]+)=)?(?P<shape>\d+(?:x\d+)*)(?::(?P<dtype>\w+))?")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One example input.

    Attributes:
        shape: With the batch first.
        dtype: A member of `DTYPES`.
        name: Argument of the model's forward, "" for an input by position.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    name: str = ""

    def __str__(self) -> str:
        """As `read_input` reads it: input_ids=2x16:int64."""
        name = f"{self.name}=" if self.name else ""
        dtype = "" if self.dtype == "float32" else f":{self.dtype}"
        return f"{name}{'x'.join(map(str, self.shape))}{dtype}"


def read_input(text: str) -> InputSpec:
    """Read 2x3x224x224, 2x16:int64 or input_ids=2x16:int64; raises ValueError with what is wrong."""
    found = WRITTEN.fullmatch(text.strip().replace("×", "x").replace("X", "x"))
    shape = tuple(int(part) for part in found["shape"].split("x")) if found else ()
    if found is None or min(shape) < 1:
        raise ValueError(f"{text!r} is not an input; write it with the batch first, like 1x3x224x224 or ids=2x16:int64")
    dtype = found["dtype"] or "float32"
    if dtype not in DTYPES:
        raise ValueError(f"{dtype!r} is not a type of inputs; write one of {', '.join(DTYPES)}")
    if found["name"] and not found["name"].isidentifier():
        raise ValueError(f"{found['name']!r} is not the name of an argument; write it like input_ids=2x16:int64")
    return InputSpec(shape, dtype, found["name"] or "")


MODEL_INPUT = Notation(read_input, example="1x3x224x224")


def check_inputs(inputs: tuple[InputSpec, ...]) -> None:
    """Raise ValueError where inputs cannot be made or do not go together, as in a file that somebody has written."""
    for one in inputs:
        if not one.shape or one.dtype not in DTYPES:
            raise ValueError(f"{one} has no shape, or a type that is none of {', '.join(DTYPES)}; enter both")
    names = [one.name for one in inputs]
    if any(names) and not all(names):
        raise ValueError("some inputs have names and others have none; name all of them, or none")
    if any(names) and len(set(names)) < len(names):
        raise ValueError("two inputs have the same name; name each one once")


FOREIGN_FILES = "files from elsewhere"
"""Heading in `--help`."""
PYTHON_FILE = re.compile(r"(?P<file>.+\.py)(?::(?P<name>[^:\\/]*))?", re.DOTALL)
"""A source that is a Python file of the user's, with or without a callable in it."""

DESCRIPTION = (".yaml", ".yml")
"""Endings of files that describe a network of Ultralytics', by names that are called."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model to open; plain data for recipes and other processes.

    Attributes:
        source: "bundled:resnet", "bundled:vit", "torchvision:NAME", "timm:NAME", "ultralytics:NAME",
            "path/to/file.py:callable", an
            .onnx, .pt2 or .gguf file, a .pt or .yaml of Ultralytics YOLO, a project folder, or an export of ours
            (folder with shapes.json and weights).
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
        uniform: Only plans count that one configuration of a transformers model describes: equal counts in all layers.
        pretrained: Of a torchvision or timm model, the name of the library's weights, "DEFAULT" for those that it
            recommends; "" for whatever lies in its cache.
    """

    source: Annotated[
        str,
        Option(
            title="Model",
            help="a project or an export of Secateur, a Hugging Face folder, hf:ORG/NAME, bundled:resnet, bundled:vit, "
            "torchvision:NAME, timm:NAME, path/to/file.py:callable, an .onnx, .pt2 or .gguf file, or of Ultralytics a "
            ".pt, a .yaml or ultralytics:NAME",
            flag="model",
            metavar="MODEL",
        ),
    ]
    weights: Annotated[
        str,
        Option(
            title="Checkpoint",
            help="checkpoint to load",
            hint="state_dict, .pt, .th, .safetensors; optional",
            metavar="FILE",
        ),
    ] = ""
    input_shape: tuple[int, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    trust_pickle: Annotated[
        bool,
        Option(title="Trust pickle", help="allow a checkpoint to run code while it is loaded", group=FOREIGN_FILES),
    ] = False
    task: TaskSpec | None = None
    trust_code: Annotated[
        bool,
        Option(
            title="Trust code",
            help="run the Python files that a recipe, project or export from elsewhere names",
            group=FOREIGN_FILES,
        ),
    ] = False
    outputs: Annotated[
        tuple[str, ...],
        Option(
            title="Outputs to keep",
            help="an output that must stay (logits, 0)",
            details="Separate several by commas. The others may become narrower. Empty: all stay, except intermediate "
            "outputs of transformers models. The inspector lists both.",
            repeated=True,
            automatic="all but what transformers' own models compute on the way; inspect lists both",
            hint="logits, boxes; optional",
            flag="--output",
            metavar="PATH",
        ),
    ] = ()
    own_class: Annotated[
        bool,
        Option(
            title="Only cuts that run with the unchanged class",
            help="only plans that leave the model's code as it is: attributes change, no number in a forward",
            details="Sizes that the code ties together, such as the width and the heads of an attention, shrink "
            "together.",
        ),
    ] = False
    uniform: Annotated[
        bool,
        Option(
            title="Uniform layers",
            help="of a transformers model, only plans that one configuration describes: equal counts in all layers",
            details="The pruned model then loads with from_pretrained.",
        ),
    ] = False
    ignore_unused: Annotated[
        bool,
        Option(
            title="Ignore unused modules",
            help="prune also what modules may read that do not run on the example input; where they run, they may fail",
            details="The example input does not reach some modules (a branch not taken, an expert without tokens). "
            "Layers that they may read stay fixed otherwise. The log names the modules.",
        ),
    ] = False
    float32: bool = False
    moved: Annotated[
        tuple[tuple[str, str], ...],
        Option(
            title="Moved files",
            help="a file that a project needs and that lies elsewhere now; what lay beside it is found with it",
            notation=MOVED,
            repeated=True,
            group=FOREIGN_FILES,
        ),
    ] = ()
    download: Annotated[
        bool,
        Option(
            title="Download",
            help="allow what builds the model to fetch weights from the network",
            group=FOREIGN_FILES,
        ),
    ] = False
    inputs: Annotated[
        tuple[InputSpec, ...],
        Option(
            title="Inputs",
            help="shape of each example input, where they cannot be found out; with a name and a type where needed: "
            "input_ids=2x16:int64 attention_mask=2x16:int64",
            details="The batch stands first. Several are separated by spaces. Without a type: float32.",
            notation=MODEL_INPUT,
            repeated=True,
            several=True,
            hint="1x3x224x224; empty: from the model or the data",
            flag="--input",
        ),
    ] = ()

    pretrained: Annotated[
        str,
        Option(
            title="Pretrained weights",
            help="of a torchvision or timm model, the library's weights by their name, or DEFAULT; from its cache, or "
            "from the network where downloads are allowed",
            automatic="those that lie in its cache, else random weights",
            hint="DEFAULT; empty: those in the cache",
            metavar="NAME",
        ),
    ] = ""

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
class SourceModel:
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
        preprocessing: How images become its input, as its source says; None where nobody does.
        untrained: Its weights are random.
        offered: Weights that its library offers, None where there is none.
    """

    model: Any
    factory: Callable[[], Any]
    name: str
    input_shape: tuple[int, ...]
    task: TaskSpec | None
    notes: tuple[Message, ...]
    spec: ModelSpec | None = None
    inputs: Inputs = ()
    preprocessing: Preprocessing | None = None
    untrained: bool = False
    offered: PretrainedWeights | None = None


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

    def open(self, spec: ModelSpec, token: CancelToken, consent: Consent) -> SourceModel:
        """Open it, importing only what is consented to; raises OpenError with a sentence."""
        ...

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """How to make the same module, weights aside, without Secateur; paths are seen from `folder`."""
        ...


def change_model(spec: ModelSpec, change: Change) -> ModelSpec:
    """A model's specification with its paths changed, the task's too."""
    return replace(
        spec,
        source=change_source(spec.source, change),
        weights=change(spec.weights) if spec.weights else "",
        task=None if spec.task is None else change_task(spec.task, change),
        moved=tuple((change(old), change(new)) for old, new in spec.moved),
    )


def change_source(source: str, change: Change) -> str:
    """A source with its path changed: `path/to/file.py:callable` or a folder; `torchvision:resnet18` has none."""
    file, colon, name = source.rpartition(":")
    if file.endswith(".py"):
        return change(file) + colon + name
    is_name = bool(colon) and not os.path.exists(change(source)) and len(file) > 1
    return source if is_name or not source else change(source)

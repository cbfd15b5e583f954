"""Opens a model: the table of sources, and the function that tries them in order.

`unpack` opens what `export.model_package` packed as files, for the process that measures or exports it.
"""

from dataclasses import replace
from pathlib import Path

from torch import nn

from ..errors import OpenError
from ..foreign_code.consent import FULL_CONSENT, Consent
from ..jobs import CancelToken, NeverCancelled, check
from ..storage.file_limits import foreign_reader
from .bundled import Bundled
from .exported_folder import SHAPES, WEIGHTS, ExportedFolder, read_shapes, recorded_source
from .gguf_file import GgufFile
from .hugging_face import HuggingFace
from .named_code import by_hand, sealed_consent
from .onnx_file import OnnxFile
from .other_files import refused_file
from .program_file import ProgramFile
from .protocol import FactoryCode, ModelSpec, Source, SourceModel
from .python_file import PythonFile
from .timm_models import TimmModels
from .torchvision_models import TorchvisionModels
from .ultralytics_yolo import UltralyticsYolo


def open_model(spec: ModelSpec, token: CancelToken | None = None, consent: Consent | None = None) -> SourceModel:
    """Open what `spec` names: in eval mode, on the CPU, with its weights; raises OpenError.

    Floating tensors are in float32; those in bfloat16 stay so unless `spec.float32`.

    Args:
        spec: What to open.
        token: Cancels.
        consent: What code may run; None where the caller names the model by hand: that very file.
    """
    token = token or NeverCancelled()
    check(token)
    with foreign_reader(spec.source):
        opened = source_of(spec.source).open(spec, token, named_by_hand(spec) if consent is None else consent)
    check(token)
    return opened


def named_by_hand(spec: ModelSpec) -> Consent:
    """Consent to what the user named in this run: those files, or everything where they said so."""
    return FULL_CONSENT if spec.trust_code else by_hand(spec)


def factory_code(spec: ModelSpec, folder: Path) -> FactoryCode:
    """Python that makes the model of `spec` without Secateur, weights aside; paths are seen from `folder`."""
    return source_of(spec.source).code(spec, folder)


def source_of(source: str) -> Source:
    """The source that `ModelSpec.source` names; raises OpenError when nothing matches."""
    for one in SOURCES:
        if one.matches(source):
            return one
    if Path(source).is_file():
        raise refused_file(Path(source))
    if source and Path(source).is_dir():
        raise OpenError(
            "source.folder",
            "The folder {source} holds neither a Hugging Face model nor an export of Secateur. Choose another one.",
            source=source,
        )
    raise OpenError(
        "source.unknown",
        "Unknown model {source!r}. Enter path/to/file.py:callable, torchvision:NAME, timm:NAME, bundled:resnet, "
        "bundled:vit, hf:ORG/NAME, ultralytics:NAME, an .onnx, .pt2 or .gguf file, a .pt or .yaml of "
        "Ultralytics, or the folder of a Hugging Face model or an export.",
        source=source,
    )


SOURCES: tuple[Source, ...] = (
    Bundled(),
    TorchvisionModels(),
    TimmModels(),
    PythonFile(),
    OnnxFile(),
    ProgramFile(),
    GgufFile(),
    UltralyticsYolo(),
    ExportedFolder(source_of),
    HuggingFace(),
)
"""Asked in this order; the first that matches opens. An export asks them again for the model that it was made from."""


PICKLE = "module.pt"
"""What version 0.1 wrote for a model without a source: it is never loaded, and no parcel of ours holds it."""


def is_own(folder: Path) -> bool:
    """Whether a parcel is one that this user packed here; what came along with a project may hold anything."""
    if not (folder / SHAPES).is_file() or (folder / PICKLE).exists():
        return False
    consent = _consent(folder)  # to code that was allowed anew since, it is packed again
    return consent is not None and not consent.changed(consent.files)


def unpack(folder: str | Path) -> nn.Module:
    """The module of a parcel that `pack` wrote here (see `is_own`), in eval mode, weights loaded."""
    folder = Path(folder)
    from ..runtime import load_pruned

    # What is packed was open here: where its file is a pickle (.pt2, YOLO), the user has allowed that.
    spec = replace(recorded_source(read_shapes(str(folder)), folder), trust_pickle=True)
    # On another machine, which has not this user's key, it was sent there to be run.
    consent = _consent(folder) or FULL_CONSENT
    factory = source_of(spec.source).open(spec, NeverCancelled(), consent).factory
    return load_pruned.load_pruned(factory, str(folder / SHAPES), str(folder / WEIGHTS)).eval()


def _consent(folder: Path) -> Consent | None:
    """To the code that a parcel names, as it was when this user packed it."""
    document = read_shapes(str(folder))
    return sealed_consent(str(document.get("seal", "")), recorded_source(document, folder))

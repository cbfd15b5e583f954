"""Opens a model: the table of sources, and the function that tries them in order."""

from pathlib import Path

from ..errors import OpenError
from ..foreign_code.consent import FULL_CONSENT, Consent
from ..jobs import CancelToken, NeverCancelled, check
from ..storage.file_limits import foreign_reader
from .bundled import Bundled
from .exported_folder import ExportedFolder
from .gguf_file import GgufFile
from .hugging_face import HuggingFace
from .named_code import by_hand
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

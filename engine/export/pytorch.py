"""Exporter to PyTorch: weights, shapes, and a loader that works without Secateur."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from ..adapters.torchvision_detection import plain, with_maps
from ..errors import ExportError, Message
from ..foreign_code.consent import require_as_read
from ..inference.bfloat16 import in_bfloat16
from ..inference.model_inputs import Inputs, named_arrays, write
from ..jobs import CancelToken, Job, NeverCancelled, Progress
from ..sources.exported_folder import SHAPES, WEIGHTS
from ..sources.named_code import code_of
from ..sources.open import factory_code, unpack
from ..sources.protocol import FactoryCode
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.run import run_command
from ..text.python_code import comment
from .compare import difference
from .model_package import bytes_of, pack
from .protocol import Exported, ExportRequest, Predictor
from .reference_outputs import cases, outputs_of, require_agreement
from .staged_output import check_destination, staged_folder
from .table import require
from .usage import LOADER, README

CHECK = Path(__file__).with_name("check_folder.py")


class PyTorchExporter:
    """Writes a folder: weights.safetensors, shapes.json, load_pruned.py, README.txt."""

    def refusal(self, request: ExportRequest) -> ExportError | None:
        """A model that was handed over as an object, without the code that builds it."""
        if request.spec is not None or request.factory is not None:
            return None
        return ExportError(
            "export.no_source",
            "The model was passed as an object, so an export would lack the code that builds it. Open it as "
            "file.py:callable, or save its weights yourself.",
        )

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write the folder `request.path`; see `export_pytorch`."""
        return export_pytorch(request, token=token)

    def predictor(self, path: str) -> Predictor:
        """The model that the folder holds, rebuilt in this process (with the threads that it has)."""
        return unpack(path)


def export_pytorch(request: ExportRequest, *, token: CancelToken | None = None) -> Job[Exported]:
    """Write the folder, then follow its README in a process that cannot import Secateur, and compare.

    Raises:
        ExportError: Nothing is left behind, an older export of that name is still there.
    """
    from ..runtime import load_pruned

    path = Path(request.path).expanduser().absolute()
    require(PyTorchExporter().refusal(request))
    check_destination(path, 2 * bytes_of(request.model), folder=True, is_ours=_is_export)
    yield Progress("Writing weights and shapes", 0, 2)
    with staged_folder(path, _is_export) as folder:
        pack(folder, request.model, request.edits, request.spec, request.inputs)
        if request.spec is not None:
            made = factory_code(request.spec, folder)
        else:  # only its user knows how a model is made that was handed over as an object
            kind = cast("type[object]", type(request.model))
            what = f"Return the original network here, before it was pruned: {kind.__module__}.{kind.__qualname__}"
            made = FactoryCode(f"def make_model():\n    raise NotImplementedError({what!r})")
        code = _add_loader(folder, made, plain(request.inputs))
        if request.factory is not None and request.spec is None:
            # This process alone has the model's class.
            loaded = with_maps(load_pruned.load_pruned(request.factory, str(folder / SHAPES), str(folder / WEIGHTS)))
            expected = cases(request.model, request.inputs)
            worst = max(difference(outputs, outputs_of(loaded, inputs)) for inputs, outputs in expected)
            found = require_agreement(worst, coarse=in_bfloat16(request.model))
        else:
            require_as_read(code_of(request.spec))  # the other process is to run the code that ran here
            found = yield from check_by_code(folder, code, request, token or NeverCancelled())
    files = sorted(one for one in path.iterdir() if one.is_file())
    return Exported("pytorch", tuple(map(str, files)), found, None, sum(one.stat().st_size for one in files))


def _is_export(folder: Path) -> bool:
    return (folder / SHAPES).is_file() and (folder / LOADER).is_file()


def _add_loader(folder: Path, made: FactoryCode, inputs: Inputs) -> str:
    """Copy the loader and what the factory needs, write the README.

    Returns:
        The README's code, but for its first line, which names the folder.
    """
    from ..runtime import load_pruned

    shutil.copyfile(load_pruned.__file__, folder / LOADER)
    for file in made.copies:
        shutil.copyfile(file, folder / file.name)
    if isinstance(inputs, Mapping):
        arguments = [f"{name}={'...' if any(named_arrays(one)) else repr(one)}" for name, one in inputs.items()]
    else:
        arguments = ["..." if any(named_arrays(one)) else repr(one) for one in inputs]
    described = list[str]()
    for path, array in named_arrays(inputs):  # "ids int64 [N, 12]"
        sizes = ["N", *map(str, array.shape[1:])][: array.ndim]
        described.append(f"{path} {str(array.dtype).removeprefix('torch.')} [{', '.join(sizes)}]")
    usage = f"model({', '.join(arguments)}), with {', '.join(described)}"
    code = (
        "import sys\n\nsys.path.insert(0, folder)\nfrom load_pruned import load_pruned\n\n"
        f"{made.lines}\n\n\n"
        'model = load_pruned(make_model, f"{folder}/shapes.json", f"{folder}/weights.safetensors")\n'
        f"# {comment(usage)}\n"
    )
    (folder / README).write_text(
        "The pruned model: weights.safetensors (its tensors) and shapes.json (their shapes and the repairs).\n"
        "Load it like this. Only torch, safetensors and the model's own class are needed:\n\n"
        + "".join(
            f"    {line}".rstrip() + "\n" for line in ['folder = "."  # where this file lies', *code.splitlines()]
        ),
        encoding="utf-8",
    )
    return code


def check_by_code(folder: Path, code: str, request: ExportRequest, token: CancelToken) -> Job[float]:
    """Run Python that loads a folder in a process that cannot import Secateur; returns the difference from the model.

    Args:
        folder: What was written; the code knows it as `folder`.
        code: Its last statement gives the model as `model`.
        request: What was to be written.
        token: Cancels.
    """
    yield Progress("Loading the folder in a fresh process", 1, 2)
    with temporary_folder() as place:
        file = place / "cases.npz"
        write(file, cases(request.model, request.inputs))
        job = {"folder": str(folder), "code": code, "cases": str(file)}
        command = [sys.executable, "-P", "-B", str(CHECK)]
        what = Message("process.loading", "Loading the exported folder")
        result = yield from run_command(command, job, token, what, error=ExportError)
    return require_agreement(result["difference"], coarse=in_bfloat16(request.model))

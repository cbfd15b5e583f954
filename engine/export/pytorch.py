"""Exporter to PyTorch: weights, shapes, and a loader that works without Secateur."""

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ..adapters.torchvision_detection import plain, with_maps
from ..bfloat16 import in_bfloat16
from ..errors import ExportError, Message
from ..foreign_code.consent import require_as_read
from ..jobs import CancelToken, Job, NeverCancelled, Progress
from ..model_inputs import Inputs, named_arrays, write
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

    def predictor(self, path: str, threads: int = 1) -> Predictor:
        """The model that the folder holds, rebuilt in this process (with the threads that it has)."""
        return unpack(path)


def export_pytorch(request: ExportRequest, *, token: CancelToken | None = None) -> Job[Exported]:
    """Write the folder, then follow its README in a process that cannot import Secateur, and compare.

    Raises:
        ExportError: Nothing is left behind, an older export of that name is still there.
    """
    path = Path(request.path).expanduser().absolute()
    require(PyTorchExporter().refusal(request))
    check_destination(path, 2 * bytes_of(request.model), folder=True, is_ours=_is_export)
    yield Progress("Writing weights and shapes", 0, 2)
    with staged_folder(path, _is_export) as folder:
        pack(folder, request.model, request.edits, request.spec, request.inputs)
        made = _by_the_user(request.model) if request.spec is None else factory_code(request.spec, folder)
        code = _add_loader(folder, made, plain(request.inputs))
        if request.factory is not None and request.spec is None:
            difference = _check_here(folder, request.factory, request)
        else:
            require_as_read(code_of(request.spec))
            difference = yield from check_by_code(folder, code, request, token or NeverCancelled())
    files = sorted(one for one in path.iterdir() if one.is_file())
    return Exported("pytorch", tuple(map(str, files)), difference, None, sum(one.stat().st_size for one in files))


def _is_export(folder: Path) -> bool:
    return (folder / SHAPES).is_file() and (folder / LOADER).is_file()


def _by_the_user(model: nn.Module) -> FactoryCode:
    """What stands for the code of a model that was handed over as an object: only its user knows how it is made."""
    kind = type(model)
    what = f"Return the original network here, before it was pruned: {kind.__module__}.{kind.__qualname__}"
    return FactoryCode(f"def make_model():\n    raise NotImplementedError({what!r})")


def _add_loader(folder: Path, made: FactoryCode, inputs: Inputs) -> str:
    """Copy the loader and what the factory needs, write the README; returns the code that stands in it."""
    from ..runtime import load_pruned

    shutil.copyfile(load_pruned.__file__, folder / LOADER)
    for file in made.copies:
        shutil.copyfile(file, folder / file.name)
    code = _code(made, inputs)
    (folder / README).write_text(
        "The pruned model: weights.safetensors (its tensors) and shapes.json (their shapes and the repairs).\n"
        "Load it like this. Only torch, safetensors and the model's own class are needed:\n\n"
        + "".join(
            f"    {line}".rstrip() + "\n" for line in ['folder = "."  # where this file lies', *code.splitlines()]
        ),
        encoding="utf-8",
    )
    return code


def _code(made: FactoryCode, inputs: Inputs) -> str:
    """What the README shows, but for its first line, which names the folder."""
    return (
        "import sys\n\nsys.path.insert(0, folder)\nfrom load_pruned import load_pruned\n\n"
        f"{made.lines}\n\n\n"
        'model = load_pruned(make_model, f"{folder}/shapes.json", f"{folder}/weights.safetensors")\n'
        f"# {comment(_usage(inputs))}\n"
    )


def _usage(inputs: Inputs) -> str:
    """How the model is called, with the type and size of what it is given: "model(ids=...) # ids: int64 [N, 12]"."""
    if isinstance(inputs, Mapping):
        arguments = [f"{name}={'...' if any(named_arrays(one)) else repr(one)}" for name, one in inputs.items()]
    else:
        arguments = ["..." if any(named_arrays(one)) else repr(one) for one in inputs]
    sizes = [f"{path} {_type(one)} {_size(one)}" for path, one in named_arrays(inputs)]
    return f"model({', '.join(arguments)}), with {', '.join(sizes)}"


def _type(array: Any) -> str:
    return str(array.dtype).removeprefix("torch.")


def _size(array: Any) -> str:
    return "[" + ", ".join(["N", *map(str, array.shape[1:])][: array.ndim]) + "]"


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


def _check_here(folder: Path, factory: Callable[[], nn.Module], request: ExportRequest) -> float:
    """Load the folder in this process, which alone has the model's class, and compare; returns the difference."""
    from ..runtime import load_pruned

    loaded = with_maps(load_pruned.load_pruned(factory, str(folder / SHAPES), str(folder / WEIGHTS)))
    expected = cases(request.model, request.inputs)
    found = (outputs_of(loaded, inputs) for inputs, _ in expected)
    worst = max(difference(outputs, again) for (_, outputs), again in zip(expected, found, strict=True))
    return require_agreement(worst, coarse=in_bfloat16(request.model))

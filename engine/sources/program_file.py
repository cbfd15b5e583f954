"""Opens a program that `torch.export` saved (.pt2): its graph becomes an ONNX graph in memory, which runs as one.

A program itself cannot be switched to training and holds its sizes as numbers; the ONNX graph has the same weights
under the same names, and `onnx_file` does the rest.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Message, OpenError
from ..foreign_code.consent import Consent
from ..jobs import CancelToken, check
from ..storage.file_limits import check_special
from ..text.python_code import quoted
from .onnx_file import open_graph
from .protocol import FactoryCode, ModelSpec, SourceModel

if TYPE_CHECKING:
    import onnx

SUFFIX = ".pt2"


class ProgramFile:
    """`path/to/model.pt2`."""

    def matches(self, source: str) -> bool:
        """True for a name that ends like a program."""
        return source.lower().endswith(SUFFIX)

    def open(self, spec: ModelSpec, token: CancelToken, consent: Consent) -> SourceModel:
        """Open it, where the user allowed what its pickled parts run."""
        path = Path(spec.source).expanduser()
        check_special(path)
        if not path.is_file():
            raise OpenError("program.missing", "File {path} does not exist. Check the path.", path=str(path))
        if not (spec.trust_pickle or consent.everything):
            template = (
                "Loading {path} can run code from the file, because torch.export.load unpickles parts of it. Allow "
                "that only if you trust its source."
            )
            raise OpenError("program.pickle", template, path=str(path))
        program = _load_program(path)
        check(token)
        proto = _as_onnx(path, program)
        check(token)
        return open_graph(path, proto, spec, token, _fixed_sizes(path, program), program.module())

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """The file and what runs its graph, both copied beside the code."""
        from ..runtime import onnx_module

        path = Path(spec.source).expanduser().absolute()
        return FactoryCode(
            "import torch\nfrom onnx_module import OnnxModule, graph_of\n\n\n"
            f"def make_model():\n    program = torch.export.load(folder + {quoted('/' + path.name)})\n"
            "    exported = torch.onnx.export(program, dynamo=True, verbose=False)\n"
            "    return OnnxModule(graph_of(exported.model_proto))",
            (Path(onnx_module.__file__), path),
        )


def read_graph(path: Path) -> "onnx.ModelProto":
    """The graph of a program; loading one can run code from the file. Raises OpenError as opening does."""
    return _as_onnx(path, _load_program(path))


def _load_program(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(str(path))
    except Exception as error:  # a pickle may raise anything
        template = "{path} is not a program that this version of torch can load, or it is damaged. Export it again."
        raise OpenError("program.damaged", template, str(error), path=str(path)) from error


def _as_onnx(path: Path, program: Any) -> "onnx.ModelProto":
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(program, dynamo=True, verbose=False)
    except Exception as error:  # the exporter raises errors of many kinds
        template = (
            "{path} cannot be opened, because torch has no ONNX form for it. Open the model's Python class instead."
        )
        raise OpenError("program.form", template, str(error), path=str(path)) from error
    assert exported is not None
    return exported.model_proto


def _fixed_sizes(path: Path, program: Any) -> list[Message]:
    """Which inputs the program takes in one size only."""
    names = set(program.graph_signature.user_inputs)
    given = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    shapes = {node.name: getattr(node.meta.get("val"), "shape", ()) for node in given}
    fixed = {name: shape for name, shape in shapes.items() if any(isinstance(size, int) for size in shape)}
    if not fixed:
        return []
    shown = ", ".join(
        f"{name}: {'x'.join(str(size) if isinstance(size, int) else 'N' for size in shape)}"
        for name, shape in fixed.items()
    )
    template = "{name} was exported for inputs of these sizes (N is free): {sizes}."
    return [Message("program.sizes", template, {"name": path.name, "sizes": shown})]

"""The formats that Secateur exports to, by name. To add one is to add a file and a line here.

The table is plain data, so that a window lists it without torch; an exporter is imported when it is asked for.
"""

import importlib
from typing import NamedTuple

from ..errors import ExportError
from .protocol import Exporter


class Format(NamedTuple):
    """What can be written.

    Attributes:
        title: For a person ("ONNX").
        suffix: Of the file (".onnx"), "" for a folder.
        exporter: Module in this folder and its `Exporter`, "module:Class".
    """

    title: str
    suffix: str
    exporter: str


EXPORTERS = {
    "onnx": Format("ONNX", ".onnx", "onnx:OnnxExporter"),
    "pytorch": Format("PyTorch", "", "pytorch:PyTorchExporter"),
    "program": Format("torch.export program", ".pt2", "program:ProgramExporter"),
}


def exporter_named(name: str) -> Exporter:
    """The exporter of that name; raises ExportError with the names there are."""
    if name not in EXPORTERS:
        raise ExportError(
            "export.format",
            "There is no export format {name!r}; known are {known}.",
            name=name,
            known=", ".join(EXPORTERS),
        )
    module, _, exporter = EXPORTERS[name].exporter.partition(":")
    return getattr(importlib.import_module(f".{module}", __package__), exporter)()


def format_of(path: str) -> str:
    """The name of the format that a file's ending means; a path without such an ending is a folder for PyTorch."""
    return next((n for n, f in EXPORTERS.items() if f.suffix and path.lower().endswith(f.suffix)), "pytorch")

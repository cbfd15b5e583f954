"""The formats that Secateur exports to, by name. To add one is to add a file and a line here."""

from ..errors import ExportError
from .onnx import OnnxExporter
from .protocol import Exporter
from .pytorch import PyTorchExporter

EXPORTERS: dict[str, Exporter] = {"onnx": OnnxExporter(), "pytorch": PyTorchExporter()}


def exporter_named(name: str) -> Exporter:
    """The exporter of that name; raises ExportError with the names there are."""
    if name not in EXPORTERS:
        raise ExportError(
            "export.format",
            "There is no export format {name!r}; known are {known}.",
            name=name,
            known=", ".join(EXPORTERS),
        )
    return EXPORTERS[name]

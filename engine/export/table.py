"""The table of export formats by name. To add one, add a file and a line here.

The table is plain data, so that a window lists it without torch; an exporter is imported when it is asked for.
"""

import importlib
from pathlib import Path
from typing import NamedTuple

from ..errors import ExportError, SecateurError
from .protocol import Exporter


class Format(NamedTuple):
    """What can be written.

    Attributes:
        title: For a person ("ONNX").
        purpose: What such a file is for: a sentence.
        suffix: Of the file (".onnx"), "" for a folder.
        exporter: Module in this folder and its `Exporter`, "module:Class".
        precision: What it computes in, where that is less than the model does: the metric evaluates such a file, not
            equality; "" for the model's own.
        from_onnx: It is made from the state's ONNX file (`ExportRequest.onnx`).
        needs_data: It is calibrated on samples of the train split (`ExportRequest.samples`).
        beside: Endings of further files of the same name that belong to the first.
    """

    title: str
    purpose: str
    suffix: str
    exporter: str
    precision: str = ""
    from_onnx: bool = False
    needs_data: bool = False
    beside: tuple[str, ...] = ()

    def places(self, path: Path) -> tuple[Path, ...]:
        """All files, or the folder, that an export to a path writes."""
        return path, *(path.with_suffix(one) for one in self.beside)


EXPORTERS = {
    "onnx": Format(
        "ONNX",
        "ONNX Runtime on servers, desktops, phones and in browsers; TensorRT and others read it too.",
        ".onnx",
        "onnx:OnnxExporter",
    ),
    "pytorch": Format(
        "PyTorch",
        "Weights as safetensors and a Python file that loads them with PyTorch alone.",
        "",
        "pytorch:PyTorchExporter",
    ),
    "hugging-face": Format(
        "Hugging Face folder",
        "The folder that transformers, vLLM and others load by its path.",
        "",
        "hugging_face:HuggingFaceExporter",
    ),
    "program": Format(
        "torch.export program",
        "One file that PyTorch loads without the code of the model.",
        ".pt2",
        "program:ProgramExporter",
    ),
    "onnx-fp16": Format(
        "ONNX in fp16",
        "Half as large; for GPUs and accelerators that compute in half precision.",
        ".fp16.onnx",
        "lower_precision:Fp16Exporter",
        "fp16",
        from_onnx=True,
    ),
    "onnx-int8": Format(
        "ONNX in int8",
        "A quarter as large; for processors with instructions for 8-bit integers.",
        ".int8.onnx",
        "lower_precision:Int8Exporter",
        "int8",
        from_onnx=True,
        needs_data=True,
    ),
    "model-card": Format(
        "Model card",
        "A description to publish with the model: data, metric, costs and what was cut.",
        ".md",
        "model_card:ModelCardExporter",
    ),
    "gguf": Format(
        "GGUF", "llama.cpp and the programs built on it, such as Ollama.", ".gguf", "gguf_file:GgufExporter"
    ),
    "openvino": Format(
        "OpenVINO IR",
        "Processors, graphics and neural units of Intel.",
        ".xml",
        "openvino_ir:OpenVinoExporter",
        from_onnx=True,
        beside=(".bin",),
    ),
    "executorch": Format(
        "ExecuTorch", "Apps on phones and embedded devices.", ".pte", "executorch_file:ExecuTorchExporter"
    ),
    "ultralytics": Format(
        "Ultralytics YOLO",
        "A checkpoint that the ultralytics package loads, trains and exports.",
        ".pt",
        "ultralytics_file:UltralyticsExporter",
    ),
}


def exporter_named(name: str) -> Exporter:
    """The exporter of that name; raises ExportError with the names there are."""
    if name not in EXPORTERS:
        raise ExportError(
            "export.format",
            "Unknown export format {name!r}. Choose one of {known}.",
            name=name,
            known=", ".join(EXPORTERS),
        )
    module, _, exporter = EXPORTERS[name].exporter.partition(":")
    return getattr(importlib.import_module(f".{module}", __package__), exporter)()


def samples_refusal(name: str, has_samples: bool) -> ExportError | None:
    """What stops a format that needs samples of the train split where there are none."""
    if has_samples or not EXPORTERS[name].needs_data:
        return None
    return ExportError(
        "export.no_samples",
        "{title} needs samples of the train split for its calibration. Attach data, or export to ONNX in fp16.",
        title=EXPORTERS[name].title,
    )


def require(refusal: SecateurError | None) -> None:
    """Raise a refusal, where there is one."""
    if refusal is not None:
        raise refusal


OTHERS = (".pth", ".ckpt", ".safetensors", ".bin", ".tflite", ".engine", ".mlpackage", ".pb")
"""Endings of files with models that are not written: no folder is meant by them."""


def format_of(path: str) -> str:
    """The name of the format that a file's ending means; a path without such an ending is a folder for PyTorch.

    Raises:
        ExportError: The ending is that of a file which is not written.
    """
    if path.lower().endswith(OTHERS):
        template = (
            "Cannot export to a {ending} file. Use the ending {known} for a file, or any other name for a PyTorch "
            "folder (safetensors weights and code that loads them)."
        )
        known = " or ".join(one.suffix for one in EXPORTERS.values() if one.suffix)
        raise ExportError("export.ending", template, ending=f".{path.rpartition('.')[2]}", known=known)
    # The longest ending that fits: "net.fp16.onnx" is no plain ONNX.
    ends = [name for name, one in EXPORTERS.items() if one.suffix and path.lower().endswith(one.suffix)]
    return max(ends, key=lambda name: len(EXPORTERS[name].suffix), default="pytorch")

"""How an export is used: its place, opset and inputs, and a command line that runs what was written.

The commands need what the format itself needs (onnxruntime, torch, transformers), and not Secateur. Loads no torch.
"""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from ..model_inputs import Inputs, at_batch, named_arrays
from ..sources.protocol import InputSpec
from .protocol import Exported

ONNX, CARD = ".onnx", ".md"
LOADER, README = "load_pruned.py", "README.txt"
"""Files of a PyTorch folder: what loads its weights, and the code that does so for its model."""
SINGLE = {"INFERENCE_PRECISION_HINT": "f32"}
"""OpenVINO's own default is bfloat16 where the CPU has it; files are compared in single precision."""
STANDARD = ("", "ai.onnx")
"""Names of the domain of ONNX's own operators."""


def opset_of(path: str | Path) -> int:
    """The opset of an ONNX file's own operators; 0 for anything else."""
    if Path(path).suffix.lower() != ONNX:
        return 0
    import onnx  # imported here: sessions start without it

    told = onnx.load_model(str(path), load_external_data=False).opset_import
    return next((one.version for one in told if one.domain in STANDARD), 0)


def sample_inputs(inputs: Inputs) -> tuple[InputSpec, ...]:
    """What one sample looks like: shape with a batch of 1, type and, where inputs go by name, name of each."""
    given = at_batch(inputs, 1)
    named = not isinstance(given, tuple)
    return tuple(
        InputSpec(tuple(one.shape), str(one.dtype).removeprefix("torch."), path if named else "")
        for path, one in named_arrays(given)
    )


def place_of(exported: Exported) -> Path:
    """The file that was written, or the folder of several."""
    first = Path(exported.files[0])
    return first if first.suffix.lower() in (*FILES, CARD) else first.parent


def command_line(exported: Exported) -> str:
    """A command line that loads what was written and runs it once; "" where nothing tells how."""
    place = place_of(exported)
    if (file := FILES.get(place.suffix.lower())) is not None:
        return _python(file(place, exported.inputs))
    if (place / LOADER).is_file():
        code = f"{{ sed -n 's/^    //p' {README}; echo 'print(model)'; }}"
        return f"cd {shlex.quote(str(place))} && {code} | python -"
    return _python(_transformers(place, exported.inputs)) if (place / "config.json").is_file() else ""


def _onnx(path: Path, inputs: Sequence[InputSpec]) -> str:
    arrays = ", ".join(f"{f'{one.name!r}: ' if one.name else ''}{_array(one)}" for one in inputs)
    named = any(one.name for one in inputs)
    given = f"{{{arrays}}}" if named else f"dict(zip([i.name for i in s.get_inputs()], [{arrays}]))"
    start = f"import numpy, onnxruntime; s = onnxruntime.InferenceSession({str(path)!r})"
    return f"{start}; print([o.shape for o in s.run(None, {given})])"


def _openvino(path: Path, inputs: Sequence[InputSpec]) -> str:
    arrays = ", ".join(f"{f'{one.name!r}: ' if one.name else ''}{_array(one)}" for one in inputs)
    given = f"{{{arrays}}}" if any(one.name for one in inputs) else f"[{arrays}]"
    start = f"import numpy, openvino; m = openvino.compile_model({str(path)!r}, 'CPU', {SINGLE})"
    return f"{start}; print(m({given}))"


def _program(path: Path, inputs: Sequence[InputSpec]) -> str:
    return f"import torch; m = torch.export.load({str(path)!r}).module(); print(m({_tensors(inputs)}))"


def _executorch(path: Path, inputs: Sequence[InputSpec]) -> str:
    start = f"import torch; from executorch.runtime import Runtime; p = Runtime.get().load_program({str(path)!r})"
    given = ", ".join(f"torch.ones({i.shape}, dtype=torch.{_dtype(i)})" for i in inputs)
    return f"{start}; print(p.load_method('forward').execute([{given}]))"


def _transformers(path: Path, inputs: Sequence[InputSpec]) -> str:
    return (
        f"import torch, transformers as t; p = {str(path)!r}; "
        "m = getattr(t, t.AutoConfig.from_pretrained(p).architectures[0]).from_pretrained(p); "
        f"print(m({_tensors(inputs)}))"
    )


def _gguf(path: Path, _inputs: Sequence[InputSpec]) -> str:
    return f"import gguf; r = gguf.GGUFReader({str(path)!r}); print([(t.name, t.shape.tolist()) for t in r.tensors])"


def _ultralytics(path: Path, inputs: Sequence[InputSpec]) -> str:
    side = max((size for one in inputs for size in one.shape[2:]), default=640)
    image = f"numpy.zeros(({side}, {side}, 3), 'uint8')"
    return f"import numpy; from ultralytics import YOLO; print(YOLO({str(path)!r}).predict({image}, imgsz={side}))"


def _array(one: InputSpec) -> str:
    return f"numpy.ones({one.shape}, {_dtype(one)!r})"


def _dtype(one: InputSpec) -> str:
    return "float32" if one.dtype == "bfloat16" else one.dtype  # files compute in it


def _tensors(inputs: Sequence[InputSpec]) -> str:
    return ", ".join(f"{f'{i.name}=' if i.name else ''}torch.ones({i.shape}, dtype=torch.{i.dtype})" for i in inputs)


def _python(code: str) -> str:
    return f"python -c {shlex.quote(code)}"


FILES: dict[str, Callable[[Path, Sequence[InputSpec]], str]] = {
    ONNX: _onnx,
    ".pt2": _program,
    ".xml": _openvino,
    ".gguf": _gguf,
    ".pte": _executorch,
    ".pt": _ultralytics,
}
"""By the ending of a file, the Python that runs it."""

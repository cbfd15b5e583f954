"""How an export is used: its place, opset and inputs, and a command line that runs what was written.

The commands need what the format itself needs (onnxruntime, torch, transformers), and not Secateur. Loads no torch.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from ..inference.model_inputs import Inputs, at_batch, named_arrays
from ..sources.protocol import InputSpec
from .protocol import Exported

FILES = (".onnx", ".pt2", ".xml", ".gguf", ".pte", ".pt", ".md")
"""Endings of formats that are a file, or a file with others of its name; all others are folders."""
LOADER, README = "load_pruned.py", "README.txt"
"""Files of a PyTorch folder: what loads its weights, and the code that does so for its model."""
SINGLE = {"INFERENCE_PRECISION_HINT": "f32"}
"""OpenVINO's own default is bfloat16 where the CPU has it; files are compared in single precision."""
STANDARD = ("", "ai.onnx")
"""Names of the domain of ONNX's own operators."""


def opset_of(path: str | Path) -> int:
    """The opset of an ONNX file's own operators; 0 for anything else."""
    if Path(path).suffix.lower() != ".onnx":
        return 0
    import onnx  # imported here: sessions start without it

    opsets = onnx.load_model(str(path), load_external_data=False).opset_import
    return next((one.version for one in opsets if one.domain in STANDARD), 0)


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
    return first if first.suffix.lower() in FILES else first.parent


def command_line(exported: Exported) -> str:
    """A command line that loads what was written and runs it once; "" for a format that is not run by one."""
    place = place_of(exported)
    if place.suffix.lower() not in FILES and (place / LOADER).is_file():
        code = f"{{ sed -n 's/^    //p' {README}; echo 'print(model)'; }}"
        return f"cd {shlex.quote(str(place))} && {code} | python -"
    code = _python_code(place, exported.inputs)
    return f"python -c {shlex.quote(code)}" if code else ""


def _python_code(path: Path, inputs: Sequence[InputSpec]) -> str:
    """Python that loads a file or folder and runs it; "" where there is none."""
    name, named = repr(str(path)), any(one.name for one in inputs)
    dtypes = ["float32" if one.dtype == "bfloat16" else one.dtype for one in inputs]  # files compute in it
    arrays = ", ".join(
        f"{f'{one.name!r}: ' if one.name else ''}numpy.ones({one.shape}, {dtype!r})"
        for one, dtype in zip(inputs, dtypes, strict=True)
    )
    tensors = ", ".join(f"{f'{i.name}=' if i.name else ''}torch.ones({i.shape}, dtype=torch.{i.dtype})" for i in inputs)
    match path.suffix.lower():
        case ".onnx":
            given = f"{{{arrays}}}" if named else f"dict(zip([i.name for i in s.get_inputs()], [{arrays}]))"
            start = f"import numpy, onnxruntime; s = onnxruntime.InferenceSession({name})"
            code = f"{start}; print([o.shape for o in s.run(None, {given})])"
        case ".pt2":
            code = f"import torch; m = torch.export.load({name}).module(); print(m({tensors}))"
        case ".xml":
            given = f"{{{arrays}}}" if named else f"[{arrays}]"
            start = f"import numpy, openvino; m = openvino.compile_model({name}, 'CPU', {SINGLE})"
            code = f"{start}; print(m({given}))"
        case ".gguf":
            code = f"import gguf; r = gguf.GGUFReader({name}); print([(t.name, t.shape.tolist()) for t in r.tensors])"
        case ".pte":
            given = ", ".join(
                f"torch.ones({one.shape}, dtype=torch.{dtype})" for one, dtype in zip(inputs, dtypes, strict=True)
            )
            start = f"import torch; from executorch.runtime import Runtime; p = Runtime.get().load_program({name})"
            code = f"{start}; print(p.load_method('forward').execute([{given}]))"
        case ".pt":
            side = max((size for one in inputs for size in one.shape[2:]), default=640)
            image = f"numpy.zeros(({side}, {side}, 3), 'uint8')"
            code = f"import numpy; from ultralytics import YOLO; print(YOLO({name}).predict({image}, imgsz={side}))"
        case ".md":
            code = ""
        case _ if (path / "config.json").is_file():
            code = (
                f"import torch, transformers as t; p = {name}; "
                "m = getattr(t, t.AutoConfig.from_pretrained(p).architectures[0]).from_pretrained(p); "
                f"print(m({tensors}))"
            )
        case _:
            code = ""
    return code

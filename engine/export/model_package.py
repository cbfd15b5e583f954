"""A model packed as files, so that another process can rebuild it (`sources.open.unpack`): for timing, as an export.

The other process opens the same source, brings the module to the recorded shapes and loads the weights. A module that
came without a source is written too, to be loaded by whoever has its class.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..inference.model_inputs import Inputs
from ..sources.exported_folder import SHAPES, WEIGHTS, is_export, read_shapes, recorded_source
from ..sources.named_code import seal
from ..sources.protocol import DTYPES, PYTHON_FILE, InputSpec, ModelSpec, change_model
from ..sources.python_file import parse
from ..storage.paths import relative_to
from ..storage.safetensors_io import write_tensors
from ..surgery.cut.edits import PLACES, Edits, merged_repairs


def pack(folder: Path, model: nn.Module, edits: Edits, spec: ModelSpec | None, inputs: Inputs = ()) -> None:
    """Write a model into an existing folder.

    Args:
        folder: Where `shapes.json` and `weights.safetensors` are written.
        model: The live module, on the CPU.
        edits: The repairs of its cut.
        spec: Where the original came from; None where it was handed over as an object.
        inputs: Example inputs, from whose shapes and types whoever opens the files makes others.
    """
    # Tied tensors are written under each of their names.
    held = {name: one for name, one in model.state_dict().items() if isinstance(one, Tensor)}
    write_tensors(folder / WEIGHTS, held)
    earlier: dict[str, Any] = {}
    if spec is not None and is_export(spec.source):  # its source is that of the uncut network
        exported = read_shapes(spec.source)
        recorded, earlier = recorded_source(exported, Path(spec.source)), dict(exported["edits"])
        spec = replace(recorded, outputs=spec.outputs or recorded.outputs)
    if spec is not None:  # the source alone, its path absolute: the weights are in a file of their own
        source = spec.source
        if PYTHON_FILE.fullmatch(source):
            file, name = parse(source)
            source = f"{os.path.normpath(file.absolute())}:{name}"
        elif Path(source).exists():
            source = os.path.normpath(Path(source).absolute())
        spec = replace(spec.without_consent, source=source, weights="", task=None)
    # Repairs of two cuts, one after the other. What a slice keeps is numbered as the cut before left it.
    later, before = asdict(edits), {tuple(edit[:2]): edit[2] for edit in earlier.get("slices", ())}
    within = [(n, d, [before[n, d][i] for i in kept] if (n, d) in before else kept) for n, d, kept in later["slices"]]
    later |= {"slices": within, "constants": _renumber_constants(earlier.get("constants", ()), later["constants"])}
    both = {kind: [list(one) for one in merged_repairs(kind, earlier.get(kind, ()), later[kind])] for kind in PLACES}
    asked = ModelSpec("").with_inputs(_input_specs(inputs))
    document = {
        "schema": 1,
        "source": None if spec is None else asdict(change_model(spec, relative_to(folder))),
        "seal": "" if spec is None else seal(spec),
        "input_shape": list(asked.input_shape),
        "inputs": [asdict(one) for one in asked.inputs],
        "edits": both,
        "shapes": {name: list(one.shape) for name, one in held.items()},
    }
    (folder / SHAPES).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (folder / WEIGHTS).chmod((folder / SHAPES).stat().st_mode)  # safetensors lets only the owner read its files


def _input_specs(inputs: Inputs) -> tuple[InputSpec, ...]:
    """What inputs can be made again from; () where some are no tensors, or of a type that is not made."""
    named = inputs.items() if isinstance(inputs, Mapping) else (("", one) for one in inputs)
    found = [(name, one) for name, one in named if one is not None]
    types = [str(one.dtype).removeprefix("torch.") for _, one in found if isinstance(one, Tensor) and one.ndim]
    if len(types) < len(found) or not set(types) <= set(DTYPES):
        return ()
    return tuple(InputSpec(tuple(one.shape), dtype, name) for (name, one), dtype in zip(found, types, strict=True))


def bytes_of(model: nn.Module) -> int:
    """Size of all parameters and buffers that a file of weights holds."""
    return sum(t.numel() * t.element_size() for t in model.state_dict().values() if isinstance(t, Tensor))


def _renumber_constants(earlier: Sequence[Any], later: Sequence[Any]) -> list[Any]:
    """What the later cut keeps of constants, in the numbering of the original: at each place where it cuts any."""
    found: dict[tuple[Any, ...], list[Any]] = {tuple(one[:4]): list(one[4]) for one in earlier}
    places = {(path, site, where) for path, site, _, where, _ in later}
    made = {place: dims for place, dims in found.items() if (place[0], place[1], place[3]) in places}
    for path, site, call, where, dims in later:
        calls = {place[2] for place in found if (place[0], place[1], place[3]) == (path, site, where)}
        for number in {call} if call in calls or call >= 0 else {call, *calls}:
            before = found.get((path, site, number, where)) or found.get((path, site, -1, where)) or []
            known = {dim: (dim, size, kept) for dim, size, kept in before}
            for dim, size, kept in dims:
                whole = known.get(dim)
                known[dim] = (dim, size, kept) if whole is None else (*whole[:2], [whole[2][i] for i in kept])
            made[path, site, number, where] = list(known.values())
    return [[*place, dims] for place, dims in made.items()]

"""Tells quantised Hugging Face folders: their weights are packed integers or 8-bit floats with scales beside them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ..errors import Message, OpenError
from ..storage.file_limits import parse_json, read_whole

FIELDS = ("quantization_config", "compression_config")
"""Fields of a configuration that tell of quantised weights; the second one was compressed-tensors' own."""
FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq", "hf_quant_config.json": "modelopt"}
"""Files in which some tools tell it instead, and what they write."""
LENGTH = 60
"""Characters of a method's name."""


def require_floats(name: str, folder: Path, config: Mapping[str, Any]) -> None:
    """Raise OpenError where a folder holds quantised weights.

    Args:
        name: Of the model, for a person.
        folder: The folder.
        config: What its config.json holds.
    """
    found = _described(config)
    if found is None:
        beside = [_read(folder / file, method) for file, method in FILES.items() if (folder / file).is_file()]
        found = beside[0] if beside else None
    if found is not None:
        raise quantised(name, found)


def quantised(name: str, what: Message | str) -> OpenError:
    """The error for a model with quantised weights; `what` names their form."""
    template = (
        "{name} is quantised ({what}): its packed weights can be neither cut nor trained. Open the model that it was "
        "made from, in float32 or bfloat16, prune that, and quantise the result."
    )
    return OpenError("source.hf_quantised", template, name=name, what=what)


def _described(config: Mapping[str, Any]) -> Message | str | None:
    """How a configuration, or a part of it, says that weights are quantised; None where it does not."""
    for field in FIELDS:
        if isinstance(told := config.get(field), dict) and told:
            return _words(cast("dict[str, Any]", told), "")
    parts = [
        cast("dict[str, Any]", one) for key, one in config.items() if key.endswith("_config") and isinstance(one, dict)
    ]
    return next((words for part in parts if (words := _described(part)) is not None), None)


def _read(path: Path, method: str) -> Message | str:
    try:
        told: Any = parse_json(read_whole(path))
    except (OSError, ValueError):  # the file's name says enough
        return method
    return _words(cast("dict[str, Any]", told) if isinstance(told, dict) else {}, method)


def _words(told: Mapping[str, Any], method: str) -> Message | str:
    """Method and bits: "gptq, 4 bits"."""
    bits = [bits for bits in (4, 8) if told.get(f"load_in_{bits}bit") or told.get(f"_load_in_{bits}bit")]
    bits += [one for key in ("bits", "w_bit", "num_bits") if isinstance(one := told.get(key), int)]
    name = str(told.get("quant_method") or method or ("bitsandbytes" if bits else "quantization_config"))[:LENGTH]
    if not bits:
        return name
    return Message("source.hf_bits", "{method}, {bits} bits", {"method": name, "bits": bits[0]})

"""What the example inputs of a model look like: shape, type and name of each, as people write them. Loads no torch."""

import re
from dataclasses import dataclass

from ..text.notation import Notation

FLOATS = ("float32", "float16", "bfloat16", "float64")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
DTYPES = (*FLOATS, *INTEGERS, "bool")
"""Types that an input may have, as torch calls them."""
WRITTEN = re.compile(r"(?:(?P<name>[^=:\s]+)=)?(?P<shape>\d+(?:x\d+)*)(?::(?P<dtype>\w+))?")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One example input.

    Attributes:
        shape: With the batch first.
        dtype: A member of `DTYPES`.
        name: Argument of the model's forward, "" for an input by position.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    name: str = ""

    def __str__(self) -> str:
        """As `read_input` reads it: input_ids=2x16:int64."""
        name = f"{self.name}=" if self.name else ""
        dtype = "" if self.dtype == "float32" else f":{self.dtype}"
        return f"{name}{'x'.join(map(str, self.shape))}{dtype}"


def read_input(text: str) -> InputSpec:
    """Read 2x3x224x224, 2x16:int64 or input_ids=2x16:int64; raises ValueError with what is wrong."""
    found = WRITTEN.fullmatch(text.strip().replace("×", "x").replace("X", "x"))
    shape = tuple(int(part) for part in found["shape"].split("x")) if found else ()
    if found is None or min(shape) < 1:
        raise ValueError(f"{text!r} is not an input; write it with the batch first, like 1x3x224x224 or ids=2x16:int64")
    dtype = found["dtype"] or "float32"
    if dtype not in DTYPES:
        raise ValueError(f"{dtype!r} is not a type of inputs; write one of {', '.join(DTYPES)}")
    if found["name"] and not found["name"].isidentifier():
        raise ValueError(f"{found['name']!r} is not the name of an argument; write it like input_ids=2x16:int64")
    return InputSpec(shape, dtype, found["name"] or "")


MODEL_INPUT = Notation(read_input, example="1x3x224x224")


def check_inputs(inputs: tuple[InputSpec, ...]) -> None:
    """Raise ValueError where inputs cannot be made or do not go together, as in a file that somebody has written."""
    for one in inputs:
        if not one.shape or one.dtype not in DTYPES:
            raise ValueError(f"{one} has no shape, or a type that is none of {', '.join(DTYPES)}; enter both")
    names = [one.name for one in inputs]
    if any(names) and not all(names):
        raise ValueError("some inputs have names and others have none; name all of them, or none")
    if any(names) and len(set(names)) < len(names):
        raise ValueError("two inputs have the same name; name each one once")

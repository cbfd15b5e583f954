"""Names of fused blocks in a runtime's profile: "block12.3" is the fourth node of block 12."""

import re

VERSION = 2
"""Of these names: what was measured under others does not fit."""
_BEFORE = "before "
"""How a runtime that runs modules calls what lies between the one before and a module."""
_NAME = re.compile(r"block\d+(?=\.)")


def block_name(number: int, part: int) -> str:
    """The name of a node of a block."""
    return f"block{number}.{part}"


def block_of(name: str) -> str:
    """The block that a runtime's name for something means ("block12"); the name itself where it means none."""
    found = _NAME.search(name)
    return found.group() if found else name


def is_block(name: str) -> bool:
    """Whether a runtime's name for something means a block of a file, and not something that the runtime added."""
    return _NAME.search(name) is not None


def module_of(name: str) -> str:
    """The module that a runtime of modules means by a name: "layer1.0.conv1 1" is its first call."""
    return name.removeprefix(_BEFORE).rpartition(" ")[0]

"""Tells the code of a model from that of torch, Python and this program."""

import dis
import os
import sysconfig
from functools import cache
from pathlib import Path
from types import CodeType

import torch

TORCH = os.path.join(os.path.dirname(torch.__file__), "")
OURS = os.path.join(str(Path(__file__).resolve().parents[1]), "")
STDLIB = os.path.join(sysconfig.get_path("stdlib"), "")
PACKAGES = ("site-packages", "dist-packages")


@cache
def is_model_code(code: CodeType) -> bool:
    """Whether a function is of a model or a library of models."""
    file = code.co_filename
    if file.startswith("<frozen"):
        return False
    file = os.path.realpath(file) if not file.startswith("<") else file
    if file.startswith((TORCH, OURS)):
        return False
    return not file.startswith(STDLIB) or any(f"{os.sep}{name}{os.sep}" in file for name in PACKAGES)


@cache
def compares_numbers(code: CodeType) -> bool:
    """Whether a function is of a model and compares something."""
    return is_model_code(code) and any(one.opname == "COMPARE_OP" for one in dis.get_instructions(code))

"""Names methods that the forward does not use and that hold a size which was cut: `sample` of an autoencoder.

No run of the model shows what they compute, and to call them on a guess could write files or train the model. So they
are found by their code alone, and what is found is for the user to look at: a size in it may also be another one.
"""

import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any, cast

from torch import nn

from ...errors import Message
from ...messages import Phrase, all_of, module_named
from ...runtime.load_pruned import StandIn, own_class
from ...structures.transition import Transition
from ...tracing.attribute_reads import AttributeReads, is_model_code
from ...tracing.tree import modules_of
from ..repair.candidates import AxisSizes

SMALL = 8
"""Numbers below this in code count too many other things."""


def name_other_methods(cut_model: nn.Module, transition: Transition, reads: AttributeReads | None) -> list[Phrase]:
    """Methods with attributes or numbers that are a size which was cut and still have the value from before.

    Args:
        cut_model: The model after the cut.
        transition: What the cut changed.
        reads: Attributes that the forward read: the repairs have seen to these.
    """
    sizes, found = AxisSizes(transition), list[Phrase]()
    named = set[tuple[type, str]]()
    for path, module in modules_of(cut_model).items():
        kind = own_class(module)
        if isinstance(module, StandIn) or kind.__module__.startswith("torch."):
            continue
        held = sizes.attributes(cut_model, path, every=True)
        unread = [name for name in held if reads is None or not reads.has(path, name)]
        for method, codes in _methods_beside_forward(kind):
            if (kind, method) in named:
                continue
            mentioned = _names(codes)
            attributes = [name for name in unread if mentioned.issuperset(name.split("."))]
            written = [one for code in codes for one in _numbers(code.co_consts)]
            numbers = [str(one) for one in written if one >= SMALL and sizes.changes(path, one)]
            if attributes or numbers:
                named.add((kind, method))
                words = {"kind": kind.__name__, "method": method, "path": module_named(path)}
                words |= {"names": all_of(dict.fromkeys([*attributes, *numbers]))}
                template = "{kind}.{method} of {path}, which the forward does not use (may mean the old size: {names})"
                found.append(Message("verify.other_method", template, words))
    return found


def _methods_beside_forward(kind: type) -> Iterator[tuple[str, list[CodeType]]]:
    """Public methods of a class that its forward reaches by no name, with their code and that of functions in them.

    Of the classes that it inherits from only those of its own file count: what a library gives every model is tested
    with models of any size.
    """
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    methods: dict[str, list[CodeType]] = {}
    for one in kind.__mro__:
        if getattr(sys.modules.get(one.__module__), "__file__", None) != file or one.__module__ != kind.__module__:
            continue
        for name, value in vars(one).items():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if isinstance(function, FunctionType) and name not in methods and is_model_code(function.__code__):
                methods[name] = list(_with_inner(function.__code__))
    used, waiting = set[str](), ["forward"]
    while waiting:
        name = waiting.pop()
        if name in methods and name not in used:
            used.add(name)
            waiting += _names(methods[name])
    for name, codes in methods.items():
        if name not in used and not name.startswith(("_", "forward_")):
            yield name, codes


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _with_inner(one)


def _numbers(constants: tuple[Any, ...]) -> Iterator[int]:
    for one in constants:
        if isinstance(one, tuple):
            yield from _numbers(cast("tuple[Any, ...]", one))
        elif type(one) is int:
            yield one


def _names(codes: list[CodeType]) -> set[str]:
    return {name for code in codes for name in code.co_names}

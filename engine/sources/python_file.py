"""Source `path/to/file.py:callable`: a function, a class or a module in the user's own file."""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from ..errors import OpenError, SecateurError
from ..foreign_code.consent import Consent
from ..foreign_code.import_file import failing_line, import_file
from ..foreign_code.sys_path import import_places, package_root
from ..jobs import CancelToken
from ..storage.paths import Change, relative_to
from ..text.python_code import called, identifier, is_identifier, quoted
from .build_model import Origin, open_origin
from .protocol import PYTHON_FILE, FactoryCode, ModelSpec, SourceModel

DEFAULT = "model"
"""The callable that is looked for where none is named."""


class PythonFile:
    """`path/to/file.py:callable`; without a callable, `model`."""

    def matches(self, source: str) -> bool:
        """True for a path that ends in .py, with or without a name behind a colon."""
        return PYTHON_FILE.fullmatch(source) is not None

    def open(self, spec: ModelSpec, token: CancelToken, consent: Consent) -> SourceModel:
        """Import the file and build the model."""
        file, name = parse(spec.source)
        module = import_file(file, consent, afresh=True, download=spec.download)
        target = _resolve(module, name, file)
        label = f"{file.name}:{name}"
        try:
            return open_origin(Origin(make=target, name=label), spec, token)
        except OpenError as error:
            raise _located(error, file) from error

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """Imports from the user's own folder."""
        file, name = parse(spec.source)
        top, *rest = map(identifier, name.split("."))
        target = ".".join(["found", *rest])
        first, last = import_places(file.absolute())
        parts = file.absolute().relative_to(package_root(file.absolute())).with_suffix("").parts
        if all(map(is_identifier, parts)):
            found = f"from {'.'.join(parts)} import {top} as found"
        elif "." in parts[-1]:  # no statement finds a.b.py, and neither does import_module: it looks for a package a
            place = _seen([str(file.absolute())], relative_to(folder)).strip("[]")
            name = quoted(".".join((*parts[:-1], parts[-1].replace(".", "_"))))
            found = (
                f"import importlib.util\n\nspec = importlib.util.spec_from_file_location({name}, {place})\n"
                "module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)\n"
                f"spec.loader.exec_module(module)\nfound = module.{top}"
            )
        else:  # my-net.py has a name that no statement can hold
            found = f"import importlib\n\nfound = importlib.import_module({quoted('.'.join(parts))}).{top}"
        change, call = relative_to(folder), called("made", **spec.arguments)
        return FactoryCode(
            f"sys.path[:0] = {_seen(first, change)}  # where the model's own code lies\n"
            + (f"sys.path += {_seen(last, change)}\n" if last else "")
            + f"{found}\n\n\n"
            f"def make_model():\n    made = {target}\n"
            f"    return made if hasattr(made, 'state_dict') and not isinstance(made, type) else {call}"
        )


def _seen(places: list[str], change: Change) -> str:
    """Places as Python, from the variable `folder` on."""
    changed = (change(place) for place in places)
    words = (quoted(one) if Path(one).is_absolute() else "folder + " + quoted("/" + one) for one in changed)
    return f"[{', '.join(words)}]"


def parse(source: str) -> tuple[Path, str]:
    """File and callable of a source; a drive letter's colon is part of the file."""
    found = PYTHON_FILE.fullmatch(source)
    if found is None:
        raise OpenError(
            "source.python_path", "{source!r} does not have the form path/to/file.py:callable.", source=source
        )
    return Path(found["file"]).expanduser(), found["name"] or DEFAULT


def _resolve(module: ModuleType, name: str, file: Path) -> Callable[..., Any] | nn.Module:
    target: Any = module
    for part in name.split("."):
        target = getattr(target, part, None)
    if isinstance(target, nn.Module) or callable(target):
        return target
    offers = _offers(module)
    if not offers:
        template = (
            "{file} has no callable {name!r} that builds a model, nor anything else that could. Name another file."
        )
        raise OpenError("source.nothing_callable", template, file=str(file), name=name)
    template = "{file} has no callable {name!r} that builds a model. Choose one of: {offers}."
    raise OpenError("source.no_callable", template, file=str(file), name=name, offers=", ".join(offers))


def _offers(module: ModuleType) -> list[str]:
    """Names of the module's own functions, module classes and modules."""

    def own(value: Any) -> bool:
        if isinstance(value, nn.Module):
            return True
        made_here = getattr(value, "__module__", None) == module.__name__
        return made_here and (inspect.isfunction(value) or (inspect.isclass(value) and issubclass(value, nn.Module)))

    return [name for name, value in vars(module).items() if not name.startswith("_") and own(value)]


def _located(error: OpenError, file: Path) -> SecateurError:
    """Say in which line of the user's code a build failed."""
    if error.message.code != "source.build_failed" or error.__cause__ is None:
        return error
    place, line = failing_line(error.__cause__, file.absolute().parent)
    if not line:
        return error
    return OpenError(
        "source.failing_line",
        "{file}, line {line}: {kind}: {error}",
        error.details,
        **{**error.message.arguments, "file": place, "line": line},
    )

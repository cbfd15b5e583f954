"""A model of the user's own: `path/to/file.py:callable`, the callable being a function, a class or a module itself."""

import inspect
import keyword
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from ..errors import OpenError, SecateurError
from ..jobs import CancelToken
from ..session.paths import Change, relative_to
from .build import Origin, opened
from .import_path import import_places, package_root
from .protocol import FactoryCode, ModelSpec, Opened
from .user_code import failing_line, import_file

PATTERN = re.compile(r"(?P<file>.+\.py)(?::(?P<name>[^:\\/]*))?")
DEFAULT = "model"
"""The callable that is looked for where none is named."""


class PythonFile:
    """`path/to/file.py:callable`; without a callable, `model`."""

    def matches(self, source: str) -> bool:
        """True for a path that ends in .py, with or without a name behind a colon."""
        return PATTERN.fullmatch(source) is not None

    def open(self, spec: ModelSpec, token: CancelToken) -> Opened:
        """Import the file and build the model."""
        file, name = parse(spec.source)
        module = import_file(file, afresh=True)
        target = _resolve(module, name, file)
        label = f"{file.name}:{name}"
        try:
            return opened(Origin(make=target, name=label), spec, token)
        except OpenError as error:
            raise _located(error, file) from error

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """Imports from the user's own folder."""
        file, name = parse(spec.source)
        top, *rest = name.split(".")
        target = ".".join(["found", *rest])
        words = ", ".join(f"{key}={value!r}" for key, value in spec.arguments.items())
        first, last = import_places(file.absolute())
        module = ".".join(file.absolute().relative_to(package_root(file.absolute())).with_suffix("").parts)
        change = relative_to(folder)
        return FactoryCode(
            f"sys.path[:0] = {_seen(first, change)}  # where the model's own code lies\n"
            + (f"sys.path += {_seen(last, change)}\n" if last else "")
            + f"{_import(module, top)}\n\n\n"
            f"def make_model():\n    made = {target}\n"
            f"    return made if hasattr(made, 'state_dict') and not isinstance(made, type) else made({words})"
        )


def _import(module: str, name: str) -> str:
    """The import of a name of a module as `found`; that of a file such as `my-net.py` cannot be said by `import`."""
    if all(part.isidentifier() and not keyword.iskeyword(part) for part in module.split(".")):
        return f"from {module} import {name} as found"
    return f"import importlib\n\nfound = importlib.import_module({module!r}).{name}"


def _seen(places: list[str], change: Change) -> str:
    """Places as Python, from the variable `folder` on."""
    changed = (change(place) for place in places)
    words = (repr(one) if Path(one).is_absolute() else "folder + " + repr("/" + one) for one in changed)
    return f"[{', '.join(words)}]"


def parse(source: str) -> tuple[Path, str]:
    """File and callable of a source; a drive letter's colon is part of the file."""
    found = PATTERN.fullmatch(source)
    if found is None:
        raise OpenError("source.python_path", "{source!r} is not of the form path/to/file.py:callable.", source=source)
    return Path(found["file"]).expanduser(), found["name"] or DEFAULT


def _resolve(module: ModuleType, name: str, file: Path) -> Callable[..., Any] | nn.Module:
    target: Any = module
    for part in name.split("."):
        target = getattr(target, part, None)
    if isinstance(target, nn.Module) or callable(target):
        return target
    template, offers = "{file} has no callable {name!r} that makes a model. It offers: {offers}.", _offers(module)
    if not offers:
        template = "{file} has no callable {name!r} that makes a model, and nothing that could be one."
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
        "source.build_failed",
        "{file}, line {line}: {kind}: {error}",
        error.details,
        **{**error.message.arguments, "file": place, "line": line},
    )

"""Import a Python file of the user's, with its own neighbours importable under their own names.

The one place where foreign code is imported: a file that no consent covers is refused, and so is all but Python source,
which a person can read. Errors of any kind, a `sys.exit` included, become a sentence with the file and the line.
"""

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from ..errors import OpenError, SecateurError
from ..text.format import byte_size
from .consent import Consent, real_path
from .network import no_downloads
from .read_code import importing
from .sys_path import LARGEST, SOURCE, SourceLoader, enter, origin, package_root


def import_file(
    path: str | Path,
    consent: Consent,
    error: type[SecateurError] = OpenError,
    afresh: bool = False,
    download: bool = True,
) -> ModuleType:
    """Execute a Python file and return its module.

    Args:
        path: The file. In a package (an `__init__.py` beside it) its relative imports work too.
        consent: What may be imported.
        error: What to raise, with the file, the line and the cause in a sentence.
        afresh: The file begins a project: modules of the one before are forgotten, its own are read again.
        download: It may fetch from the network.

    Raises:
        OpenError: No consent covers it ("source.code").
    """
    file = Path(path).expanduser().absolute()
    consent.require([str(file)], file)
    if not file.is_file():
        raise error("source.no_file", "File {path} does not exist. Check the path.", path=str(path))
    if file.suffix != SOURCE:
        template = "{path} is not Python source, so it cannot be read before it is trusted. Name a {ending} file."
        raise error("source.not_python", template, path=str(path), ending=SOURCE)
    if (size := file.stat().st_size) > LARGEST:
        template = "{path} has {size}; a Python file may have at most {most}. Name the file that builds the model."
        raise error("source.large", template, path=str(path), size=byte_size(size), most=byte_size(LARGEST))
    root = package_root(file)
    enter(file, afresh)
    try:
        with importing(real_path(file), consent.contents), no_downloads(file.name, download):
            *folders, stem = file.relative_to(root).with_suffix("").parts
            if folders and "." not in stem:
                name = ".".join(folders if stem == "__init__" else (*folders, stem))
                sys.modules.pop(name, None)  # executed anew, also when it was imported before
                module = importlib.import_module(name)
                if origin(module) != file:
                    raise ImportError(
                        f"{name} is an installed package ({origin(module)}): rename the folder {folders[0]}"
                    )
                return module
            if folders:  # a.b.py in a package: its relative imports are those of a module of that package
                importlib.import_module(".".join(folders))
            name = ".".join((*folders, stem.replace(".", "_")))
            name = name if folders or name not in sys.modules else f"user_{name}"
            spec = importlib.util.spec_from_file_location(name, file, loader=SourceLoader(name, str(file)))
            if spec is None or spec.loader is None:
                raise ImportError(f"{file.name} is not a Python file")
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module  # so that its classes can be found again by name
            try:
                spec.loader.exec_module(module)
            except BaseException:
                sys.modules.pop(name, None)
                raise
            return module
    except SecateurError:
        raise
    except (Exception, SystemExit) as cause:
        place, line = failing_line(cause, root)
        reason = cause.msg if isinstance(cause, SyntaxError) else str(cause)
        raise error(
            "source.python",
            "{file}, line {line}: {kind}: {reason}",
            "".join(traceback.format_exception(cause)),
            file=place or str(file),
            line=line,
            kind=type(cause).__name__,
            reason=reason,
        ) from cause


def failing_line(cause: BaseException, root: Path) -> tuple[str, int]:
    """File and line of the last frame of a traceback that lies under `root`; ("", 0) when none does."""
    if isinstance(cause, SyntaxError) and cause.filename:
        return cause.filename, cause.lineno or 0
    frames = [f for f in traceback.extract_tb(cause.__traceback__) if Path(f.filename).is_relative_to(root)]
    return (frames[-1].filename, frames[-1].lineno or 0) if frames else ("", 0)

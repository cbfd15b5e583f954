"""The gate: nothing of a stranger's runs unless the user said so.

`user_code.import_file`, through which all foreign code is imported, takes a `Consent` and refuses files that it does
not cover. What the user names in this run (an argument, a dialog, a line of Python) is consent to that very code
(`by_hand`). What a file names (a recipe, a project, a bundle, an export, a session) needs that file's seal: a keyed
hash of what will be run, by a key in this user's home. Without it the user is asked (`--trust-code`, a dialog).
"""

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OpenError
from ..phrases import Phrase, all_of
from ..tasks.protocol import TaskSpec
from .protocol import PYTHON_FILE, ModelSpec

Named = ModelSpec | TaskSpec | str | None
"""What names code: a model, a task, or a model's source."""


@dataclass(frozen=True, slots=True)
class Consent:
    """What of foreign code may run.

    Attributes:
        files: Python files, absolute, symbolic links resolved; with each, what it imports.
        everything: The user trusts whatever is named (`--trust-code`, the window's dialog).
    """

    files: frozenset[str] = frozenset()
    everything: bool = False

    def __or__(self, other: "Consent") -> "Consent":
        """What either covers."""
        return Consent(self.files | other.files, self.everything or other.everything)

    def covers(self, file: str | Path) -> bool:
        """Whether a Python file may be imported."""
        return self.everything or _real(file) in self.files

    def require(self, files: Iterable[str], named_in: Phrase | Path) -> None:
        """Raise OpenError ("source.code") for files that may not be imported.

        Args:
            files: What will be imported.
            named_in: What names them, for the sentence.
        """
        if missing := [file for file in dict.fromkeys(files) if not self.covers(file)]:
            raise OpenError(
                "source.code",
                "{folder} was made elsewhere, or moved, and opening it runs {files}, and what is imported there. "
                "If you trust that code, allow it.",
                folder=str(named_in) if isinstance(named_in, Path) else named_in,
                files=all_of(missing),
            )


NO_CONSENT = Consent()
FULL_CONSENT = Consent(everything=True)


def by_hand(*named: Named) -> Consent:
    """Consent to what the user named in this run."""
    return Consent(frozenset(map(_real, code_of(*named))))


def code_of(*named: Named) -> list[str]:
    """The Python files that opening something imports, absolute; of an export or a project only itself knows."""
    found: list[str] = []
    for one in named:
        match one:
            case ModelSpec():
                found += code_of(one.source, one.task)
            case TaskSpec():
                found += [_absolute(one.path)] if one.kind == "file" else []
            case str():
                python = PYTHON_FILE.fullmatch(one)
                found += [_absolute(python["file"])] if python else []
            case None:
                pass
    return found


def require_consent(spec: ModelSpec, sealed: str, folder: Path, trusted: bool) -> Consent:
    """Consent to what a folder or file names, by its seal or by the user; raises OpenError without either.

    Args:
        spec: What it names, paths absolute.
        sealed: The seal that it carries, "" for none.
        folder: For the sentence.
        trusted: The user consented.
    """
    consent = FULL_CONSENT if trusted else by_hand(spec) if is_sealed(sealed, seal(spec)) else NO_CONSENT
    consent.require(code_of(spec), folder)
    return consent


def seal(spec: ModelSpec) -> str:
    """What a folder made by this user is known by again; "" where the user has no home to keep a key in.

    Args:
        spec: What opening the folder will run, paths absolute.
    """
    return seal_of([spec.source, sorted(spec.arguments.items()), *code_of(spec)])


def seal_of(content: Any) -> str:
    """The keyed hash of plain data; "" without a key."""
    key = _key()
    return hmac.new(key, json.dumps(content, default=str).encode(), hashlib.sha256).hexdigest() if key else ""


def is_sealed(carried: str, expected: str) -> bool:
    """Whether a seal that a file carries is this user's."""
    return bool(carried) and bool(expected) and hmac.compare_digest(carried.encode(), expected.encode())


def _absolute(file: str) -> str:
    return os.path.abspath(Path(file).expanduser())


def _real(file: str | Path) -> str:
    return os.path.realpath(Path(file).expanduser())


def _key() -> bytes:
    """This user's key, made when it is first needed; empty where it can be neither read nor written."""
    state = os.environ.get("XDG_STATE_HOME")
    try:
        path = (Path(state) if state else Path.home() / ".local" / "state") / "secateur" / "key"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _put(secrets.token_bytes(32), path)
        return path.read_bytes()
    except (OSError, RuntimeError):
        return b""


def _put(key: bytes, path: Path) -> None:
    """Whole or not at all, for this user's eyes; where another process was first, its key stays."""
    made, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(made, "wb") as file:
        file.write(key)
    try:
        os.link(name, path)
    except FileExistsError:
        pass
    except OSError:  # a disk without hard links
        os.replace(name, path)
    Path(name).unlink(missing_ok=True)

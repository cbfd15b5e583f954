"""The gate: nothing of a stranger's runs unless the user said so.

`user_code.import_file`, through which all foreign code is imported, takes a `Consent` and refuses files that it does
not cover. Where consent comes from, `named_code.py` says: from what the user names in this run, or from the seal that a
file carries, a keyed hash by a key in this user's home.
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
from ..messages import Phrase, all_of


@dataclass(frozen=True, slots=True)
class Consent:
    """What of foreign code may run.

    Attributes:
        files: Python files, absolute, symbolic links resolved; with each, what it imports.
        sources: Names that the user typed and that only the network can resolve ("hf:org/name").
        everything: The user trusts whatever is named (`--trust-code`, the window's dialog).
    """

    files: frozenset[str] = frozenset()
    everything: bool = False
    sources: frozenset[str] = frozenset()

    def __or__(self, other: "Consent") -> "Consent":
        """What either covers."""
        return Consent(self.files | other.files, self.everything or other.everything, self.sources | other.sources)

    def names(self, source: str) -> bool:
        """Whether the user named a source by hand, so that the network may be asked about it."""
        return self.everything or source in self.sources

    def covers(self, file: str | Path) -> bool:
        """Whether a Python file may be imported."""
        return self.everything or real_path(file) in self.files

    def require(self, files: Iterable[str], named_in: Phrase | Path) -> None:
        """Raise OpenError ("source.code") for files that may not be imported.

        Args:
            files: What will be imported.
            named_in: What names them, for the sentence.
        """
        if missing := [file for file in dict.fromkeys(files) if not self.covers(file)]:
            raise OpenError(
                "source.code",
                "{folder} was made elsewhere or moved. Opening it runs {files} and everything they import. Allow that "
                "only if you trust the code.",
                folder=str(named_in) if isinstance(named_in, Path) else named_in,
                files=all_of(missing),
            )


def consent_to(files: Iterable[str | Path]) -> Consent:
    """Consent to these Python files."""
    return Consent(frozenset(map(real_path, files)))


NO_CONSENT = Consent()
FULL_CONSENT = Consent(everything=True)


def seal_of(content: Any) -> str:
    """The keyed hash of plain data; "" without a key."""
    key = _key()
    return hmac.new(key, json.dumps(content, default=str).encode(), hashlib.sha256).hexdigest() if key else ""


def is_sealed(carried: str, expected: str) -> bool:
    """Whether a seal that a file carries is this user's."""
    return bool(carried) and bool(expected) and hmac.compare_digest(carried.encode(), expected.encode())


def real_path(file: str | Path) -> str:
    """Absolute, symbolic links resolved."""
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

"""Consent to run the Python files that an export or a project names.

Opening such a folder imports the model's file, and its task.py: code of whoever made the folder. What this user made on
this machine carries a seal, a keyed hash of what will be run, by a key that stays in the user's home; it opens as ever.
Any other folder, a moved one too, asks first.
"""

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from pathlib import Path

from ..errors import OpenError
from ..phrases import all_of
from .protocol import ModelSpec


def seal(spec: ModelSpec) -> str:
    """What a folder made by this user is known by again; "" where the user has no home to keep a key in.

    Args:
        spec: What opening the folder will run, paths absolute.
    """
    key = _key()
    told = json.dumps([spec.source, sorted(spec.arguments.items()), *_files(spec)], default=str)
    return hmac.new(key, told.encode(), hashlib.sha256).hexdigest() if key else ""


def require_consent(spec: ModelSpec, sealed: str, folder: Path, trusted: bool) -> None:
    """Raise OpenError when opening `folder` would run files that nobody vouched for.

    Args:
        spec: What it names, paths absolute.
        sealed: The seal that it carries, "" for none.
        folder: For the sentence.
        trusted: The user consented.
    """
    files = _files(spec)
    if trusted or not files or (sealed and hmac.compare_digest(sealed, seal(spec))):
        return
    raise OpenError(
        "source.code",
        "{folder} was made elsewhere, or moved, and opening it runs {files}. If you trust that code, allow it.",
        folder=str(folder),
        files=all_of(files),
    )


def _files(spec: ModelSpec) -> list[str]:
    """The Python files that opening `spec` runs."""
    source = spec.source if spec.source.endswith(".py") else spec.source.rpartition(":")[0]
    task = spec.task.path if spec.task is not None and spec.task.kind == "file" else ""
    return [file for file in (source, task) if file.endswith(".py")]


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

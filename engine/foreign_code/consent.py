"""The gate: nothing of a stranger's runs unless the user said so.

`import_file`, through which all foreign code is imported, takes a `Consent` and refuses files that it does not cover.
Where consent comes from, `named_code.py` says: from what the user names in this run, or from the seal that a file
carries. That is a list of the code that the user allowed, with the sha256 of each file as it was read, behind a keyed
hash by a key in this user's home. Code that was changed since is asked about again before it runs.
"""

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import OpenError
from ..messages import Phrase, all_of
from .read_code import ANY, asked, changed_code, content_as_read, digest_of, imported_with
from .sys_path import own_modules

HASH = 64
"""Characters of a keyed hash, at the begin of a seal."""
UNRECORDED = "unrecorded"
"""In the place of a digest: a version that recorded none has sealed the file."""


@dataclass(frozen=True, slots=True)
class Consent:
    """What of foreign code may run.

    Attributes:
        files: Python files, absolute, symbolic links resolved -> sha256 of what the user consented to, or `ANY`: as it
            is when it is read, with whatever it imports. Those with a sha256 are named with all that they import.
        sources: Names that the user typed and that only the network can resolve ("hf:org/name").
        everything: The user trusts whatever is named (`--trust-code`, the window's dialog).
    """

    files: dict[str, str] = field(default_factory=dict[str, str])
    everything: bool = False
    sources: frozenset[str] = frozenset()

    def __or__(self, other: "Consent") -> "Consent":
        """What either covers."""
        files = dict(self.files)
        for file, content in other.files.items():
            if files.get(file) != ANY and (content != UNRECORDED or file not in files):
                files[file] = content
        return Consent(files, self.everything or other.everything, self.sources | other.sources)

    @property
    def contents(self) -> Mapping[str, str]:
        """File -> sha256 that it has to have; a user who trusts everything does so by what the question was about."""
        return asked if self.everything else self.files

    def names(self, source: str) -> bool:
        """Whether the user named a source by hand, so that the network may be asked about it."""
        return self.everything or source in self.sources

    def covers(self, file: str | Path) -> bool:
        """Whether the user has consented to a Python file, whatever is in it by now."""
        return self.everything or real_path(file) in self.files

    def changed(self, files: Iterable[str]) -> list[str]:
        """Of some files and of what they import: those that are not as they were when the user consented to them."""
        known = self.contents
        closed = [file for file in files if known.get(real_path(file), ANY) != ANY]
        return [path for path in code_with_imports(closed) if known.get(path) not in (ANY, digest_of(path))]

    def require(self, files: Iterable[str], named_in: Phrase | Path) -> None:
        """Raise OpenError ("source.code", "source.changed_code") for files that may not be imported as they are.

        Args:
            files: What will be imported.
            named_in: What names them, for the sentence.
        """
        files = [*dict.fromkeys(files)]
        missing = [file for file in files if not self.covers(file)]
        changed = [] if missing else self.changed(files)
        if missing or changed:
            asked.update({path: digest_of(path) for path in code_with_imports(files)})
        if changed:
            raise changed_code(changed)
        if missing:
            raise OpenError(
                "source.code",
                "{folder} was made elsewhere or moved. Opening it runs {files} and everything they import. Allow that "
                "only if you trust the code.",
                folder=str(named_in) if isinstance(named_in, Path) else named_in,
                files=all_of(missing),
            )


def consent_to(files: Iterable[str | Path]) -> Consent:
    """Consent to these Python files as they are now, with whatever they import."""
    return Consent(dict.fromkeys(map(real_path, files), ANY))


NO_CONSENT = Consent()
FULL_CONSENT = Consent(everything=True)


def code_with_imports(files: Iterable[str]) -> list[str]:
    """Files with those of their own projects that they import, as far as that can be told without running them."""
    found = dict[str, None]()
    for file in files:
        modules = own_modules(Path(os.path.abspath(file))) if os.path.isfile(file) else {}
        found |= dict.fromkeys(map(real_path, (file, *modules)))
    return [*found]


def require_as_read(code: Iterable[str]) -> None:
    """Raise OpenError where code is by now another one than ran here: another process is about to run it."""
    if changed := [path for path in code_with_imports(code) if content_as_read(path) != digest_of(path)]:
        raise changed_code(changed)


def seal_of(content: Any, code: Sequence[str] = ()) -> str:
    """The seal of plain data, and of code as it ran here; "" without a key.

    Args:
        content: What names the code.
        code: Files that are run, absolute; what they import is listed with them.
    """
    files = code_with_imports(code)
    files += [path for file in code for path in imported_with(real_path(file)) if path not in files]
    if not files:
        return _keyed_hash(content)
    listed = {_seen_from(code[0], path): content_as_read(path) for path in files}
    found = _keyed_hash([content, listed])
    return found and found + json.dumps(listed)


def consent_by(seal: str, content: Any, code: Sequence[str] = ()) -> Consent | None:
    """What this user's seal consents to: the code that it lists. None where the seal is not this user's.

    Args:
        seal: As a file carries it.
        content: What names the code now.
        code: Files that would be run, absolute.
    """
    if not code or len(seal) == HASH:  # versions before sealed the names of the code alone
        listed = dict.fromkeys(map(real_path, code), UNRECORDED)
        return Consent(listed) if is_sealed(seal, _keyed_hash(content)) else None
    import msgspec  # not needed to show the window

    try:
        listed = msgspec.json.decode(seal[HASH:], type=dict[str, str])
    except (msgspec.DecodeError, ValueError):
        return None
    if not is_sealed(seal[:HASH], _keyed_hash([content, listed])):
        return None
    base = os.path.dirname(real_path(code[0]))
    return Consent({os.path.normpath(os.path.join(base, path)): digest for path, digest in listed.items()})


def is_sealed(carried: str, expected: str) -> bool:
    """Whether a seal that a file carries is this user's."""
    return bool(carried) and bool(expected) and hmac.compare_digest(carried.encode(), expected.encode())


def _keyed_hash(content: Any) -> str:
    # This user's key, made when it is first needed; empty where it can be neither read nor written.
    state = os.environ.get("XDG_STATE_HOME")
    try:
        path = (Path(state) if state else Path.home() / ".local" / "state") / "secateur" / "key"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Whole or not at all, for this user's eyes; where another process was first, its key stays.
            key = secrets.token_bytes(32)
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
        key = path.read_bytes()
    except (OSError, RuntimeError):
        key = b""
    return hmac.new(key, json.dumps(content, default=str).encode(), hashlib.sha256).hexdigest() if key else ""


def _seen_from(first: str, path: str) -> str:
    """A path as a seal names it: from the folder of the first file, so that it tells nothing of where that lies."""
    try:
        return Path(os.path.relpath(path, os.path.dirname(real_path(first)))).as_posix()
    except ValueError:  # another drive
        return Path(path).as_posix()


def real_path(file: str | Path) -> str:
    """Absolute, symbolic links resolved."""
    return os.path.realpath(Path(file).expanduser())

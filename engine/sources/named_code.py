"""Finds the Python files that a model, task or recipe names, and the consent to run them.

What the user names in this run (an argument, a dialog, a line of Python) is consent to that very code (`by_hand`).
What a file names (a recipe, a project, a bundle, an export, a session) needs that file's seal (`require_consent`).
Without it the user is asked (`--trust-code`, a dialog).
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..foreign_code.consent import FULL_CONSENT, NO_CONSENT, Consent, consent_by, consent_to, seal_of
from ..tasks.protocol import TaskSpec
from .protocol import DESCRIPTION, PYTHON_FILE, ModelSpec

REPOSITORY = "hf:"
"""Begins the name of a repository on the Hugging Face Hub."""
CodeOwner = ModelSpec | TaskSpec | str | None
"""What names code: a model, a task, or a model's source."""


def by_hand(*named: CodeOwner) -> Consent:
    """Consent to what the user named in this run."""
    sources = (one.source if isinstance(one, ModelSpec) else one for one in named)
    repositories = frozenset(one for one in sources if isinstance(one, str) and one.startswith(REPOSITORY))
    return replace(consent_to(code_of(*named)), sources=repositories)


def code_of(*named: CodeOwner) -> list[str]:
    """The files that opening something runs, absolute; of an export or a project only itself knows."""
    found: list[str] = []
    for one in named:
        match one:
            case ModelSpec():
                found += code_of(one.source, one.task)
            case TaskSpec():
                found += one.code
            case str():
                python = PYTHON_FILE.fullmatch(one)
                found += [_absolute(python["file"])] if python else []
                found += [_absolute(one)] if one.lower().endswith(DESCRIPTION) and os.path.isfile(one) else []
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
    consent = FULL_CONSENT if trusted else sealed_consent(sealed, spec) or NO_CONSENT
    consent.require(code_of(spec), folder)
    return consent


def seal(spec: ModelSpec) -> str:
    """What a folder made by this user is known by again; "" where the user has no home to keep a key in.

    Args:
        spec: What opening the folder will run, paths absolute.
    """
    return seal_of(_named_by(spec), runs(spec))


def sealed_consent(carried: str, spec: ModelSpec) -> Consent | None:
    """Consent to the code of `spec` as it was when this user sealed it; None where the seal is not this user's."""
    return consent_by(carried, _named_by(spec), runs(spec))


def runs(spec: ModelSpec) -> list[str]:
    """The files that opening something runs: its code, and its checkpoint where the user let that run as a pickle."""
    return [*code_of(spec), *([_absolute(spec.weights)] if spec.trust_pickle and spec.weights else [])]


def _named_by(spec: ModelSpec) -> list[Any]:
    return [spec.source, sorted(spec.arguments.items()), *code_of(spec)]


def _absolute(file: str) -> str:
    return os.path.abspath(Path(file).expanduser())

"""Writes a bundle: one .zip with recipe, plan, metrics, environment, structures and report; weights if wanted, no data.

`session.bundle_file` reads it.
"""

import hashlib
import time
import zipfile
from pathlib import Path

from ..jobs import CancelToken, Job, NeverCancelled, Progress, check
from ..recipes.recipe import recipe_bytes
from ..recipes.script import script_of
from ..recipes.steps import Recipe
from ..session.bundle_file import (
    HISTORY,
    MANIFEST,
    PIECE,
    RECIPE,
    REPORT,
    SCHEMA,
    SCRIPT,
    Manifest,
    Member,
    Written,
    weights_progress,
)
from ..session.state_history import StateHistory
from ..session.state_text import model_name
from ..session.structures_file import STRUCTURES
from ..storage.atomic_files import not_written, staged_write
from ..storage.file_limits import damaged_weights
from ..storage.serialization import to_json
from .anonymise import strip_history, strip_recipe
from .report import report_of, this_machine

NEVER = NeverCancelled()


def write_bundle(
    path: Path,
    history: StateHistory,
    recipe: Recipe,
    state: str,
    structures: bytes,
    weights: Path | None = None,
    token: CancelToken = NEVER,
) -> Job[Path]:
    """Write a bundle atomically; returns the path. Cancelled, nothing is there.

    Args:
        path: The .zip.
        history: Of the session.
        recipe: Of the state.
        state: What is handed on.
        structures: `analysis_to_json`, b"" for none.
        weights: Folder of the weights of all states, None to leave them out.
        token: Cancels.
    """
    yield Progress("Writing the bundle")
    bare, plain = strip_history(history), strip_recipe(recipe)
    assert bare.spec is not None
    written = Written(bare.spec, bare.task, tuple(bare.states.values()), tuple(bare.baselines.values()), bare.versions)
    members = {
        RECIPE: recipe_bytes(plain),
        SCRIPT: script_of(plain).encode(),
        HISTORY: to_json(written),
        REPORT: report_of(history, recipe, state).encode(),
    }
    members = members | ({STRUCTURES: structures} if structures else {})
    files = {}
    if weights is not None:
        files = {f"weights/{one}.safetensors": weights / f"{one}.safetensors" for one in sorted(history.weights)}
    described = [Member(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in members.items()]
    try:
        described += [Member(name, file.stat().st_size, file.stem) for name, file in files.items()]
        title, made = model_name(history), history.versions
        manifest = Manifest(
            SCHEMA, title, state, time.strftime("%Y-%m-%d %H:%M"), this_machine(), made, tuple(described)
        )
        with staged_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(MANIFEST, to_json(manifest, indent=1))
            for name, data in members.items():
                archive.writestr(name, data)
            for number, (name, file) in enumerate(files.items(), 1):
                yield weights_progress(number, len(files))
                hashed = hashlib.sha256()
                # Not squeezed: weights hardly become smaller, and their size is known.
                info = zipfile.ZipInfo(name, time.localtime()[:6])
                info.compress_type, info.file_size = zipfile.ZIP_STORED, file.stat().st_size
                with file.open("rb") as source, archive.open(info, "w") as member:
                    while data := source.read(PIECE):
                        check(token)
                        hashed.update(data)
                        member.write(data)
                # Whoever gets the bundle could not open it.
                if hashed.hexdigest() != file.stem:
                    raise damaged_weights(file, history.owner(file.stem), f"sha256 {hashed.hexdigest()}")
    except OSError as error:
        raise not_written(path, error) from error
    return path

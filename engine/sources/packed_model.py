"""Rebuilds a model that `export.model_package` packed as files: for the process that measures it or exports it."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from ..foreign_code.consent import FULL_CONSENT, Consent
from ..jobs import NeverCancelled
from .exported_folder import SHAPES, WEIGHTS, read_shapes, recorded_source
from .named_code import sealed_consent
from .open import source_of

PICKLE = "module.pt"
"""What version 0.1 wrote for a model without a source: it is never loaded, and no parcel of ours holds it."""


def is_own(folder: Path) -> bool:
    """Whether a parcel is one that this user packed here; what came along with a project may hold anything."""
    if not (folder / SHAPES).is_file() or (folder / PICKLE).exists():
        return False
    consent = _consent(folder)  # to code that was allowed anew since, it is packed again
    return consent is not None and not consent.changed(consent.files)


def unpack(folder: str | Path) -> nn.Module:
    """The module of a parcel that `pack` wrote here (see `is_own`), in eval mode, weights loaded."""
    folder = Path(folder)
    from ..runtime import load_pruned

    # What is packed was open here: where its file is a pickle (.pt2, YOLO), the user has allowed that.
    spec = replace(recorded_source(read_shapes(str(folder)), folder), trust_pickle=True)
    # On another machine, which has not this user's key, it was sent there to be run.
    consent = _consent(folder) or FULL_CONSENT
    factory = source_of(spec.source).open(spec, NeverCancelled(), consent).factory
    return load_pruned.load_pruned(factory, str(folder / SHAPES), str(folder / WEIGHTS)).eval()


def _consent(folder: Path) -> Consent | None:
    """To the code that a parcel names, as it was when this user packed it."""
    document = read_shapes(str(folder))
    return sealed_consent(str(document.get("seal", "")), recorded_source(document, folder))

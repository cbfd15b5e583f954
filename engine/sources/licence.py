"""What the source of a model says of its licence and origin, for the card of what is made of it."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from .hugging_face import REPOSITORY, folder_of
from .protocol import ModelSpec

CARRIED = ("license", "license_name", "license_link", "language", "datasets", "pipeline_tag")
"""Fields of an original's model card that hold for what was made of it too."""
CARD = "README.md"


def origin_of(spec: ModelSpec, model: Any) -> dict[str, Any]:
    """Fields of a model card that the original's own says, {} where nothing is known.

    Args:
        spec: Where the model came from; a Hugging Face folder has a card, a repository is the base model too.
        model: The module: those of timm know the licence of their weights.
    """
    folder = folder_of(spec)
    if folder is None:
        told = getattr(model, "pretrained_cfg", None)
        licence = cast("Mapping[str, Any]", told).get("license") if isinstance(told, Mapping) else None
        return {"license": licence} if isinstance(licence, str) else {}
    found: dict[str, Any] = {}
    if (folder / CARD).is_file():
        library = import_module("huggingface_hub")
        try:
            card = library.ModelCard.load(folder / CARD, ignore_metadata_errors=True).data.to_dict()
        except Exception:  # a stranger's file: what it should say is not known then
            card = {}
        found = {name: card[name] for name in CARRIED if name in card}
    if spec.source.startswith(REPOSITORY):
        found["base_model"] = spec.source.removeprefix(REPOSITORY)
    return found

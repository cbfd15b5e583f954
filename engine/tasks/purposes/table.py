"""The table of purposes by name, and which of them fits a transformers model. Loads no torch.

To add a purpose, add a file with a `PURPOSE` and a line in `PURPOSES`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...errors import Message, TaskError
from ...messages import all_of
from ..protocol import TaskSpec, option

if TYPE_CHECKING:
    from .protocol import Purpose

PURPOSES: dict[str, str] = {
    "classification": "Classification",
    "regression": "Regression",
    "similarity": "Sentence similarity",
    "causal": "Language modelling, next token",
    "masked": "Language modelling, masked tokens",
    "segmentation": "Segmentation",
    "detection": "Object detection",
}
"""Name to title. The module has the same name, but for those of language."""

LANGUAGE = ("causal", "masked")
"""Purposes of the module `language`: the data says whether the next token or a hidden one is right."""


def purpose_of(spec: TaskSpec, *fitting: str, default: str = "") -> "Purpose":
    """The purpose that a specification names, where it fits its data; without a name the default, or the first."""
    name = option(spec, "purpose", default or fitting[0])
    if name in PURPOSES and name not in fitting:
        template = "{path} can be used for {purposes} only, not for {name}. Choose another purpose."
        raise TaskError("purpose.unfit", template, path=spec.path, purposes=all_of(fitting), name=name)
    return purpose_named(name)


def purpose_named(name: str) -> "Purpose":
    """The purpose of that name; raises TaskError with the names there are."""
    if name not in PURPOSES:
        template = "Unknown purpose {name}. Choose one of {known}."
        raise TaskError("task.purpose", template, name=name, known=", ".join(PURPOSES))
    module = "language" if name in LANGUAGE else name
    return import_module(f".{module}", __package__).PURPOSE


TITLES = {
    "CAUSAL_LM": Message("purpose.causal", "language modelling, next token"),
    "MASKED_LM": Message("purpose.masked", "language modelling, masked tokens"),
    "SEQ_TO_SEQ_CAUSAL_LM": Message("purpose.sequences", "sequences to sequences"),
    "SEQUENCE_CLASSIFICATION": Message("purpose.sequence", "classification of texts"),
    "TOKEN_CLASSIFICATION": Message("purpose.tokens", "classification of tokens"),
    "QUESTION_ANSWERING": Message("purpose.questions", "answers to questions"),
    "IMAGE_CLASSIFICATION": Message("purpose.images", "classification of images"),
    "AUDIO_CLASSIFICATION": Message("purpose.audio", "classification of sounds"),
    "SPEECH_SEQ_2_SEQ": Message("purpose.speech", "speech to text"),
    "CTC": Message("purpose.ctc", "speech to text"),
}
"""Tables of the library (MODEL_FOR_..._MAPPING_NAMES), and what their members do, in the order they are asked."""
PURPOSE_OF_TABLE = {
    "CAUSAL_LM": "causal",
    "MASKED_LM": "masked",
    "SEQUENCE_CLASSIFICATION": "classification",
    "IMAGE_CLASSIFICATION": "classification",
}
"""The same tables to the purpose of their members."""


def described_purpose(architecture: str) -> Message | None:
    """What a class of transformers does, None where the library's tables do not have it."""
    return next((TITLES[table] for table in _tables_with(architecture)), None)


def purpose_of_model(model: Any) -> str:
    """The purpose that fits a transformers model, "" for none; a classifier with one output is a regression."""
    if not type(model).__module__.startswith("transformers."):
        return ""
    found = next((PURPOSE_OF_TABLE[one] for one in _tables_with(type(model).__name__) if one in PURPOSE_OF_TABLE), "")
    single = found == "classification" and getattr(getattr(model, "config", None), "num_labels", 0) == 1
    return "regression" if single else found


def _tables_with(architecture: str) -> list[str]:
    """The tables of the library that list a class."""
    auto: Any = import_module("transformers.models.auto.modeling_auto")
    return [one for one in TITLES if architecture in getattr(auto, f"MODEL_FOR_{one}_MAPPING_NAMES", {}).values()]

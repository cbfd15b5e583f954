"""What a transformers model is for, as its class says: which purpose fits it, and what it is called."""

from importlib import import_module
from typing import Any

from ..errors import Message

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
PURPOSES = {
    "CAUSAL_LM": "causal",
    "MASKED_LM": "masked",
    "SEQUENCE_CLASSIFICATION": "classification",
    "IMAGE_CLASSIFICATION": "classification",
}
"""The same tables, and the purpose (`purposes.table`) that judges their members."""
REGRESSION = "regression"


def described_purpose(architecture: str) -> Message | None:
    """What a class of transformers does, None where the library's tables do not have it."""
    return next((TITLES[table] for table in _tables(architecture)), None)


def purpose_of_model(model: Any) -> str:
    """The purpose that fits a transformers model, "" for none; a classifier with one output is a regression."""
    if not type(model).__module__.startswith("transformers."):
        return ""
    found = next((PURPOSES[one] for one in _tables(type(model).__name__) if one in PURPOSES), "")
    single = found == "classification" and getattr(getattr(model, "config", None), "num_labels", 0) == 1
    return REGRESSION if single else found


def _tables(architecture: str) -> list[str]:
    auto: Any = import_module("transformers.models.auto.modeling_auto")
    return [one for one in TITLES if architecture in getattr(auto, f"MODEL_FOR_{one}_MAPPING_NAMES", {}).values()]

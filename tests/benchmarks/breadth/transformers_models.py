"""Architectures of transformers, tiny and with random weights, with the heads that people use."""

import inspect
import re
from typing import Any

import torch
import transformers
from torch import nn

from .shrink import LABELS, POSITIONS, VOCABULARY, tiny
from .subject import Subject

LENGTH, TARGET_LENGTH, SAMPLES = 12, 9, 2000

GROUPS = {
    "encoders": """
        BertForMaskedLM RobertaForSequenceClassification DistilBertForSequenceClassification AlbertForMaskedLM
        ElectraForPreTraining DebertaV2ForSequenceClassification MPNetForMaskedLM XLNetLMHeadModel
        LongformerForMaskedLM BigBirdForMaskedLM FNetForMaskedLM ModernBertForMaskedLM
        CamembertForTokenClassification ConvBertForMaskedLM FunnelForMaskedLM SqueezeBertForMaskedLM
    """,
    "decoders": """
        GPT2LMHeadModel GPTNeoForCausalLM GPTNeoXForCausalLM GPTJForCausalLM OPTForCausalLM BloomForCausalLM
        FalconForCausalLM MptForCausalLM PhiForCausalLM Phi3ForCausalLM LlamaForCausalLM MistralForCausalLM
        Qwen2ForCausalLM Qwen3ForCausalLM GemmaForCausalLM Gemma2ForCausalLM Gemma3ForCausalLM OlmoForCausalLM
        Olmo2ForCausalLM StableLmForCausalLM Starcoder2ForCausalLM CohereForCausalLM GraniteForCausalLM
        SmolLM3ForCausalLM NemotronForCausalLM GlmForCausalLM CodeGenForCausalLM GPTBigCodeForCausalLM
        XGLMForCausalLM
    """,
    "mixtures of experts": """
        MixtralForCausalLM Qwen2MoeForCausalLM Qwen3MoeForCausalLM OlmoeForCausalLM GptOssForCausalLM
        DeepseekV3ForCausalLM
    """,
    "state space": """
        MambaForCausalLM Mamba2ForCausalLM FalconMambaForCausalLM RwkvForCausalLM JambaForCausalLM
        RecurrentGemmaForCausalLM
    """,
    "encoder and decoder": """
        T5ForConditionalGeneration MT5ForConditionalGeneration BartForConditionalGeneration
        MBartForConditionalGeneration PegasusForConditionalGeneration MarianMTModel
        M2M100ForConditionalGeneration LEDForConditionalGeneration
    """,
    "vision": """
        ViTForImageClassification DeiTForImageClassification BeitForImageClassification
        SwinForImageClassification Swinv2ForImageClassification ConvNextForImageClassification
        ConvNextV2ForImageClassification Dinov2ForImageClassification SegformerForSemanticSegmentation
        MobileViTForImageClassification ResNetForImageClassification RegNetForImageClassification
        EfficientNetForImageClassification PvtForImageClassification DPTForDepthEstimation
        PoolFormerForImageClassification
    """,
    "detection and segmentation": """
        DetrForObjectDetection YolosForObjectDetection ConditionalDetrForObjectDetection RTDetrForObjectDetection
        Mask2FormerForUniversalSegmentation SamModel
    """,
    "several modalities": """
        CLIPModel SiglipModel BlipForConditionalGeneration LlavaForConditionalGeneration
    """,
    "audio": """
        Wav2Vec2ForCTC HubertForCTC WavLMForCTC WhisperForConditionalGeneration ASTForAudioClassification
        SEWForCTC ClapModel
    """,
    "series and bytes": """
        PerceiverForMaskedLM PatchTSTForPrediction
    """,
}
"""Class names by what they are for."""


def names() -> list[str]:
    """All of them, as their configurations shrink."""
    return [name for group in GROUPS.values() for name in group.split()]


def subject(name: str) -> Subject:
    """A tiny model of this class."""
    kind = getattr(transformers, name)
    config = tiny(kind.config_class)

    def make() -> nn.Module:
        return kind(tiny(kind.config_class))

    return Subject(make, lambda: inputs(kind, config))


def inputs(kind: Any, config: Any) -> dict[str, Any]:
    """Example inputs by name, two samples: the model's main input, what must come beside it, no caches."""
    taken = inspect.signature(kind.forward).parameters
    found: dict[str, Any] = {}
    if {"text_config", "vision_config"} <= config.sub_configs.keys():
        found["input_ids"] = _ids(config.text_config, LENGTH)
        found["pixel_values"] = _pixels(config.vision_config)
        _place_images(found["input_ids"], config)
    elif "audio_config" in config.sub_configs:
        found["input_ids"] = _ids(config.text_config, LENGTH)
        found["input_features"] = _features(config.audio_config)
    elif kind.main_input_name in ("input_ids", "inputs"):
        found[kind.main_input_name] = _ids(config, POSITIONS if kind.main_input_name == "inputs" else LENGTH)
    elif kind.main_input_name == "pixel_values":
        found["pixel_values"] = _pixels(getattr(config, "vision_config", config))
    elif kind.main_input_name == "input_values":
        mels = getattr(config, "num_mel_bins", None)
        found["input_values"] = torch.randn(2, SAMPLES) if mels is None else torch.randn(2, config.max_length, mels)
    elif kind.main_input_name == "input_features":
        found["input_features"] = _features(config)
    else:
        found[kind.main_input_name] = torch.randn(2, config.context_length, config.num_input_channels)
    if config.is_encoder_decoder and "decoder_input_ids" in taken:
        found["decoder_input_ids"] = _ids(config, TARGET_LENGTH)
    if "global_attention_mask" in taken:  # without it the layers for tokens that see all others do not run
        found["global_attention_mask"] = torch.tensor([[1] + [0] * (LENGTH - 1)] * 2)
    found |= dict.fromkeys(("use_cache", "use_mems"), False)
    return {name: found[name] for name in taken if name in found}


def _ids(config: Any, length: int) -> torch.Tensor:
    """[2, length] of tokens that have no meaning of their own, the last one the end of the text."""
    special = [v for n, v in vars(config).items() if re.search("token_id$|token_index$", n) and isinstance(v, int)]
    plain = [v for v in range(min(VOCABULARY, config.vocab_size)) if v not in special]
    found = torch.tensor(plain)[torch.randint(len(plain), (2, length))]
    end = getattr(config, "eos_token_id", None)
    if isinstance(end, int):
        found[:, -1] = end
    return found


def _place_images(ids: torch.Tensor, config: Any) -> None:
    """As many image tokens as the images have patches, where the text has places for them."""
    place = getattr(config, "image_token_id", None)
    if isinstance(place, int):
        vision = config.vision_config
        patches = (vision.image_size // vision.patch_size) ** 2
        longer = torch.cat([torch.full((2, patches), place), ids], dim=1)
        ids.resize_(longer.shape).copy_(longer)


def _pixels(config: Any) -> torch.Tensor:
    side = getattr(config, "image_size", 64) or 64
    height, width = (side, side) if isinstance(side, int) else side
    return torch.randn(2, getattr(config, "num_channels", 3) or 3, height, width)


def _features(config: Any) -> torch.Tensor:
    """Spectra: [2, mels, frames] of speech, [2, 1, frames, mels] where an image is made of them."""
    if hasattr(config, "spec_size"):
        return torch.randn(2, 1, config.spec_size * config.spec_size // config.num_mel_bins, config.num_mel_bins)
    return torch.randn(2, config.num_mel_bins, 2 * config.max_source_positions)


__all__ = ["LABELS", "inputs", "names", "subject"]

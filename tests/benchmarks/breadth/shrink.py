"""A tiny configuration of any transformers model, from the defaults of its configuration class alone.

Every number is shrunk by what its name says that it is (a width, a count of heads, a window ...), so that what has to
fit together still does: hidden = heads * head dimension in the same proportion, key/value heads a part of the heads,
all widths of one configuration by one factor, as many kinds of layers as the original has.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from transformers import PretrainedConfig

HEADS, HIDDEN, STEM, VOCABULARY, POSITIONS, LABELS = 4, 32, 16, 120, 64, 5

LAYERS = re.compile(
    r"^(num_(hidden_|decoder_|encoder_)?layers|n_layers?|(en|de)coder_layers|num_self_attends_per_block)$"
)
KINDS = re.compile(r"^(layer_types|layers_block_type|attention_layers|no_rope_layers|block_types)$")
HEAD_COUNT = re.compile(
    r"^(n_heads?|num_heads|((en|de)coder_|num_|num_(self|cross)_)?attention_heads|num_key_value_heads|num_kv_heads)$"
)
HEAD_DIM = re.compile(r"^(head_dim|d_head|d_kv|rotary_dim|query_pre_attn_scalar|(qk_(nope|rope)|v)_head_dim)$")
WIDTH = re.compile(
    r"(hidden_size|_dim|_size|d_model|d_inner|d_ff|n_embd|n_inner|^dim|_channels?|_rank|_width|_sizes|_dims|d_latents|"
    r"_hidden_dim|_ffn_dim|_features|_feats|groups_width|conv_dim)$"
)
NO_WIDTH = re.compile(
    r"(vocab_size|image_size|patch_size|window_size|block_size|chunk_size|input_size|num_channels|kernel_size|sizes?_s|"
    r"state_size|input_channels|spec_size|(patch|block|kernel)_sizes|samples_per|train_size|depth_multiplier|"
    r"num_channel|image_embedding_size|cross_attention_.*factor|feature_size|tpu_short)"
)
CAPPED: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern), most)
    for pattern, most in (
        (r"(^|_)vocab_size$", VOCABULARY),
        (r"position_embeddings$|^n_positions$|^n_ctx$", POSITIONS),
        (r"^max_(source|target)_positions$|^max_seq_len$|^max_length$", POSITIONS),
        (r"^(num_experts|num_local_experts|n_routed_experts)$", 4),
        (r"^(num_experts_per_tok|n_group|n_groups|depths|num_block_repeats)$", 2),
        (r"^(topk_group|first_k_dense_replace|.*_layer_offset|inner_group_num)$", 1),
        (r"_period$", 2),
        (r"^(num_queries|num_detection_tokens|num_latents|num_denoising)$", 12),
        (r"window|^local_attention$|^(block|chunk)_size$|state_size$|_d_state$", 8),
        (r"_groups$", 4),
        (r"^num_mel_bins$", 32),
        (r"^num_conv_pos_embeddings$", 16),
        (r"^spec_size$", 128),
        (r"^patch_size$", 16),
    )
)  # fmt: skip
PIXELS = ("image_size", "image_embedding_size")


def tiny(kind: type[PretrainedConfig]) -> PretrainedConfig:
    """A small configuration of this class."""
    big = kind()
    return _tiny(big, max(_factors(big)))


def _tiny(big: PretrainedConfig, factor: float) -> PretrainedConfig:
    """What a configuration says otherwise than its class does is kept; configurations within it are shrunk alike."""
    kind: Any = type(big)
    names = [f.name for f in fields(kind) if f.init and f.name not in ("id2label", "label2id")]
    values, usual = _values(big, names), _values(kind(), names)
    made = {n: _shrunk(n, v, values, factor) for n, v in values.items()}
    made = {n: v for n, v in made.items() if v is not values[n] or (v != usual[n] and n in kind.__annotations__)}
    made |= {n: _tiny(v, factor) for n, v in values.items() if isinstance(v, PretrainedConfig)}
    if "depths" in values and getattr(big, "out_features", None) is not None:  # a backbone's, which is no field
        made["out_features"] = list(cast("Any", big).out_features)
    return kind(**made, num_labels=LABELS) if any(f.name == "id2label" for f in fields(kind)) else kind(**made)


def _values(config: PretrainedConfig, names: list[str]) -> dict[str, Any]:
    return {n: getattr(config, n, None) for n in names}


def _factors(config: PretrainedConfig) -> list[float]:
    """What a configuration and those within it would multiply their widths with."""
    values = vars(config)
    return [_factor(values), *(f for v in values.values() if isinstance(v, PretrainedConfig) for f in _factors(v))]


def _shrunk(name: str, value: Any, values: Mapping[str, Any], factor: float) -> Any:
    """The small value of one entry; the very same object where it stays."""
    if (
        name == "num_key_value_heads"
        and value is None
        and any(HEAD_COUNT.match(n) and _whole(v) for n, v in values.items())
    ):
        return HEADS // 2
    if name in ("width_coefficient", "depth_coefficient"):
        return 1.0
    if "width_coefficient" in values and name == "hidden_dim":
        return int(value / values["width_coefficient"])
    if name == "window_size" and "depths" in values:
        return 2  # as large as the images of the last stage
    if isinstance(value, (bool, str, float, type(None), PretrainedConfig)):
        return value
    if re.search(r"token_ids?$|token_index$", name):
        return _each(value, lambda v: v if v < VOCABULARY - 20 else VOCABULARY - 20 + v % 20)
    if KINDS.match(name) and value:
        return _kinds(value, layers(values))
    if name == "attention_types":
        return [[one, max(1, layers(values) // len(one))] for one, _ in value]
    if LAYERS.match(name):
        return min(value, layers(values))
    if re.search(r"_ind(ic|ex)es$", name) and isinstance(value, (tuple, list)) and not name.startswith("out_"):
        return type(value)(range(len(value)))
    if name in PIXELS:
        return _pixels(name, value, values)
    if HEAD_COUNT.match(name):
        return _heads(name, value, values)
    if HEAD_DIM.match(name):
        return _even(value * _head_dim(values) / max(v for n, v in values.items() if HEAD_DIM.match(n) and _whole(v)))
    for pattern, most in CAPPED:
        if pattern.search(name):
            return _each(value, lambda v, most=most: min(v, most))
    if WIDTH.search(name) and not NO_WIDTH.search(name):
        return _each(value, lambda v: _rounded(v * factor) if v > 8 else v)
    return value


def layers(values: Mapping[str, Any]) -> int:
    """Two layers, or as many as it takes to have every kind of layer."""
    kinds = [len(set(v)) for n, v in values.items() if KINDS.match(n) and isinstance(v, (list, tuple)) and v]
    chosen = [
        len(v)
        for n, v in values.items()
        if re.search(r"._ind(ic|ex)es$", n) and not n.startswith("out_") and isinstance(v, (list, tuple))
    ]
    periods = [4 for n, v in values.items() if n.endswith("_layer_period") and v]
    blocks = [len(v) for n, v in values.items() if n == "block_types" and v]
    return max([2, *kinds, *chosen, *periods, *blocks])


def _kinds(value: Any, count: int) -> Any:
    """The kinds of the first layers: all in the order in which they first occur, again and again."""
    each = list(dict.fromkeys(value)) if len(value) > count else list(value)
    return type(value)([*each, *each * count][: max(count, len(each))])


def _factor(values: Mapping[str, Any]) -> float:
    """The hidden size, or the first stage's, becomes small."""
    hidden = _hidden(values)
    stages = _stages(values)
    if hidden and (not stages or any(HEAD_COUNT.match(n) and _whole(v) for n, v in values.items())):
        return min(1.0, HIDDEN / hidden)
    return min(1.0, STEM / min(stages)) if stages else 0.0


def _hidden(values: Mapping[str, Any]) -> int:
    return next(
        (values[n] for n in ("hidden_size", "d_model", "n_embd", "dim", "hidden_dim") if _whole(values.get(n))), 0
    )


def _stages(values: Mapping[str, Any]) -> list[int]:
    found: list[int] = []
    for name in ("hidden_sizes", "embed_dim", "embedding_size", "in_channels", "patch_embeds_hidden_size"):
        value: Any = values.get(name)
        found += [value] if _whole(value) else [*value] if isinstance(value, (list, tuple)) else []
    return found


def _heads(name: str, value: Any, values: Mapping[str, Any]) -> Any:
    if not _whole(value):  # a count a stage
        return type(value)(max(1, v * 2 // value[0]) for v in value)
    if "key_value" in name or "kv" in name:
        most = max(v for n, v in values.items() if HEAD_COUNT.match(n) and _whole(v))
        return HEADS if value >= most else 1 if value == 1 else HEADS // 2
    return HEADS


def _head_dim(values: Mapping[str, Any]) -> int:
    """Of the largest head dimension: heads * head dimension keeps its proportion to the hidden size."""
    hidden = _hidden(values)
    heads = next((v for n, v in values.items() if HEAD_COUNT.match(n) and _whole(v)), 0)
    largest = max(v for n, v in values.items() if HEAD_DIM.match(n) and _whole(v))
    if not hidden or not heads:
        return HIDDEN // HEADS
    if not {"head_dim", "d_head", "d_kv"} & {n for n, v in values.items() if _whole(v)}:
        return max(2, largest * HIDDEN * heads // (hidden * HEADS))
    return min(16, max(8, _even(HIDDEN * heads * largest / hidden / HEADS, 4)))


def _pixels(name: str, value: Any, values: Mapping[str, Any]) -> Any:
    patch: Any = values.get("patch_size")
    patch = min(patch, 16) if _whole(patch) else 0
    side = 4 * patch if patch >= 8 else 64
    return _each(value, lambda v: min(v, 4 if name == "image_embedding_size" else side))


def _each(value: Any, change: Any) -> Any:
    """Every whole number of a value, in lists too; the same object when nothing changes."""
    if isinstance(value, (list, tuple)):
        made = type(value)(_each(v, change) for v in value)
        return value if made == value else made
    return change(value) if _whole(value) else value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _even(value: float, step: int = 2) -> int:
    return max(step, round(value / step) * step)


def _rounded(value: float) -> int:
    return max(8, round(value / 8) * 8) if value >= 6 else max(4, round(value / 2) * 2)

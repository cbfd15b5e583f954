"""What a file may hand to a library that builds a model: for each library the names of arguments, and plain values.

Recipes, projects, exports and `config.json` come from anyone, and builders take arguments that read files, fetch, or
load kernels (timm's `checkpoint_path`, transformers' `attn_implementation`). What is not listed here is refused: sizes,
rates and switches are enough to describe a network. A user's own function takes what it declares. Loads no torch.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from ..errors import OpenError
from ..messages import listed

_TIMM = (
    "num_classes in_chans img_size patch_size embed_dim embed_dims depth depths dims num_heads heads head_dim channels "
    "widths width layers num_features mlp_ratio mlp_ratios expand_ratio qkv_bias qk_norm init_values class_token "
    "reg_tokens no_embed_class pre_norm final_norm dynamic_img_size dynamic_img_pad strict_img_size always_partition "
    "window_size kernel_size stem_type stem_width cardinality base_width growth_rate block_config bn_size "
    "drop_rate drop_path_rate drop_block_rate proj_drop_rate attn_drop_rate pos_drop_rate patch_drop_rate "
    "global_pool act_layer norm_layer output_stride features_only out_indices zero_init_last "
    "layer_scale_init_value ls_init_value conv_mlp use_grn fix_init weight_init"
)
TIMM = frozenset(_TIMM.split())
"""Of `timm.create_model`: no weights and no configuration of weights."""
_TORCHVISION = (
    "num_classes num_keypoints dropout attention_dropout stochastic_depth_prob mlp_dropout drop_rate dropout_aux "
    "groups width_per_group width_mult growth_rate block_config num_init_features bn_size zero_init_residual "
    "replace_stride_with_dilation aux_loss aux_logits transform_input init_weights memory_efficient image_size "
    "patch_size window_size embed_dim depths num_heads num_layers hidden_dim mlp_dim mlp_ratio layer_scale "
    "trainable_backbone_layers min_size max_size image_mean image_std score_thresh nms_thresh detections_per_img "
    "topk_candidates box_score_thresh box_nms_thresh box_detections_per_img box_batch_size_per_image "
    "box_positive_fraction box_fg_iou_thresh box_bg_iou_thresh rpn_pre_nms_top_n_train rpn_pre_nms_top_n_test "
    "rpn_post_nms_top_n_train rpn_post_nms_top_n_test rpn_nms_thresh rpn_fg_iou_thresh rpn_bg_iou_thresh "
    "rpn_batch_size_per_image rpn_positive_fraction rpn_score_thresh"
)
TORCHVISION = frozenset(_TORCHVISION.split())
"""Of `torchvision.models.get_model`: no weights, and no modules."""
KERNELS = frozenset(("None", "eager", "sdpa", "flex_attention", "grouped_mm", "batched_mm"))
"""Implementations that transformers has itself; any other name is looked for in a repository of kernels."""
IMPLEMENTATION = "_implementation"
"""Ends the fields of a configuration that name one."""
OF_TIMM = ("model_args", "timm_kwargs", "backbone_kwargs")
"""Fields of a configuration that transformers hands to `timm.create_model`."""
NAMES_TIMM = ("backbone", "architecture")
"""Fields that name a model of timm's; with a colon the name is a repository's or a folder's."""
MOST = ((re.compile("layer|depth|blocks|stages"), 1024), (re.compile("num_labels"), 1_000_000))
"""Fields by which libraries make lists before they make any tensor, and the largest number in them."""
SHOWN = 3


def check_names(library: str, arguments: Mapping[str, Any], allowed: Iterable[str]) -> None:
    """Raise OpenError where arguments are none that a file may give, or are no plain values.

    Args:
        library: For the sentence.
        arguments: By name.
        allowed: The names.
    """
    allowed = frozenset(allowed)
    if wrong := [name for name, value in arguments.items() if name not in allowed or not _is_plain(value)]:
        template = (
            "{names} cannot be given to the models of {library}: only sizes, rates and switches can. Name a Python "
            "function that builds the model (path/to/file.py:callable)."
        )
        shown = listed([one[:80] for one in sorted(wrong)], SHOWN)
        raise OpenError("source.argument_names", template, names=shown, library=library)


def check_configuration(name: str, document: Any) -> None:
    """Raise OpenError where a transformers configuration, or a part of it, loads code or has layers without an end.

    Args:
        name: Of the model, for the sentence.
        document: What its config.json holds.
    """
    left: list[Any] = [document]
    while left:
        part = left.pop()
        left += cast("list[Any]", part) if isinstance(part, list) else ()
        for key, value in _fields(part).items():
            inner = _fields(value)
            if key in OF_TIMM:
                check_names("timm", inner, TIMM)
            foreign = key.endswith(IMPLEMENTATION) and any(
                str(one) not in KERNELS for one in inner.values() or (value,)
            )
            if foreign or (key in NAMES_TIMM and not inner and ":" in str(value)):  # a repository, or a folder
                template = (
                    "The configuration of {name} takes code from elsewhere: {key} is {value}. Remove that line from "
                    "config.json."
                )
                raise OpenError("source.hf_kernels", template, name=name, key=key, value=str(value)[:80])
            most = next((most for names, most in MOST if names.search(key)), math.inf)
            counts: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
            if too_many := [one for one in counts if isinstance(one, int | float) and one > most]:
                template = (
                    "The configuration of {name} has {value} as {key}; at most {most} can be. Correct config.json."
                )
                given = str(too_many[0])[:80]
                raise OpenError("source.hf_count", template, name=name, key=key, value=given, most=most)
            left.append(value)


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a part of a configuration, {} where it is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _is_plain(value: Any) -> bool:
    """Whether a value is a number, a short text, None, or a list of such."""
    if isinstance(value, list | tuple):
        return len(cast("list[Any]", value)) < 1000 and all(map(_is_plain, cast("list[Any]", value)))
    return value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) < 100)

"""What belongs together, what is fixed and why: compared with what a person reads off the small networks."""

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, from_identities, identities, matching_keys
from secateur.engine.structures.costs import kept_sizes
from tests.benchmarks.breadth import transformers_models
from tests.engine.nets import Concat, Residual, TorchAttention, Transformer, Unruly, image, tokens


def kinds(analysis: Analysis) -> dict[str, tuple[Kind, int]]:
    return {f"{s.name}:{s.kind}": (s.kind, s.count) for s in analysis.sets}


def slices(analysis: Analysis, key: str, index: int) -> dict[tuple[str, int], list[int]]:
    one = next(s for s in analysis.sets if s.key == key)
    return {(s.tensor, s.dim): s.indices.tolist() for s in analysis.slices(one.first + index)}


def test_a_filter_goes_with_its_norm_and_the_next_layers_input() -> None:
    found = slices(analyse(Residual(), image()), "filter|blocks.0.conv1.weight|0", 3)
    assert found == {
        ("blocks.0.conv1.weight", 0): [3],
        ("blocks.0.bn1.weight", 0): [3],
        ("blocks.0.bn1.bias", 0): [3],
        ("blocks.0.bn1.running_mean", 0): [3],
        ("blocks.0.bn1.running_var", 0): [3],
        ("blocks.0.conv2.weight", 1): [3],
    }


def test_residual_width_reaches_through_gate_and_flatten() -> None:
    found = slices(analyse(Residual(), image()), "residual width|blocks.1.conv2.weight|0", 2)
    assert found["blocks.1.shortcut.weight", 0] == [2]
    assert found["excite.weight", 0] == [2]
    assert found["hidden.weight", 1] == [8, 9, 10, 11]  # channel 2 of 20, 2 x 2 pixels each


def test_joined_channels_are_read_at_their_offset() -> None:
    analysis = analyse(Concat(), image())
    assert slices(analysis, "filter|right.weight|0", 1)["widen.weight", 1] == [7]
    assert slices(analysis, "filter|right.weight|0", 1)["depthwise.weight", 0] == [7]


def test_a_convolution_group_takes_its_filters_and_its_input_channels() -> None:
    analysis = analyse(Concat(), image())
    group = next(s for s in analysis.sets if s.kind is Kind.GROUP)
    assert group.count == 4
    found = {(s.tensor, s.dim): s.indices.tolist() for s in analysis.slices(group.first + 1)}
    assert found["widen.weight", 0] == [6, 7, 8, 9, 10, 11]
    assert found["grouped.weight", 0] == [3, 4, 5]


@pytest.mark.parametrize(("model", "inputs", "name", "out"), [
    (Transformer(), image(), "layers.0.attention.qkv.weight", "layers.0.attention.proj.weight"),
    (TorchAttention(), tokens(), "attention.in_proj_weight", "attention.out_proj.weight"),
    (TorchAttention(batch_first=False), tokens(), "attention.in_proj_weight", "attention.out_proj.weight"),
])  # fmt: skip
def test_a_head_is_a_block_of_q_k_and_v_rows_and_a_head_dimension_a_stride(
    model: nn.Module, inputs: tuple[torch.Tensor], name: str, out: str
) -> None:
    analysis = analyse(model, inputs)
    rows = np.arange(72).reshape(3, 4, 6)
    assert slices(analysis, f"head|{name}|0", 2)[name, 0] == rows[:, 2].ravel().tolist()
    assert slices(analysis, f"head|{name}|0", 2)[out, 1] == list(range(12, 18))
    assert slices(analysis, f"head dimension|{name}|0", 5)[name, 0] == rows[:, :, 5].ravel().tolist()
    assert slices(analysis, f"head dimension|{name}|0", 5)[out, 1] == [5, 11, 17, 23]


def test_blocks_are_the_steps_that_keep_shape_and_labels() -> None:
    assert [s.name for s in analyse(Residual(), image()).sets if s.kind is Kind.BLOCK] == ["blocks.0", "blocks.2"]
    transformer = analyse(Transformer(), image())
    assert [s.name for s in transformer.sets if s.kind is Kind.BLOCK] == [
        name for n in range(3) for name in (f"layers.{n}", f"layers.{n}.attention", f"layers.{n}.mlp")
    ]


def test_a_block_names_the_tensors_that_vanish_with_it() -> None:
    analysis = analyse(Residual(), image())
    block = next(s for s in analysis.sets if s.name == "blocks.2")
    own = {n for n in Residual().state_dict() if n.startswith("blocks.2.")}
    assert set(analysis.block_tensors(block.first)) == own


def test_what_is_fixed_says_why() -> None:
    analysis = analyse(Residual(), image())
    reasons = {(analysis.tensors[f.tensor].name, f.dim): f.reason.code for f in analysis.fixed}
    assert reasons["stem.0.weight", 1] == "fixed.input"
    assert reasons["head.weight", 0] == "fixed.output"
    assert reasons["stem.0.weight", 2] == "fixed.kernel"
    second = analyse(Transformer(), image())
    positions = {(second.tensors[f.tensor].name, f.dim): f.reason.code for f in second.fixed}
    assert positions["position", 1] == "fixed.combined"
    rows = analyse(TorchAttention(), tokens())
    assert any(
        rows.tensors[f.tensor].name == "embed.weight" and f.reason.code == "fixed.vocabulary" for f in rows.fixed
    )


def test_an_operator_without_a_rule_fixes_what_it_touches_and_is_named() -> None:
    analysis = analyse(Unruly(), image())
    fixed = {analysis.tensors[f.tensor].name: str(f.reason) for f in analysis.fixed if f.reason.code == "fixed.no_rule"}
    assert "aten::take has no rule" in fixed["first.weight"]
    assert [s.name for s in analysis.sets] == ["second.weight"]


def test_parameters_that_no_output_depends_on_stay() -> None:
    class Spare(Residual):
        def __init__(self) -> None:
            super().__init__()
            self.spare = nn.Linear(8, 8)

    analysis = analyse(Spare(), image())
    assert {f.reason.code for f in analysis.fixed if analysis.tensors[f.tensor].module == "spare"} == {"fixed.unused"}
    assert not any(s.module == "spare" for s in analysis.sets)


def test_tied_weights_are_one_tensor_with_two_names() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.hidden, self.out = nn.Embedding(11, 12), nn.Linear(12, 12), nn.Linear(12, 11, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(torch.relu(self.hidden(self.embed(x))))

    analysis = analyse(Tied(), tokens())
    tensor = next(t for t in analysis.tensors if t.name == "embed.weight")
    assert tensor.aliases == ("out.weight",)
    # The columns are read by both uses, so the width goes through embedding, hidden layer and output at once.
    width = next(s for s in analysis.sets if s.name == "embed.weight")
    assert {analysis.tensors[t].name for t, _ in width.touches} >= {"embed.weight", "hidden.weight"}


def test_identities_name_a_plan_in_another_analysis_of_the_same_network() -> None:
    first, second = analyse(Residual(), image()), analyse(Residual(), image(24))
    mask = first.empty()
    mask[np.random.default_rng(0).permutation(first.count)[:30]] = True
    again, missing = from_identities(second, identities(first, mask))
    assert not missing and np.array_equal(mask, again)
    assert from_identities(second, {"filter|gone|0": [3]})[1] == ["filter|gone|0[3]"]


def test_rows_and_columns_of_a_square_have_identities_of_their_own() -> None:
    """Two groups of two channels, shuffled: all four factors take two channels each, two of them the first."""

    class Shuffled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.second(x.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2))

    analysis = analyse(Shuffled(), image())
    assert sorted(s.count for s in analysis.sets if s.name == "first.weight") == [2, 2]
    for structure in range(analysis.count):
        mask = analysis.empty()
        mask[structure] = True
        again, missing = from_identities(analysis, identities(analysis, mask))
        assert not missing and np.array_equal(mask, again)


class WrittenOut(nn.Module):
    """A block as GPT-2 has it: weights in the order of `addmm`, GELU as its formula, which adds a value to its cube."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.up, self.down = nn.Parameter(torch.randn(8, 12)), nn.Parameter(torch.randn(12, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = x @ self.up
        y = 0.5 * y * (1 + torch.tanh(0.8 * (y + 0.044715 * y**3)))
        return self.head(x + y @ self.down)


def test_what_is_added_to_itself_is_no_residual_stream() -> None:
    sets = analyse(WrittenOut(), (torch.randn(2, 6),)).sets
    kinds = {one.name: one.kind for one in sets if one.kind is not Kind.BLOCK}
    assert kinds == {"down": Kind.WIDTH, "up": Kind.NEURON}


def test_identities_that_were_stored_with_another_kind_mean_the_same_indices() -> None:
    """Of GPT-2 as earlier versions wrote them, to which the neurons were residual width."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2)
    analysis = analyse(transformers.GPT2LMHeadModel(config).eval(), tokens())
    mask = analysis.empty()
    for one in analysis.sets:
        mask[one.first : one.first + 2] = one.kind in (Kind.NEURON, Kind.WIDTH)
    stored = {key.replace("neuron|", "residual width|"): indices for key, indices in identities(analysis, mask).items()}
    assert "residual width|transformer.h.0.mlp.c_fc.weight|1" in stored
    again, missing = from_identities(analysis, stored)
    assert not missing and np.array_equal(mask, again)


def test_a_set_of_another_kind_is_found_only_where_no_other_can_be_meant() -> None:
    present = ["neuron|a|1", "neuron|a|1|1", "filter|b|0", "channel|b|0", "head|c|0", "filter|d|0"]
    parts = {"channel|a|1": "neuron|a|1", "channel|a|1|1": "neuron|a|1|1"}
    assert matching_keys(parts, present) == parts
    for stored in ("neuron|b|0", "neuron|c|0", "head|d|0", "neuron|d|1", "neuron|a|1|2", "neuron|e|0", "nothing"):
        assert matching_keys([stored], present) == {}
    assert matching_keys(["filter|d|0", "channel|d|0"], present) == {"filter|d|0": "filter|d|0"}


def test_heads_that_no_parameter_shows_are_counted() -> None:
    subject = transformers_models.subject("WavLMForCTC")  # its gated positions ask for heads by a number of their own
    torch.manual_seed(0)
    analysis = analyse(subject.make().eval(), subject.inputs(), outputs=subject.outputs)
    kept = kept_sizes(analysis, analysis.empty())
    counted = {(module, what): int(kept[axis]) for module, what, axis, _ in analysis.sizes if axis >= 0}
    assert counted and min(counted.values()) > 0


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore:torch.quantize_per_tensor")
def test_quantised_layers_are_named_and_others_can_be_cut() -> None:
    parts = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4))
    plain = analyse(parts.eval(), (torch.randn(2, 3, 4, 4),))
    quantise = torch.ao.quantization.quantize_dynamic  # pyright: ignore[reportDeprecated] - what people still use
    quantised = quantise(parts, {nn.Linear}, torch.qint8)
    found = analyse(quantised.eval(), (torch.randn(2, 3, 4, 4),))
    (note,) = (one for one in found.notes if one.code == "note.packed")
    assert "2 layers are quantised (3 and others)" in str(note)
    assert not plain.notes and {one.count for one in plain.sets} == {8, 16}
    assert found.tensors[0].name == "0.weight"

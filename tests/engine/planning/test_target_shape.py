"""Target shapes: every layer keeps exactly what was asked, its best; what cannot be names the nearest numbers."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from secateur.engine.errors import PlanError
from secateur.engine.planning.budget_schedule import goals_of
from secateur.engine.planning.goal import reached, solve
from secateur.engine.planning.protocol import PRESETS, Choose, Cost, Goal, KindLimit, Limit, kind_limit_of, read_kind
from secateur.engine.planning.target_shape import shape_of
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.repair.keep_uniform import keep_uniform
from tests.engine.nets import Transformer

LAYERS, WIDTH, HEADS, GROUPS, HIDDEN = 3, 32, 8, 4, 48


def llama(
    layers: int, width: int, heads: int, groups: int, hidden: int, vocabulary: int = 64
) -> transformers.LlamaConfig:
    return transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=groups, max_position_embeddings=64, head_dim=width // heads,
    )  # fmt: skip


def analysed(config: transformers.LlamaConfig, device: str = "cpu", uniform: bool = True) -> Analysis:
    with torch.device(device):
        model = transformers.LlamaForCausalLM(config).eval()
    found = analyse(model, {"input_ids": torch.zeros(2, 8, dtype=torch.int64)})
    return keep_uniform(model, found) if uniform else found


@pytest.fixture(scope="module")
def uniform() -> Analysis:
    return analysed(llama(LAYERS, WIDTH, HEADS, GROUPS, HIDDEN))


@pytest.fixture(scope="module")
def free() -> Analysis:
    return analysed(llama(LAYERS, WIDTH, HEADS, GROUPS, HIDDEN), uniform=False)


def asked(shape: Mapping[str, float | int], *limits: Limit) -> Goal:
    return Goal(limits, shape=tuple(kind_limit_of((read_kind(name), value)) for name, value in shape.items()))


def rated(analysis: Analysis) -> np.ndarray:
    return np.random.default_rng(3).random(analysis.count)


def sizes(analysis: Analysis, removed: np.ndarray) -> dict[str, tuple[int, ...]]:
    return {str(one.kind): one.kept for one in shape_of(analysis, removed)}


def parameters(layers: int, width: int, heads: int, head_dim: int, groups: int, hidden: int, vocabulary: int) -> int:
    """Of a Llama whose output layer is its own, from the sizes alone."""
    attention = 2 * width * heads * head_dim + 2 * width * groups * head_dim
    return 2 * vocabulary * width + layers * (attention + 3 * width * hidden + 2 * width) + width


def test_a_shape_is_met_to_the_digit_by_the_weakest_of_every_layer(uniform: Analysis) -> None:
    scores, goal = rated(uniform), asked({"layers": 2, "width": 24, "heads": 6, "ffn": 40})
    plan = solve(uniform, scores, goal).removed
    assert sizes(uniform, plan) == {
        "block": (2,), "residual width": (24,), "head": (6,), "key/value group": (3,), "neuron": (40,),
        "head dimension": (WIDTH // HEADS,),
    }  # fmt: skip
    assert costs(uniform, plan).parameters == parameters(2, 24, 6, 4, 3, 40, 64)
    for one in uniform.sets:
        if one.kind is Kind.NEURON:
            weakest = np.argsort(scores[one.structures])[: HIDDEN - 40]
            assert sorted(np.flatnonzero(plan[one.structures])) == sorted(weakest)
    assert [(one.original, one.asked, one.got) for one in reached(uniform, goal, plan)] == [
        (LAYERS, 2, 2), (WIDTH, 24, 24), (HEADS, 6, 6), (HIDDEN, 40, 40),
    ]  # fmt: skip


def test_heads_of_a_group_and_head_dimensions_are_counted_as_a_configuration_counts_them(free: Analysis) -> None:
    plan = solve(free, rated(free), asked({"heads": 2, "kv-groups": 2})).removed
    assert sizes(free, plan)["head"] == (2,) and sizes(free, plan)["key/value group"] == (2,)
    assert costs(free, plan).parameters == parameters(LAYERS, WIDTH, 2, 4, 2, HIDDEN, 64)
    plan = solve(free, rated(free), asked({"head-dim": 2, "ffn": 0.5})).removed  # rotated in pairs
    assert costs(free, plan).parameters == parameters(LAYERS, WIDTH, HEADS, 2, GROUPS, 24, 64)


def test_other_limits_are_met_with_what_the_shape_leaves_open(free: Analysis) -> None:
    plan = solve(free, rated(free), asked({"heads": 4}, Limit(Cost.PARAMETERS, 0.5))).removed
    assert sizes(free, plan)["head"] == (4,)
    assert 0.4 < costs(free, plan).parameters / costs(free).parameters <= 0.5


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"heads": 5}, "5 heads cannot be kept with 2 of 4 .* of 2 heads. Nearest possible number of heads: 4 or 6."),
        ({"heads": 4, "kv": 4}, "4 heads cannot be kept with 4 of 4 .* Nearest possible number of heads: 8."),
        ({"head-dim": 2}, "head dimensions stay at 4 in each layer. The key/value groups .* Leave them out"),
        ({"ffn": 49}, "asks for 49 neurons, but there are 48"),
        ({"layers": 4}, "asks for 4 blocks, but there are 3"),
        ({"experts": 2}, "no removable experts"),
        ({"ffn": 1.5}, "Choose more than 0 and at most 100 %"),
    ],
)
def test_a_shape_that_no_plan_has_is_refused_with_the_nearest(uniform: Analysis, shape: dict, words: str) -> None:
    with pytest.raises(PlanError, match=words.replace("(", r"\(")):
        solve(uniform, rated(uniform), asked(shape))


def test_where_groups_share_keys_and_values_a_count_of_heads_names_them(uniform: Analysis, free: Analysis) -> None:
    words = "or keep fewer key/value groups, with which their heads go"
    for analysis, share, least in ((uniform, 0.5, 6), (free, 0.25, 3)):
        with pytest.raises(PlanError, match=f"is {least} of 6 heads.* {words}"):
            solve(analysis, rated(analysis), Goal((), kept=(KindLimit(Kind.HEAD, share),)))
    plan = solve(uniform, rated(uniform), Goal((), kept=(KindLimit(Kind.KV_GROUP, 0.5),))).removed
    assert sizes(uniform, plan)["head"] == (4,)


def convolutions(*layers: nn.Module) -> Analysis:
    return analyse(nn.Sequential(*layers).eval(), (torch.randn(2, 3, 12, 12),))


def test_layers_of_different_sizes_take_a_share_of_each() -> None:
    analysis = convolutions(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 12, 3), nn.Conv2d(12, 4, 1))
    with pytest.raises(PlanError, match=r"different numbers of filters \(8, 12\)"):
        solve(analysis, rated(analysis), asked({"filters": 4}))
    plan = solve(analysis, rated(analysis), asked({"filters": 0.5})).removed
    assert [np.count_nonzero(~plan[one.structures]) for one in analysis.sets] == [4, 6]


def test_groups_of_a_convolution_are_counted() -> None:
    analysis = convolutions(nn.Conv2d(3, 12, 3), nn.Conv2d(12, 12, 3, groups=3), nn.Conv2d(12, 4, 1))
    plan = solve(analysis, rated(analysis), asked({"channel-groups": 2, "filters": 3})).removed
    expected = (6 * 3 * 9 + 6) + (6 * 3 * 9 + 6) + (4 * 6 + 4)  # 2 groups, which 3 channels enter and leave
    assert costs(analysis, plan).parameters == expected


def test_head_dimensions_of_a_fused_product_are_those_of_a_head() -> None:
    analysis = analyse(Transformer().eval(), (torch.randn(2, 3, 32, 32),))
    assert next(one.sizes for one in shape_of(analysis) if one.kind is Kind.HEAD_DIM) == (24 // 4,)


def test_locked_structures_are_named(uniform: Analysis) -> None:
    locked = uniform.empty()
    locked[[one.first for one in uniform.sets if one.kind is Kind.NEURON]] = True
    plan = solve(uniform, rated(uniform), asked({"ffn": 40}), locked=locked).removed
    assert not plan[locked].any()
    with pytest.raises(PlanError, match="structures are locked"):
        solve(uniform, rated(uniform), asked({"ffn": 40}), locked=~uniform.empty())


def test_rounds_go_to_the_shape_by_equal_factors(uniform: Analysis) -> None:
    goal = asked({"layers": 2, "width": 8, "heads": 2, "ffn": 12})
    first, last = goals_of(uniform, goal, uniform.empty(), Choose.SCORES, 2)
    assert last == goal
    assert {one.kind: one.count for one in first.shape} == {
        Kind.BLOCK: 3 - round(3 - (3 * 2) ** 0.5), Kind.WIDTH: 16, Kind.HEAD: 4, Kind.KV_GROUP: 2,
        Kind.NEURON: 24,
    }  # fmt: skip
    plan = solve(uniform, rated(uniform), first).removed
    assert sizes(uniform, solve(uniform, rated(uniform), goal, plan).removed)["neuron"] == (12,)


@pytest.mark.parametrize("shape", [{"heads": 1}, {"heads": 2}, {"heads": 4, "kv-groups": 4}, {"heads": 6}])
@pytest.mark.parametrize("rounds", [2, 3, 4])
def test_every_round_asks_for_heads_and_groups_that_a_plan_has(free: Analysis, shape: dict, rounds: int) -> None:
    goal, plan, heads = asked(shape), free.empty(), HEADS
    for one in goals_of(free, goal, plan, Choose.SCORES, rounds):
        plan = solve(free, rated(free), one, plan).removed
        (heads,), (groups,) = (sizes(free, plan)[name] for name in ("head", "key/value group"))
        assert heads % groups == 0
    assert heads == shape["heads"]


def test_rounds_start_from_layers_that_keep_different_numbers(free: Analysis) -> None:
    neurons = [one for one in free.sets if one.kind is Kind.NEURON]
    plan = free.empty()
    plan[neurons[0].first : neurons[0].first + 8] = True
    first, last = goals_of(free, asked({"ffn": 10}), plan, Choose.SCORES, 2)
    assert first.shape == (KindLimit(Kind.NEURON, count=20),)  # from 40 of 48
    solve(free, rated(free), last, solve(free, rated(free), first, plan).removed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layers", "width", "heads", "hidden"),
    [("2.7b", 32, 2560, 20, 6912), ("1.3b", 24, 2048, 16, 5504), ("370m", 24, 1024, 8, 2816)],
)
def test_llama_2_7b_gets_the_published_shapes_without_weights(
    llama_2_7b: Analysis, name: str, layers: int, width: int, heads: int, hidden: int
) -> None:
    plan = solve(llama_2_7b, np.zeros(llama_2_7b.count), Goal((), shape=PRESETS[f"sheared-llama-{name}"])).removed
    assert costs(llama_2_7b, plan).parameters == parameters(layers, width, heads, 128, heads, hidden, 32000)


@pytest.fixture(scope="module")
def llama_2_7b() -> Analysis:
    return analysed(llama(32, 4096, 32, 32, 11008, 32000), "meta")


def test_kinds_are_counted_once_in_all(uniform: Analysis) -> None:
    goal = Goal((), kept=(KindLimit(Kind.NEURON, 0.5),), shape=(KindLimit(Kind.NEURON, 0.5),))
    with pytest.raises(PlanError, match="once"):
        solve(uniform, rated(uniform), goal)

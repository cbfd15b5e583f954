"""How many query heads a key/value head serves follows the cut, also where the example's run never read it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut


class Attention(nn.Module):
    """Grouped queries; with a mask keys and values are repeated by hand, as large libraries do."""

    def __init__(self, number: int, decoy: int) -> None:
        super().__init__()
        self.number, self.repeats = number, 4
        self.decoy = decoy
        self.query, self.key, self.value = nn.Linear(8, 8 * 3), nn.Linear(8, 2 * 3), nn.Linear(8, 2 * 3)
        self.out = nn.Linear(8 * 3, 8)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (-1, 3)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        if mask is not None:
            mask = mask.clamp(max=self.decoy)
            k, v = k.repeat_interleave(self.repeats, 1), v.repeat_interleave(self.repeats, 1)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=mask is None)
        return x + self.out(mixed.transpose(1, 2).flatten(2))


class Unasked(Attention):
    """Nobody can give it a mask."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class Net(nn.Module):
    def __init__(self, decoy: int = 5, kind: type[Attention] = Attention) -> None:
        super().__init__()
        self.layers = nn.ModuleList(kind(number, decoy) for number in (3, 4, 5))

    def forward(self, x: Tensor, *mask: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, *mask)
        return x


def _halved(model: nn.Module) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    given = torch.randn(2, 5, 8)
    analysis = analyse(model, (given,))
    mask = analysis.empty()
    for one in analysis.sets:
        if one.kind is Kind.HEAD:
            mask[one.first : one.first + one.count // 2] = True
    assert mask.any()
    return cut(model, analysis, mask, (given,)).model, given


def test_the_cut_model_takes_a_mask_that_its_example_had_not() -> None:
    model, given = _halved(Net().eval())
    assert [layer.repeats for layer in model.layers] == [2, 2, 2]
    assert [layer.number for layer in model.layers] == [3, 4, 5]
    with torch.no_grad():
        assert torch.allclose(model(given, torch.zeros(5, 5)), model(given), atol=1e-6)


def test_of_two_numbers_that_fit_the_one_that_repeats_keys_is_changed() -> None:
    model, given = _halved(Net(decoy=4).eval())
    assert {(layer.repeats, layer.decoy) for layer in model.layers} == {(2, 4)}
    with torch.no_grad():
        assert torch.allclose(model(given, torch.zeros(5, 5)), model(given), atol=1e-6)


def test_nothing_is_left_on_the_cut_model() -> None:
    model, _ = _halved(Net(decoy=4).eval())
    hooks = [vars(m)[name] for m in model.modules() for name in ("_forward_hooks", "_forward_pre_hooks")]
    assert not any(hooks)
    assert {type(layer) for layer in model.layers} == {Attention}


def test_of_two_numbers_that_fit_neither_is_changed_where_no_mask_can_be_given() -> None:
    model, _ = _halved(Net(decoy=4, kind=Unasked).eval())
    assert {(layer.repeats, layer.decoy) for layer in model.layers} == {(4, 4)}


@pytest.mark.parametrize(("heads", "pairs"), [(4, 2), (16, 4)])
@pytest.mark.parametrize(
    "name",
    ["LlamaForCausalLM", "GlmForCausalLM", "Starcoder2ForCausalLM", "NemotronForCausalLM", "GPTBigCodeForCausalLM"],
)
def test_decoders_take_padded_batches_after_a_cut(name: str, heads: int, pairs: int) -> None:
    """As many queries a key as there are keys: the counts differ after the cut."""
    transformers = pytest.importorskip("transformers")
    kind = getattr(transformers, name)
    sizes = {"hidden_size": 8 * heads, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 50, "head_dim": 8}
    given = {"num_attention_heads": heads, "num_key_value_heads": pairs, "pad_token_id": 0, **sizes}
    model = kind(kind.config_class(**given)).eval()
    ids = torch.randint(1, 50, (2, 6), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids, "use_cache": False}
    analysis = analyse(model, inputs)
    mask = analysis.empty()
    for one in analysis.sets:
        if one.kind in (Kind.HEAD, Kind.KV_GROUP):
            mask[one.first : one.first + max(1, one.count // (2 if one.kind is Kind.KV_GROUP else 4))] = True
    smaller: Any = cut(model, analysis, mask, inputs).model
    padded = torch.ones_like(ids)
    padded[0, 4:] = 0
    with torch.no_grad():
        alone = smaller(ids[:1, :4], use_cache=False).logits
        together = smaller(ids, attention_mask=padded, use_cache=False).logits[:1, :4]
    assert torch.allclose(alone, together, atol=1e-5)

"""One further token behind a cache says what the whole text says at its end."""

from typing import Any

import pytest
import torch
from torch import nn

from secateur.engine.errors import SecateurError
from secateur.engine.inference.model_inputs import call
from secateur.engine.targets.token_step import StepModel, TokenStep, step_inputs, tokens_in

IDS = torch.randint(0, 64, (2, 9), generator=torch.Generator().manual_seed(0))


def language_model(kind: str = "Llama", **changes: Any) -> nn.Module:
    import transformers

    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32}
    config = getattr(transformers, f"{kind}Config")(**sizes, **heads, **changes)
    return getattr(transformers, f"{kind}ForCausalLM")(config).eval()


@pytest.mark.parametrize("kind", ["Llama", "Qwen2"])
def test_a_step_says_what_the_whole_says_at_its_end(kind: str) -> None:
    model = language_model(kind)
    with torch.inference_mode():
        expected = model(torch.cat([IDS, IDS[:, -1:]], 1)).logits[:, -1:]
        step = TokenStep(model, (IDS,))
        for _ in range(3):  # each behind the same tokens
            torch.testing.assert_close(step(), expected)


def test_the_cache_goes_in_and_out_as_tensors() -> None:
    model = language_model()
    inputs = step_inputs(model, {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)})
    with torch.inference_mode():
        logits, kept = call(StepModel(model), inputs)
        again = model(torch.cat([IDS, IDS[:, -1:]], 1)).logits[:, -1:]
    torch.testing.assert_close(logits, again)
    assert [tuple(keys.shape) for keys, _ in kept] == [(2, 2, 10, 8)] * 2


def test_what_has_no_tokens_or_no_cache_is_refused_in_words() -> None:
    with pytest.raises(SecateurError, match="takes no tokens"):
        tokens_in((torch.rand(2, 3),))
    with pytest.raises(SecateurError, match="keeps no cache"):
        TokenStep(nn.Embedding(64, 8), (IDS,))
    with pytest.raises(SecateurError, match="does not run on a prompt of 9 tokens"):
        TokenStep(language_model(), (IDS + 1000,))


def test_a_cache_that_forgets_is_for_pytorch_alone() -> None:
    model = language_model("Mistral", sliding_window=4)
    with torch.inference_mode():
        expected = model(torch.cat([IDS, IDS[:, -1:]], 1)).logits[:, -1:]
        step = TokenStep(model, (IDS,))
        for _ in range(2):
            torch.testing.assert_close(step(), expected)
    with pytest.raises(SecateurError, match="Measure the next token in PyTorch"):
        step_inputs(model, (IDS,))

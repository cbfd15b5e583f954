"""A network for the benchmark of latencies that no library builds by name."""
# pyright: reportMissingImports=false, reportMissingTypeStubs=false

from typing import Any

from torch import Tensor, nn


class MiniLM(nn.Module):
    """The encoder of MiniLM-L6 (22 M parameters without the embeddings), random weights, on embedded tokens."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import BertConfig
        from transformers.models.bert.modeling_bert import BertEncoder

        shape: dict[str, Any] = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12}
        shape |= {"intermediate_size": 1536, "attn_implementation": "sdpa"}
        self.encoder = BertEncoder(BertConfig(**shape))
        self.classifier = nn.Linear(384, 2)

    def forward(self, embedded: Tensor) -> Tensor:
        return self.classifier(self.encoder(embedded).last_hidden_state[:, 0])


def minilm() -> nn.Module:
    """In evaluation mode."""
    return MiniLM().eval()

"""Inputs by name, results in containers, and which outputs must stay."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from secateur.engine.errors import AnalysisError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis
from secateur.engine.surgery.cut import cut
from secateur.engine.surgery.protocol import Edits
from secateur.engine.surgery.settle import trial_mask
from secateur.engine.surgery.verify import verify


@dataclass
class Answer:
    """No container that torch knows."""

    logits: torch.Tensor
    hidden_states: tuple[torch.Tensor, ...]


class Named(nn.Module):
    """Two keyword inputs; what is computed on the way stands beside the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 10), nn.Linear(4, 10), nn.Linear(10, 3)

    def forward(self, *, x: torch.Tensor, context: torch.Tensor) -> Answer:
        hidden = torch.relu(self.first(x) + self.second(context))
        return Answer(self.head(hidden), (hidden,))


INPUTS = {"x": torch.randn(2, 6), "context": torch.randn(2, 4)}


def test_inputs_by_name_are_recorded_cut_and_verified() -> None:
    model = Named().eval()
    analysis = analyse(model, INPUTS)
    mask = trial_mask(analysis)
    made = cut(model, analysis, analysis.empty(), mask, Edits(), INPUTS)
    assert made.model.get_parameter("first.weight").shape == (5, 6)
    assert finish(verify(model, made.model, analysis, analysis.empty(), mask, INPUTS, NeverCancelled())).passed


def _fixed(analysis: Analysis) -> set[str]:
    return {analysis.tensors[f.tensor].name for f in analysis.fixed if f.reason.code == "fixed.output"}


def test_what_is_computed_on_the_way_fixes_nothing_unless_chosen() -> None:
    model = Named().eval()
    assert _fixed(analyse(model, INPUTS)) == {"head.weight", "head.bias"}
    assert "first.weight" in _fixed(analyse(model, INPUTS, outputs=("hidden_states",)))
    assert "first.weight" in _fixed(analyse(model, INPUTS, outputs=("logits", "hidden_states.0")))


class Contrasted(Named):
    """Gives embeddings, with the logits made of them or without."""

    logits = True

    def forward(self, *, x: torch.Tensor, context: torch.Tensor) -> dict[str, torch.Tensor]:
        image, text = self.first(x), self.second(context)
        answer = {"image_embeds": image, "text_embeds": text}
        return answer | {"logits_per_image": image @ text.T} if self.logits else answer


def test_embeddings_beside_the_logits_made_of_them_are_no_answer_of_their_own() -> None:
    model = Contrasted().eval()
    analysis = analyse(model, INPUTS)
    assert not _fixed(analysis) & {"first.weight", "second.weight"}
    model.logits = False
    assert {"first.weight", "second.weight"} <= _fixed(analyse(model, INPUTS))


def test_an_output_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(AnalysisError, match=r"no output logit\. It has logits, hidden_states\.0\."):
        analyse(Named().eval(), INPUTS, outputs=("logit",))

"""Inputs by name, results in containers, and which outputs must stay."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.errors import AnalysisError
from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.verify.verify import verify
from secateur.engine.tracing.record import RecordedOutput
from secateur.engine.tracing.tree import outputs_of


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
    analysis = analyse(model, INPUTS, outputs=("logits",))
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, INPUTS)
    assert made.model.get_parameter("first.weight").shape == (5, 6)
    assert finish(verify(model, made.model, analysis, mask, INPUTS)).passed


def _fixed(analysis: Analysis) -> set[str]:
    return {analysis.tensors[f.tensor].name for f in analysis.fixed if f.reason.code == "fixed.output"}


def test_names_decide_nothing_and_a_choice_all() -> None:
    model = Named().eval()
    assert {"first.weight", "head.weight"} <= _fixed(analyse(model, INPUTS))
    assert _fixed(analyse(model, INPUTS, outputs=("logits",))) == {"head.weight", "head.bias"}
    assert "first.weight" in _fixed(analyse(model, INPUTS, outputs=("hidden_states",)))
    assert "first.weight" in _fixed(analyse(model, INPUTS, outputs=("logits", "hidden_states.0")))


class Returning(nn.Module):
    """Computes two results, and returns them in some container."""

    def __init__(self, container: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 10), nn.Linear(10, 3)
        self.container = container

    def forward(self, x: torch.Tensor) -> Any:
        hidden = torch.relu(self.first(x))
        return self.container(self.second(hidden), hidden)


class Plain:
    """No container that anybody knows; it refers to itself, and to what is no output."""

    def __init__(self, logits: torch.Tensor, hidden: torch.Tensor) -> None:
        self.logits, self.hidden, self.me, self.made_by = logits, hidden, self, nn.Linear(2, 2)


class Slotted:
    """The same without a dictionary."""

    __slots__ = ("hidden", "logits", "unset")

    def __init__(self, logits: torch.Tensor, hidden: torch.Tensor) -> None:
        self.logits, self.hidden = logits, hidden


class Extended(dict[str, torch.Tensor]):
    """A container with an attribute of its own."""

    def __init__(self, logits: torch.Tensor, hidden: torch.Tensor) -> None:
        super().__init__(logits=logits)
        self.hidden = hidden


CONTAINERS: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "plain object": Plain,
    "slots": Slotted,
    "dict with an attribute": Extended,
    "dataclass": lambda y, h: Answer(y, (h,)),
    "distribution": lambda y, h: (y, torch.distributions.Normal(h, torch.ones_like(h), validate_args=False)),
    "array": lambda y, h: (y, h.numpy()),
    "array, computed with": lambda y, h: (y, {"hidden": np.asarray(h).copy() * 2}),
    "array of objects": lambda y, h: (y, np.array([h, None], dtype=object)),
    "list of numbers": lambda y, h: (y, h.tolist()),
    "deque": lambda y, h: deque([y, h]),
    "nested": lambda y, h: {"logits": y, "more": [{"inner": Plain(y, h)}]},
    "hidden_states": lambda y, h: {"logits": y, "hidden_states": (h,)},
    "encoder": lambda y, h: {"logits": y, "encoder_features": h},
    "embeddings": lambda y, h: {"logits": y, "image_embeds": h, "last_hidden_state": h},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_is_returned_counts_wherever_it_stands(name: str) -> None:
    analysis = analyse(Returning(CONTAINERS[name]).eval(), (torch.randn(2, 6),))
    fixed = {
        analysis.tensors[f.tensor].name for f in analysis.fixed if f.reason.code in ("fixed.output", "fixed.handed")
    }
    assert {"first.weight", "second.weight"} <= fixed
    assert not any(one.name.startswith("first") for one in analysis.sets)
    assert not [one for one in analysis.returned if not one.preserved]


def test_a_number_that_is_read_off_a_tensor_counts_as_the_tensor_does() -> None:
    def fixed(container: Callable[[torch.Tensor, torch.Tensor], Any]) -> set[tuple[int, int, int]]:
        analysis = analyse(Returning(container).eval(), (torch.randn(2, 6),))
        return {(one.tensor, one.dim, one.count) for one in analysis.fixed}

    assert fixed(lambda y, h: (y, float(h[0, 7]))) == fixed(lambda y, h: (y, h[0, 7])) != fixed(lambda y, h: y)


def test_a_tensor_that_no_operator_touches_may_be_returned() -> None:
    table = torch.randn(2, 4)
    analysis = analyse(Returning(lambda y, h: (y, table)).eval(), (torch.randn(2, 6),))
    assert [one.path for one in analysis.returned] == ["0", "1"]


def test_outputs_that_are_preserved_and_those_that_may_become_narrower_are_told() -> None:
    analysis = analyse(Named().eval(), INPUTS, outputs=("logits",))
    assert analysis.returned == (
        RecordedOutput("logits", (2, 3), True),
        RecordedOutput("hidden_states.0", (2, 10), False),
    )


def test_a_plain_object_is_cut_and_verified_by_what_it_holds() -> None:
    model = Returning(Plain).eval()
    inputs = (torch.randn(2, 6),)
    analysis = analyse(model, inputs, outputs=("logits",))
    mask = trial_mask(analysis)
    assert mask.any()
    made = cut(model, analysis, mask, inputs)
    result = finish(verify(model, made.model, analysis, mask, inputs))
    assert result.passed
    with torch.no_grad():
        made.model.get_parameter("second.bias").add_(1)
    assert not finish(verify(model, made.model, analysis, mask, inputs)).passed


@pytest.mark.filterwarnings("ignore")
def test_fields_that_transformers_defines_may_become_narrower_and_a_users_own_may_not() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")

    @dataclass
    class Own(outputs.ImageClassifierOutput):
        encoder_features: torch.Tensor | None = None

    hidden = torch.randn(2, 10)
    given = Own(logits=hidden, hidden_states=(hidden, hidden), encoder_features=hidden)
    assert [one.path for one in outputs_of(given) if one.preserved] == ["logits", "encoder_features"]
    assert [one.path for one in outputs_of((given, {"hidden_states": hidden})) if one.preserved] == [
        "0.logits", "0.encoder_features", "1.hidden_states",
    ]  # fmt: skip
    contrasted = pytest.importorskip("transformers.models.clip.modeling_clip").CLIPOutput
    both = contrasted(logits_per_image=hidden, image_embeds=hidden)
    assert [one.path for one in outputs_of(both) if one.preserved] == ["logits_per_image"]
    assert [one.path for one in outputs_of(contrasted(image_embeds=hidden)) if one.preserved] == ["image_embeds"]
    alone = outputs.BaseModelOutput(hidden_states=(hidden,))
    assert all(one.preserved for one in outputs_of(alone))  # there is no other


def test_an_output_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(AnalysisError, match=r"no output logit\. Choose from logits, hidden_states\.0\."):
        analyse(Named().eval(), INPUTS, outputs=("logit",))

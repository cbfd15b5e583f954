"""Numbers that a forward computes from its sizes are compared, also behind a choice that the inputs make."""

import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.verify.verify import verify
from tests.engine.nets import rows


class Constant(nn.Module):
    """Divides by the root of its width as a tensor, behind a curve; asks before whether any input is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.head = nn.Linear(9, 12), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.up(x).tanh()
        if bool(x.isnan().any()):
            return self.head(y)
        return self.head(y / torch.sqrt(torch.tensor(float(y.shape[-1]))))


def test_a_constant_made_of_a_width_is_kept_behind_a_choice_by_the_inputs() -> None:
    torch.manual_seed(0)
    model = Constant().eval()
    analysis = analyse(model, rows())
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, rows())
    assert [one[-1] for one in made.edits.literals] == [12.0]
    assert finish(verify(model, made.model, analysis, mask, rows())).passed

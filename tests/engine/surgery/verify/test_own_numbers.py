"""Code that looks at its own numbers: what stands for removed structures in the masked original must not reach it."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from secateur.engine import prune
from secateur.engine.errors import VerificationError
from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.verify.verify import verify

Look = Callable[[torch.Tensor], torch.Tensor | None]
X = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))


class Looking(nn.Module):
    """A network with a norm, whose hidden values [N, 24] a function looks at."""

    def __init__(self, look: Look, norm: bool = True) -> None:
        super().__init__()
        self.look = look
        self.inner, self.norm = nn.Linear(8, 24), nn.LayerNorm(24) if norm else nn.Identity()
        self.outer, self.head = nn.Linear(24, 16), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm(self.inner(x))
        changed = self.look(h)
        return self.head(torch.relu(self.outer(h if changed is None else changed)))


def refuse(wrong: bool | torch.Tensor) -> None:
    if wrong:
        raise ValueError("numbers that this code does not take")


def solve(h: torch.Tensor) -> torch.Tensor:
    """y' = tanh(y) - y from 0 to 1 by Heun's method, as adaptive solvers do it: steps by a norm of the error."""
    time, step = torch.tensor(0.0), torch.tensor(0.5)
    while time < 1:
        assert torch.isfinite(h).all(), "non-finite values in state"
        step = torch.min(step, 1 - time)
        slope = torch.tanh(h) - h
        other = torch.tanh(h + step * slope) - (h + step * slope)
        error = (step * (other - slope) / 2 / (1e-2 + 1e-2 * h.abs())).square().mean().sqrt()
        if error <= 1:
            time, h = time + step, h + step * (slope + other) / 2
        step = step * (0.9 / error.sqrt()).clamp(0.2, 5)
    return h


def draw(h: torch.Tensor) -> torch.Tensor:
    """Both parameters are validated, the second by a comparison."""
    return torch.distributions.Normal(h, F.softplus(h) + 0.1, validate_args=True).rsample()


def differentiate(h: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad(), torch.autograd.detect_anomaly(check_nan=True):
        given = h.detach().requires_grad_()
        return torch.autograd.grad((given**3).sum(), given)[0]


LOOKS: dict[str, Look] = {
    "isnan": lambda h: refuse(h.isnan().any()),
    "isfinite": lambda h: refuse(not torch.isfinite(h).all()),
    "itself": lambda h: refuse((h != h).any()),
    "sum": lambda h: refuse(not torch.isfinite(h.sum())),
    "comparison": lambda h: refuse(not (h.exp() > 0).all()),
    "equal": lambda h: refuse(not torch.equal(h, h.clone())),
    "asynchronous": lambda h: torch.ops.aten._assert_async((h.abs() >= 0).all()),
    "branch": lambda h: h if (h.square() >= 0).all() else -h,
    "another branch": lambda h: -h if h.isnan().any() else h,
    "solver": solve,
    "distribution": draw,
    "anomaly": differentiate,
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection", "ignore:Error detected in")
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_code_that_refuses_nan_is_cut_and_verified_by_a_reference_that_is_exact(look: Look) -> None:
    torch.manual_seed(0)
    found = prune(Looking(look), X, keep_macs=0.5, multiple=1).report
    assert any("inner.weight" in key for key in found.removed)
    assert found.verification.passed
    assert all(one.difference < 1e-6 for one in found.verification.checks)
    assert "verify.zeros" not in [getattr(one, "code", "") for one in found.verification.skipped]


def written(h: torch.Tensor) -> None:
    refuse("nan" in str(h))


def test_where_only_zeros_are_taken_they_stand_for_what_goes_and_the_result_says_so() -> None:
    torch.manual_seed(0)
    found = prune(Looking(written, norm=False), X, keep_macs=0.5, multiple=1).report
    assert any("inner.weight" in key for key in found.removed)
    assert found.verification.passed
    assert [getattr(one, "code", "") for one in found.verification.skipped].count("verify.zeros") == 1
    # A norm over zeros is another one than over what is left: refused for that reason, and not as a wrong cut.
    with pytest.raises(VerificationError, match="zeros stood for what goes"):
        prune(Looking(written), X, keep_macs=0.5, multiple=1)


def test_what_takes_no_mark_at_all_is_refused_in_a_sentence() -> None:
    def look(h: torch.Tensor) -> None:
        written(h)
        refuse("0.0000e+00" in str(h) or (h == 0).all(0).any())

    torch.manual_seed(0)
    with pytest.raises(VerificationError, match="refuses what stands for the removed structures"):
        prune(Looking(look, norm=False), X, keep_macs=0.5, multiple=1)


@pytest.mark.parametrize("look", [LOOKS["comparison"], LOOKS["solver"], written], ids=["comparison", "solver", "zeros"])
def test_a_wrong_cut_of_such_code_still_fails(look: Look) -> None:
    torch.manual_seed(0)
    model = Looking(look, norm=False).eval()
    analysis = analyse(model, (X,))
    mask = trial_mask(analysis)
    smaller = cut(model, analysis, mask, (X,)).model
    assert finish(verify(model, smaller, analysis, mask, (X,))).passed
    weight = smaller.get_parameter("outer.weight")
    with torch.no_grad():
        weight[:, [0, 1]] = weight[:, [1, 0]]
    assert not finish(verify(model, smaller, analysis, mask, (X,))).passed

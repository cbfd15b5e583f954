"""A session leaves the user's model as it was, also one that changes itself whenever it runs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.engine.jobs import finish
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.scoring.criteria import CRITERIA
from secateur.engine.session.session import Session
from secateur.engine.tasks.protocol import Split
from secateur.engine.workflows.sensitivity import measure_sensitivity
from tests.engine.session.small import CODE, write_project
from tests.engine.test_bad_input import differences, state

STATE = """
    def forward(self, x):
        self.calls += 1
        self.steps += 1
        self.history.append(float(x.mean()))
        h = self.stem(x).relu()
        with torch.no_grad():
            self.average.mul_(0.9).add_(h.mean() / (self.average.abs().max() - 5 * (self.calls > 40)))
        return self.fc(self.block(h).mean((2, 3)))
"""
MADE = """
        self.fc = nn.Linear(16, classes)
        self.calls, self.history = 0, []
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("average", torch.ones(1))
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    spec = write_project(tmp_path / "mine")
    head, _, rest = CODE.partition("        self.fc = nn.Linear(16, classes)\n")
    _, _, end = rest.partition("def make")
    (tmp_path / "mine" / "model.py").write_text(f"{head}{MADE}{STATE}\n\ndef make{end}")
    made = Session(tmp_path / "session")
    finish(made.open(spec))
    yield made
    made.close()


def test_opening_judging_rating_cutting_and_recovering_leave_the_model_as_it_was(session: Session) -> None:
    model = session.prepared.opened.model
    assert int(model.get_buffer("steps")) == 0 and vars(model)["calls"] == 0
    before = state(model)
    first = finish(session.evaluate("s0", Split.TEST))
    assert differences(before, state(model)) == {}
    for name in CRITERIA:
        known = finish(session.score("s0", name)) if name != "ablation" else np.zeros(0)
        assert differences(before, state(model)) == {}, name
        assert np.isfinite(known[~np.isnan(known)]).all()
    finish(measure_sensitivity(session, "s0", "l1", (0.5,)))
    assert differences(before, state(model)) == {}
    mask = session.analysis.empty()
    mask[session.analysis.sets[-1].structures] = True
    mask[session.analysis.sets[-1].first] = False
    made = finish(session.cut("s0", mask))
    settings = RecoverySettings(epochs=1, repair=Repair.LEAST_SQUARES, threads=torch.get_num_threads())
    recovered = finish(session.recover(made.id, replace(settings, distillation=0.5)))
    finish(session.evaluate(recovered.id, Split.TEST))
    assert differences(before, state(model)) == {}
    assert finish(session.evaluate("s0", Split.TEST)) == first


def test_a_measured_ablation_rates_each_structure_on_the_same_state(session: Session) -> None:
    model = session.prepared.opened.model
    before = state(model)
    once, again = (finish(session.score("s0", "ablation")) for _ in range(2))
    assert np.array_equal(once, again, equal_nan=True) and np.isfinite(once).any()
    assert differences(before, state(model)) == {}

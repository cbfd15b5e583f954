"""A session on Llama-2-7B's shape whose analysis is made already: what an engine elsewhere sends of a large model."""

import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secateur.engine.jobs import CancelToken, Job, Progress
from secateur.engine.scoring.protocol import PartialScores, Step
from secateur.engine.scoring.score_options import Choices
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec
from tests.app.stand_in import state_of

from .tree import kept

KEPT, STAMP = "SECATEUR_LARGE_KEPT", "SECATEUR_LARGE_STAMP"
"""Environment variables: folder that keeps the analysis, and file that gets the time when it is there."""
SCORED = 20
"""Progress of a rating, a tenth of a second each."""


class LargeSession:
    """Opens the model, and scores it."""

    def __init__(self, folder: Path) -> None:
        self._analysis = kept(Path(os.environ[KEPT]))
        self.calls = {"open": self.open, "score": self.score, "use_threads": self.use_threads}

    def open(self, spec: ModelSpec, trust: bool = False, folder: str = "") -> OpenedModel:
        """As `Session.open`; notes the time."""
        analysis = self._analysis
        state = state_of(analysis, "s0", "", StateKind.ORIGINAL, analysis.empty())
        opened = OpenedModel(analysis.model, analysis, state, (), None)
        Path(os.environ[STAMP]).write_text(str(time.time()))
        return opened

    def score(
        self, state: str, criterion: str, choices: Choices | None, token: CancelToken
    ) -> Job[NDArray[np.float64]]:
        """Scores that nobody can pack."""
        draw = np.random.default_rng(0)
        for step in range(SCORED):
            time.sleep(0.1)
            scores = draw.random(self._analysis.count)
            told = PartialScores(scores, step, SCORED, Step.BATCHES) if step % 5 == 4 else None
            yield Progress("Scoring", step, SCORED, so_far=told)
        return draw.random(self._analysis.count)

    def use_threads(self, threads: int) -> int:
        return threads

    def close(self) -> None:
        """Nothing is open."""

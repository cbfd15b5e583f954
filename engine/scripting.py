"""The session of Python scripts: the engine's own, with the methods that scripts of version 0.1 call on it.

Recipes were written as scripts into projects and reports, where they have to go on running. What is written today calls
the functions instead.
"""

from .baselines.protocol import Baseline, BaselineSpec
from .export.protocol import Exported
from .jobs import CancelToken, Job, NeverCancelled
from .latency.protocol import LatencyTable
from .session import session
from .sharing.session_files import save_project
from .targets.protocol import TargetSpec
from .workflows.baselines import make_baseline
from .workflows.export import export_state
from .workflows.latency_table import latency_table

NEVER = NeverCancelled()


class Session(session.Session):
    """One opened model and its states; see `session.session.Session`."""

    def baseline(self, state: str, asked: BaselineSpec, token: CancelToken = NEVER) -> Job[Baseline]:
        """See `make_baseline`."""
        return make_baseline(self, state, asked, token)

    def export(self, state: str, format: str, path: str, token: CancelToken = NEVER) -> Job[Exported]:
        """See `export_state`."""
        return export_state(self, state, format, path, token)

    def latencies(self, target: TargetSpec, token: CancelToken = NEVER) -> Job[LatencyTable]:
        """See `latency_table`."""
        return latency_table(self, target, token)

    def save(self, folder: str, state: str, token: CancelToken = NEVER) -> Job[str]:
        """See `save_project`."""
        return save_project(self, folder, state, token)

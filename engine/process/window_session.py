"""What the window may ask of its engine process: a session, and the functions that work on it, put together by name.

The names are those that `app.jobs` sends over the wire.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..recipes.replay import apply_recipe, open_recipe, recipe_fit
from ..session.measurement_cache import user_cache
from ..session.session import Session
from ..sharing.job_results import save_job, take_job
from ..sharing.session_files import save_bundle, save_project, save_recipe, save_report, save_script
from ..storage.folder_lock import PROGRAM, Holder, this_process
from ..workflows.baselines import compare_with_baselines, open_baseline
from ..workflows.budget_search import search_budget
from ..workflows.changes import compare_states, read_samples, try_without
from ..workflows.check_shape import check_shape
from ..workflows.export import export_refusals, export_state
from ..workflows.latency_table import latency_savings, latency_table
from ..workflows.measure import measure_states
from ..workflows.plan import search_shares
from ..workflows.prune import prune_state
from ..workflows.read_layers import read_layers
from ..workflows.remote_bench import read_remote_bench, write_remote_bench
from ..workflows.responses import read_activity, read_responses
from ..workflows.sensitivity import measure_sensitivity
from ..workflows.sweep import sweep_budgets

CALLS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "activity": read_activity,
        "apply_recipe": apply_recipe,
        "attach": Session.attach,
        "attach_task": Session.attach_task,
        "baselines": Session.baselines,
        "changes": compare_states,
        "compare": compare_with_baselines,
        "cut": Session.cut,
        "devices": Session.devices,
        "evaluate": Session.evaluate,
        "export": export_state,
        "export_refusals": export_refusals,
        "filters": Session.filters,
        "first_scores": Session.score,
        "fit": recipe_fit,
        "evaluate_original": Session.evaluate_original,
        "latencies": latency_table,
        "lowest": search_budget,
        "measure": measure_states,
        "open": Session.open,
        "open_baseline": open_baseline,
        "open_recipe": open_recipe,
        "prune": prune_state,
        "read_layers": read_layers,
        "recover": Session.recover,
        "responses": read_responses,
        "restore": Session.restore,
        "samples": read_samples,
        "save": save_project,
        "savings": latency_savings,
        "score": Session.score,
        "search_shares": search_shares,
        "sensitivity": measure_sensitivity,
        "shape": check_shape,
        "states": Session.states,
        "sweep": sweep_budgets,
        "take_bench": read_remote_bench,
        "take_job": take_job,
        "try_without": try_without,
        "use_device": Session.use_device,
        "use_threads": Session.use_threads,
        "write_bench": write_remote_bench,
        "write_bundle": save_bundle,
        "write_job": save_job,
        "write_recipe": save_recipe,
        "write_report": save_report,
        "write_script": save_script,
    }
)
"""Methods of a session, and functions that take one first; those that return a job take a `token` too."""
AT_ONCE = frozenset({"devices"})
"""Those that are answered while another one runs."""


class WindowSession:
    """A session in an engine process that a window has started.

    Attributes:
        session: Its own folder, and the user's own cache: what it measures by content is kept for later sessions too.
        calls: What the window may call, by name.
        at_once: Those that are answered while another one runs.
    """

    at_once = AT_ONCE

    def __init__(self, folder: Path) -> None:
        """Work in a folder of the window's."""
        window = Holder(this_process().host, os.getppid(), f"the window of {PROGRAM.capitalize()}")
        self.session = Session(folder, cache=user_cache(), exclusive=True, holder=window)
        self.calls: dict[str, Callable[..., Any]] = {
            name: partial(function, self.session) for name, function in CALLS.items()
        }

    def close(self) -> None:
        """Forget the model."""
        self.session.close()

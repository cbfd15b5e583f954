"""What the engine gives back for each call of the window: the types by which the window reads it.

`window_session.CALLS` says what is called; its functions bring torch, which the window never loads, and so their
results are declared here once more. A test holds the two together.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..baselines.protocol import Baseline
from ..errors import Message
from ..export.protocol import Exported
from ..inspection.changes import Changes
from ..inspection.response_data import LayerResponses, ModelActivity
from ..machine.device_list import Device
from ..masks.learned_gates import LearnedGates
from ..recipes.compatibility import Fit
from ..recipes.steps import Replay
from ..scoring.protocol import PartialScores
from ..scoring.share_search import SearchedPlan
from ..sensitivity.protocol import Sensitivity, SensitivityPoint
from ..session.filter_images import Filters
from ..session.states import OpenedModel, State
from ..structures.costs import ModelLayers
from ..targets.latency_table import LatencyTable, Saving
from ..targets.protocol import Timing
from ..tasks.protocol import Metric, Sample, TaskInfo
from ..workflows.budget_search import SearchResult, Trial
from ..workflows.comparison import Comparison
from ..workflows.shape_answer import ShapeAnswer
from ..workflows.sweep import Sweep

RESULTS: Mapping[str, Any] = MappingProxyType(
    {
        "activity": ModelActivity,
        "apply_recipe": Replay,
        "attach": State,
        "attach_task": TaskInfo,
        "baselines": tuple[Baseline, ...],
        "changes": Changes,
        "compare": Comparison,
        "cut": State,
        "devices": tuple[Device, ...],
        "evaluate": Metric,
        "evaluate_original": tuple[Metric, TaskInfo],
        "export": Exported,
        "export_refusals": dict[str, Message],
        "filters": Filters | None,
        "first_scores": NDArray[np.float64],
        "fit": Fit,
        "latencies": LatencyTable,
        "lowest": SearchResult,
        "measure": tuple[Timing, ...],
        "open": OpenedModel,
        "open_baseline": State,
        "open_recipe": OpenedModel,
        "prune": tuple[State, ...],
        "read_layers": ModelLayers,
        "recover": State,
        "responses": LayerResponses,
        "restore": OpenedModel,
        "samples": tuple[Sample, ...],
        "save": str,
        "savings": tuple[Saving, ...],
        "score": NDArray[np.float64],
        "search_shares": SearchedPlan,
        "sensitivity": Sensitivity,
        "shape": ShapeAnswer,
        "states": tuple[State, ...],
        "sweep": Sweep,
        "take_bench": tuple[State, ...],
        "take_job": tuple[State, ...],
        "try_without": Changes,
        "use_device": str,
        "use_threads": int,
        "write_bench": tuple[str, str],
        "write_bundle": tuple[str, ...],
        "write_job": tuple[str, tuple[str, ...]],
        "write_recipe": tuple[str, ...],
        "write_report": tuple[str, ...],
        "write_script": tuple[str, ...],
    }
)
"""Name of a call -> type of its result."""
ON_THE_WAY: Mapping[str, Any] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            Baseline,
            Changes,
            LayerResponses,
            LearnedGates,
            PartialScores,
            SearchedPlan,
            SensitivityPoint,
            State,
            Trial,
        )
    }
)
"""Types of what a job may send before it ends (`Progress.made`, `Progress.so_far`), by their names."""

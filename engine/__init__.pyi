"""The public names of the engine, each loaded when it is first used: add one here, and nowhere else."""

from .baselines.protocol import Baseline as Baseline
from .baselines.protocol import BaselineKind as BaselineKind
from .baselines.protocol import BaselineSpec as BaselineSpec
from .errors import (
    AnalysisError as AnalysisError,
)
from .errors import (
    EngineLost as EngineLost,
)
from .errors import (
    ExportError as ExportError,
)
from .errors import (
    Message as Message,
)
from .errors import (
    OpenError as OpenError,
)
from .errors import (
    PlanError as PlanError,
)
from .errors import (
    SecateurError as SecateurError,
)
from .errors import (
    TaskError as TaskError,
)
from .errors import (
    VerificationError as VerificationError,
)
from .export.onnx import export_onnx as export_onnx
from .export.protocol import Exported as Exported
from .export.protocol import ExportRequest as ExportRequest
from .export.pytorch import export_pytorch as export_pytorch
from .inspection.changes import Changes as Changes
from .jobs import (
    Cancelled as Cancelled,
)
from .jobs import (
    CancelToken as CancelToken,
)
from .jobs import (
    Job as Job,
)
from .jobs import (
    NeverCancelled as NeverCancelled,
)
from .jobs import (
    Progress as Progress,
)
from .jobs import (
    finish as finish,
)
from .masks.gates import StructureGates as StructureGates
from .planning.count_balance import balanced as balanced
from .planning.goal import solve as solve
from .planning.goal import suggest as suggest
from .planning.marks import PlanMasks as PlanMasks
from .planning.marks import check_plan as check_plan
from .planning.marks import keep as keep
from .planning.protocol import Choose as Choose
from .planning.protocol import Cost as Cost
from .planning.protocol import Goal as Goal
from .planning.protocol import KindLimit as KindLimit
from .planning.protocol import Limit as Limit
from .planning.protocol import Planned as Planned
from .planning.protocol import Ranking as Ranking
from .pruning import Pruned as Pruned
from .pruning import PruningReport as PruningReport
from .pruning import prune as prune
from .recipes.compatibility import Mode as Mode
from .recipes.recipe import read_recipe as read_recipe
from .recipes.recipe import write_recipe as write_recipe
from .recipes.replay import apply_recipe as apply_recipe
from .recipes.replay import open_recipe as open_recipe
from .recipes.replay import recipe_fit as recipe_fit
from .recipes.replay import replay as replay
from .recipes.replay import run_recipe as run_recipe
from .recipes.script import script_of as script_of
from .recipes.script import write_script as write_script
from .recovery.protocol import Mixing as Mixing
from .recovery.protocol import Optimizer as Optimizer
from .recovery.protocol import RecoverySettings as RecoverySettings
from .recovery.protocol import Repair as Repair
from .recovery.protocol import Teacher as Teacher
from .recovery.recover import recover as recover
from .recovery.reference_losses import ReferenceLosses as ReferenceLosses
from .runtime.load_pruned import load_pruned as load_pruned
from .scoring.criteria import CRITERIA as CRITERIA
from .scoring.criteria import offers as offers
from .scoring.criteria import score as score
from .scoring.score_options import Choices as Choices
from .scoring.score_options import Combine as Combine
from .scoring.score_options import Normalise as Normalise
from .scoring.score_options import Slices as Slices
from .session.session import Session as Session
from .session.states import MaskIntent as MaskIntent
from .session.states import OpenedModel as OpenedModel
from .session.states import PlanIntent as PlanIntent
from .session.states import State as State
from .sharing.session_files import (
    save_bundle as save_bundle,
)
from .sharing.session_files import (
    save_project as save_project,
)
from .sharing.session_files import (
    save_recipe as save_recipe,
)
from .sharing.session_files import (
    save_report as save_report,
)
from .sharing.session_files import (
    save_script as save_script,
)
from .sharing.session_files import (
    session_recipe as session_recipe,
)
from .sources.open import open_model as open_model
from .sources.protocol import InputSpec as InputSpec
from .sources.protocol import ModelSpec as ModelSpec
from .sources.protocol import SourceModel as SourceModel
from .structures.analyse import analyse as analyse
from .structures.analysis import Analysis as Analysis
from .structures.analysis import Kind as Kind
from .structures.analysis import from_identities as from_identities
from .structures.analysis import identities as identities
from .structures.costs import costs as costs
from .structures.costs import marginal as marginal
from .structures.index_ranges import indices_of as indices_of
from .structures.index_ranges import marks_of as marks_of
from .structures.index_ranges import ranges_of as ranges_of
from .structures.memory import Memory as Memory
from .structures.memory import memory as memory
from .structures.rules import register_rule as register_rule
from .surgery.cut.cut import cut as cut
from .surgery.cut.edits import Edits as Edits
from .surgery.cut.edits import Verification as Verification
from .surgery.cut.trial_cuts import settle as settle
from .surgery.verify.verify import verify as verify
from .targets.measure import measure as measure
from .targets.protocol import TargetSpec as TargetSpec
from .targets.protocol import Timing as Timing
from .tasks.open import open_task as open_task
from .tasks.protocol import Metric as Metric
from .tasks.protocol import Split as Split
from .tasks.protocol import TaskInfo as TaskInfo
from .tasks.protocol import TaskSpec as TaskSpec
from .workflows.baselines import (
    compare_with_baselines as compare_with_baselines,
)
from .workflows.baselines import (
    make_baseline as make_baseline,
)
from .workflows.budget_search import (
    LossLimit as LossLimit,
)
from .workflows.budget_search import (
    SearchResult as SearchResult,
)
from .workflows.budget_search import (
    search_budget as search_budget,
)
from .workflows.changes import compare_states as compare_states
from .workflows.changes import read_samples as read_samples
from .workflows.comparison import Comparison as Comparison
from .workflows.export import export_state as export_state
from .workflows.latency_table import (
    forget_latencies as forget_latencies,
)
from .workflows.latency_table import (
    latency_savings as latency_savings,
)
from .workflows.latency_table import (
    latency_table as latency_table,
)
from .workflows.latency_table import (
    liked_multiple as liked_multiple,
)
from .workflows.measure import measure_states as measure_states
from .workflows.plan import masked_state as masked_state
from .workflows.plan import search_shares as search_shares
from .workflows.prune import PruneRequest as PruneRequest
from .workflows.prune import prune_state as prune_state
from .workflows.remote_bench import read_remote_bench as read_remote_bench
from .workflows.remote_bench import write_remote_bench as write_remote_bench
from .workflows.sensitivity import measure_sensitivity as measure_sensitivity
from .workflows.sweep import Sweep as Sweep
from .workflows.sweep import sweep_budgets as sweep_budgets

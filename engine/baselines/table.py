"""The table of baselines. Importing it loads torch.

To add one: a file next to `random_removal.py`, a member of `BaselineKind`, and its value here.
"""

from .from_scratch import RULE as FROM_SCRATCH
from .magnitude import RULE as MAGNITUDE
from .protocol import BaselineKind, BaselineRule
from .random_removal import RULE as RANDOM_REMOVAL
from .stock import RULE as STOCK
from .uncut import RULE as UNCUT

RULES: dict[BaselineKind, BaselineRule] = {
    rule.kind: rule for rule in (RANDOM_REMOVAL, FROM_SCRATCH, STOCK, MAGNITUDE, UNCUT)
}
